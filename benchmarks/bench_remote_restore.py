"""What a restore from a remote takes beside one from the folder, plain and encrypted.

`python benchmarks/bench_remote_restore.py --megabytes 100 --rounds 5`; the server is that of
`bench_offsite.py`, and the four kinds of restores are run in turn.
"""

from __future__ import annotations

import sys

from bench_offsite import DATABASE, LOCAL, REMOTE, Bench, Store, object_server
from measure import CommandFailed
from report import Section, Table, document, goal_at_most, markdown, mib, seconds
from setting import Setting, SettingError, arguments, setting

RATIO_MAX = 1.15


def measure(bench: Setting, store: Store) -> Section:
    of = Bench(bench, store)
    bench.load(DATABASE, bench.megabytes)
    of.run("snap init", "init")
    of.run("snap commit", "commit", "-m", "first")
    of.prepare_push()
    of.run("snap push", "push", "offsite")
    key = bench.scratch / "key"
    folder = bench.scratch / "sealed"
    sealed = {f"{LOCAL}, encrypted": str(folder), f"{REMOTE}, encrypted": store.url("sealed")}
    for place in sealed.values():
        opened_by = ("--encrypt", "--key-file", str(key))
        of.run("snap init --encrypt", "init", *opened_by, repository=place)
        words = ("commit", "-m", "first", "--key-file", str(key))
        of.run("snap commit, encrypted", *words, repository=place)
    series = of.restores(f"push-{of.pushes}", sealed)
    rows = [
        (one.name, seconds(one.wall_seconds), seconds(one.cpu_seconds), mib(one.own_peak_bytes))
        for one in series.values()
    ]
    goals = []
    for kind in ("", ", encrypted"):
        local, remote = series[f"{LOCAL}{kind}"], series[f"{REMOTE}{kind}"]
        ratio_of = f"restore from the remote / local{kind}"
        goals.append(
            goal_at_most(f"{ratio_of}: at most {RATIO_MAX}", remote.ratio_to(local), RATIO_MAX)
        )
        ratio = remote.cpu_seconds / local.cpu_seconds
        goals.append(goal_at_most(f"the same of processor time{kind}", ratio, RATIO_MAX))
    header = ("what", "seconds", "processor seconds", "own peak MiB")
    return Section(
        "restores", (Table("Restores", header, tuple(rows)),), tuple(goals), tuple(series.values())
    )


def main() -> int:
    options = arguments(__doc__.partition("\n")[0]).parse_args()
    try:
        with setting(options) as bench, object_server(bench.scratch) as store:
            section = measure(bench, store)
            facts = {"megabytes": options.megabytes, "rounds": options.rounds}
            print(markdown(document([section], bench, facts)))
    except (SettingError, CommandFailed) as error:
        print(f"benchmark stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
