"""What masks cost: `snap restore --to NEW --mask` and `snap cat --mask` beside the same without.

The application data with masks on people: mail, names, secrets, addresses and keys that refer to
each other. Both kinds run in turn, with the installed command.
"""

from __future__ import annotations

import secrets
import statistics
from pathlib import Path

from bench_commit import commit_command, init_repository
from bench_read import RESTORED
from measure import Case, Command, Series, interleave, run
from report import Goal, Section, Table, document, goal_at_most, markdown, mib, seconds
from setting import Setting, arguments, setting

STEPS = ("cat", "restore")
# The masked one is to be at least half as fast.
RATIO_MAX = 2.0
PEAK_MIB_MAX = 256
MASKS = """
key_file = "{key}"
[tables."public.users"]
id = "hash"
public_id = "hash"
email = {{ fake = "email" }}
name = {{ fake = "name" }}
secret = "hash"
city = {{ fake = "city" }}
active = "keep"
created_at = {{ shift = 90, by = "id" }}
seen_at = {{ shift = 90, by = "id" }}
settings = "null"
[tables."public.orders"]
id = "keep"
public_id = "keep"
user_id = "hash"
state = "keep"
currency = "keep"
total = "keep"
placed_at = {{ shift = 90, by = "user_id" }}
shipped_at = {{ shift = 90, by = "user_id" }}
address = {{ fake = "address" }}
note = "null"
[tables."public.order_items"]
id = "keep"
order_id = "keep"
sku = "keep"
title = "keep"
quantity = "keep"
unit_price = "keep"
discount = "keep"
[tables."public.events"]
id = "keep"
user_id = "hash"
session = "hash"
kind = "keep"
occurred_at = "keep"
payload = {{ fixed = "{{}}" }}
[tables."public.chat"]
id = "keep"
room_id = "keep"
user_id = "hash"
reply_to = "keep"
sent_at = "keep"
body = {{ truncate = 0 }}
"""


def measure(bench: Setting, database: str) -> Section:
    """Measure both kinds on *database*, which is loaded; it is committed first."""
    repository = bench.scratch / "masked" / "repository"
    init_repository(bench, repository)
    run(commit_command(bench, repository, database))
    key, masks = bench.scratch / "masks.key", bench.scratch / "masks.toml"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    masks.write_text(MASKS.format(key=key))

    def command(*words: str) -> Command:
        argv = bench.snap(repository, *words)
        return bench.command(argv, folder=repository.parent, stdout=Path("/dev/null"))

    def drop() -> None:
        bench.server.drop(RESTORED)
        bench.server.checkpoint()

    target = ("--dsn", bench.server.dsn("postgres"), "--to", RESTORED, "--yes")
    cases = []
    for name, more in (("plain", ()), ("masked", ("--mask", str(masks)))):
        words = {"cat": ("cat", "latest", *more), "restore": ("restore", "latest", *target, *more)}
        cases += [
            Case(f"{step}, {name}", lambda step=step, words=words: command(*words[step]), drop)
            for step in STEPS
        ]
    series = interleave(cases, bench.rounds, server_pid=bench.server.postmaster_pid, say=bench.say)
    bench.server.drop(RESTORED)
    return Section("masks", (_table(series),), _goals(series), tuple(series.values()))


def _ratio(series: dict[str, Series], step: str) -> float:
    """Return the median of the ratios of the runs of one round."""
    plain, masked = (series[f"{step}, {name}"].runs for name in ("plain", "masked"))
    pairs = zip(plain, masked, strict=True)
    return statistics.median(b.wall_seconds / a.wall_seconds for a, b in pairs)


def _goals(series: dict[str, Series]) -> tuple[Goal, ...]:
    peak = (series["restore, masked"].own_peak_bytes or 0) / 2**20
    return (
        goal_at_most(
            f"masked snap restore: at most {RATIO_MAX} of the plain one's time",
            _ratio(series, "restore"),
            RATIO_MAX,
        ),
        goal_at_most(f"its own memory: at most {PEAK_MIB_MAX} MiB", peak, PEAK_MIB_MAX),
    )


def _table(series: dict[str, Series]) -> Table:
    rows = []
    for step in STEPS:
        plain, masked = (series[f"{step}, {name}"] for name in ("plain", "masked"))
        rows.append(
            (
                f"`snap {step}`",
                seconds(plain.wall_seconds),
                seconds(masked.wall_seconds),
                f"{_ratio(series, step):.2f}",
                mib(masked.own_peak_bytes),
            )
        )
    return Table(
        "Masked beside plain", ("", "plain s", "masked s", "ratio", "peak MiB"), tuple(rows)
    )


def main() -> None:
    options = arguments(__doc__.partition("\n")[0]).parse_args()
    with setting(options) as bench:
        bench.check_space(options.megabytes * 1e6 * 6)
        bench.load("bench_app", options.megabytes)
        section = measure(bench, "bench_app")
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
