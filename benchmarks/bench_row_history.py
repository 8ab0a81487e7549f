"""The history of one row beside restoring every snapshot: `python benchmarks/bench_row_history.py`.

The application of data_sets.py is committed day by day, from dumps. Then the history of rows of its
largest table is asked for: of one that is there all the time, of one that was added in the middle,
of one that was deleted, and of one that never was. Beside it stands what restoring all snapshots
takes: that of the first and of the last are measured, and taken for all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from data_sets import DATA_SETS
from measure import Case, CommandFailed, Series, interleave, run
from setting import Setting, SettingError, arguments, setting
from storage_tables import APPLICATION
from workshop import SERVER_SETTINGS, Order, versions

TABLE = "public.events"
GOAL_SHARE = 0.05
GOAL_BYTES = 256 * 2**20
RESTORED = "bench_restored"


@dataclass(frozen=True, slots=True)
class Keys:
    """Rows of the table that have different histories, by what is said of each."""

    keys: dict[str, int]


def commit_all(bench: Setting, order: Order, repository: Path) -> Keys:
    """Commit every version, and return rows to ask for."""
    run(bench.command(bench.snap(repository, "init", str(repository), "--quiet")))
    seen: list[set[int]] = []
    for version in versions(order, bench.server, bench.environment(), bench.scratch, bench.say):
        arguments = ("--file", str(version.dump), "--database", "app", "--quiet")
        done = run(bench.command(bench.snap(repository, "commit", "-m", "a day", *arguments)))
        bench.say(f"  committed in {done.wall_seconds:.1f} s")
        if version.number in {1, (order.versions + 1) // 2, order.versions}:
            seen.append(ids_of(version.dump))
    first, middle, last = seen
    return Keys(
        {
            "there all the time": max(first & middle & last),
            "added in the middle": max((middle & last) - first),
            "deleted": max(first - last),
            "never there": 10**12,
        }
    )


def ids_of(dump: Path) -> set[int]:
    """Return the keys of the table's rows in a dump."""
    found = set()
    with dump.open("rb") as file:
        for line in file:
            if line.startswith(f"COPY {TABLE} ".encode()):
                break
        for line in file:
            if line == b"\\.\n":
                break
            found.add(int(line.partition(b"\t")[0]))
    return found


def measure(bench: Setting, order: Order) -> tuple[dict[str, Series], float]:
    """Return the runs by what was asked for, and the seconds that restoring all takes."""
    repository = bench.scratch / "repository"
    keys = commit_all(bench, order, repository).keys
    cases = [
        Case(
            name,
            lambda key=key: bench.command(
                bench.snap(repository, "log", "--table", TABLE, "--row", str(key), "--json"),
                stdout=None,
            ),
        )
        for name, key in keys.items()
    ]
    found = interleave(cases, bench.rounds, say=bench.say)
    restores = []
    listing = bench.command(bench.snap(repository, "log", "--json"), stdout=None)
    ids = json.loads(run(listing).output)
    for snapshot in (ids[0]["id"], ids[-1]["id"]):
        bench.server.drop(RESTORED)
        bench.server.checkpoint()
        dsn = ("--dsn", bench.server.dsn("postgres"), "--to", RESTORED, "--yes", "--no-analyze")
        done = run(bench.command(bench.snap(repository, "restore", snapshot, *dsn)))
        bench.say(f"restored in {done.wall_seconds:.1f} s")
        restores.append(done.wall_seconds)
    bench.server.drop(RESTORED)
    return found, statistics.mean(restores) * order.versions


def main() -> int:
    parser: argparse.ArgumentParser = arguments(__doc__.partition("\n")[0], with_dsn=False)
    parser.set_defaults(megabytes=500)
    parser.add_argument("--days", type=int, default=30, help="snapshots")
    options = parser.parse_args()
    order = Order(DATA_SETS[APPLICATION], options.seed, options.megabytes, options.days)
    try:
        # Restores are measured: so with fsync.
        with setting(options, SERVER_SETTINGS, fsync=True) as bench:
            found, restoring = measure(bench, order)
    except (SettingError, CommandFailed) as error:
        print(f"benchmark stopped: {error}", file=sys.stderr)
        return 1
    print(f"Row history in {order.versions} snapshots of {order.megabytes:g} MB each\n")
    print("| row | seconds | of restoring all | rows read | events | memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, series in found.items():
        report = json.loads(series.runs[-1].output)
        print(
            f"| {name} | {series.wall_seconds:.2f} | {series.wall_seconds / restoring:.2%} |"
            f" {report['read_bytes'] / 1e6:.0f} MB | {len(report['events'])} |"
            f" {(series.own_peak_bytes or 0) / 2**20:.0f} MiB |"
        )
    print(f"\nRestoring all of them: {restoring:.0f} s, by two of them.")
    print(f"Goals: {GOAL_SHARE:.0%} of that, {GOAL_BYTES / 2**20:.0f} MiB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
