"""What a commit costs, beside pg_dump alone, pg_dump | gzip, zstd, restic and borg.

Every first commit goes into a new, empty repository, made outside the measured time; the unchanged
one follows it at once. Stored bytes are what the repository grew by.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from measure import Case, Command, Measurement, Series, interleave, run
from peers import Peer, installed_peers
from report import (
    MIB,
    Goal,
    Section,
    Table,
    children,
    document,
    goal_at_least,
    goal_at_most,
    markdown,
    megabytes,
    mib,
    ratio,
    seconds,
)
from setting import Setting, arguments, remove, setting, stored_bytes

FLOOR = "pg_dump > /dev/null"
GZIP = "pg_dump | gzip"
ZSTD = "pg_dump | zstd -3"
SNAP_FIRST = "snap commit, first"
SNAP_AGAIN = "snap commit, unchanged"
PYTHON = "python -c pass"
MEMORY_BYTES_MAX = 256 * MIB


@dataclass
class _Growth:
    """Tells how much a repository or file grew since it was last asked."""

    path: Path
    before: int = field(default=0)

    def mark(self) -> None:
        self.before = stored_bytes(self.path) if self.path.exists() else 0

    def facts(self, measurement: Measurement) -> dict[str, float]:
        return {"stored_bytes": stored_bytes(self.path) - self.before}


def measure(bench: Setting, database: str) -> Section:
    """Measure all contenders on *database*, which is loaded."""
    server = bench.server
    warm_up = run(bench.command(server.pg_dump(database), ("wc", "-c"), stdout=None))
    dump_bytes = int(warm_up.output)
    cases = [
        Case(FLOOR, lambda: bench.command(server.pg_dump(database))),
        *_snap_cases(bench, database),
        *_file_cases(bench, database),
        *(case for peer in installed_peers(bench) for case in _peer_cases(peer, database)),
        Case(PYTHON, lambda: bench.command((sys.executable, "-c", "pass"))),
    ]
    series = interleave(cases, bench.rounds, server_pid=server.postmaster_pid, say=bench.say)
    return Section(
        name="commit",
        tables=(_table(series, dump_bytes),),
        goals=_goals(series) if bench.snap_argv else (),
        series=tuple(series.values()),
        facts={"dump_bytes": dump_bytes, "warm_up_seconds": warm_up.wall_seconds},
    )


def _file_cases(bench: Setting, database: str) -> list[Case]:
    cases = []
    for name, argv in ((GZIP, ("gzip", "-c")), (ZSTD, ("zstd", "-q", "-3", "-c"))):
        if shutil.which(argv[0]):
            cases.append(_file_case(bench, database, name, argv))
        else:
            bench.say(f"{argv[0]} is not installed: left out")
    return cases


def _file_case(bench: Setting, database: str, name: str, argv: tuple[str, ...]) -> Case:
    file = _Growth(bench.scratch / f"dump.sql.{argv[0]}")
    command = bench.command(bench.server.pg_dump(database), argv, stdout=file.path)
    return Case(name, lambda: command, after=file.facts, clean=lambda: remove(file.path))


def _peer_cases(peer: Peer, database: str) -> list[Case]:
    growth = _Growth(peer.repository)

    def prepare() -> None:
        peer.init()
        growth.mark()

    def clean() -> None:
        remove(peer.repository)

    return [
        Case(
            f"pg_dump | {peer.name}, first",
            lambda: peer.store("first", database),
            prepare,
            growth.facts,
            clean,
        ),
        Case(
            f"pg_dump | {peer.name}, unchanged",
            lambda: peer.store("again", database),
            growth.mark,
            growth.facts,
        ),
    ]


def _snap_cases(bench: Setting, database: str) -> list[Case]:
    if not bench.snap_argv:
        return []
    growth = _Growth(bench.scratch / "snap" / "repository")

    def prepare() -> None:
        init_repository(bench, growth.path)
        growth.mark()

    def command() -> Command:
        return commit_command(bench, growth.path, database)

    def clean() -> None:
        remove(growth.path.parent)

    return [
        Case(SNAP_FIRST, command, prepare, growth.facts, clean),
        Case(SNAP_AGAIN, command, growth.mark, growth.facts),
    ]


def init_repository(bench: Setting, repository: Path) -> None:
    """Make an empty repository, in a folder of its own that also gets the snap.toml."""
    assert bench.snap_argv
    folder = bench.folder(repository.parent.name)
    run(bench.command((*bench.snap_argv, "init", str(repository)), folder=folder))


def commit_command(bench: Setting, repository: Path, database: str) -> Command:
    """Return the command that commits *database* to *repository*."""
    dsn = bench.server.dsn(database)
    argv = bench.snap(repository, "commit", "--dsn", dsn, "-m", "benchmark")
    return bench.command(argv, folder=repository.parent)


def _table(series: dict[str, Series], dump_bytes: int) -> Table:
    floor = series[FLOOR]
    rows = [
        (
            f"`{name}`",
            seconds(one.wall_seconds),
            ratio(one, floor),
            seconds(one.cpu_seconds),
            seconds(one.median(lambda run_: run_.server_cpu_seconds)),
            mib(one.own_peak_bytes),
            children(one),
            megabytes(one.fact("stored_bytes")),
        )
        for name, one in series.items()
    ]
    mb = dump_bytes / 1e6
    return Table(
        f"Commit: {mb:.0f} MB of dump text",
        (
            "command",
            "seconds",
            "x floor (range)",
            "client CPU s",
            "server CPU s",
            "own peak MiB",
            "children MiB",
            "stored",
        ),
        tuple(rows),
        (
            f"The floor is `pg_dump > /dev/null`: {mb / floor.wall_seconds:.0f} MB/s of dump text.",
            "Seconds are medians, memory is the maximum. In a pipeline the own peak is that of the "
            "last program.",
            "gzip and zstd do not fsync what they write; snap, restic and borg do.",
        ),
    )


def _goals(series: dict[str, Series]) -> tuple[Goal, ...]:
    floor, first, again = series[FLOOR], series[SNAP_FIRST], series[SNAP_AGAIN]
    goals = [
        goal_at_most("first commit: at most 1.3 x floor", first.ratio_to(floor), 1.3, " x"),
        goal_at_most("unchanged commit: at most 1.15 x floor", again.ratio_to(floor), 1.15, " x"),
    ]
    if GZIP in series:
        ceiling = series[GZIP].ratio_to(floor)
        goals.append(
            goal_at_least(
                "first commit: 3 times faster than `pg_dump | gzip` (the floor itself is "
                f"{ceiling:.2f} times faster)",
                series[GZIP].ratio_to(first),
                3.0,
                " x",
            )
        )
    stored = again.fact("stored_bytes")
    goals.append(
        goal_at_most(
            "unchanged commit: stores under 10 kB",
            None if stored is None else stored / 1e3,
            10.0,
            " kB",
        )
    )
    for name, one in ((SNAP_FIRST, first), (SNAP_AGAIN, again)):
        goals.append(memory_goal(name, one))
    return tuple(goals)


def memory_goal(name: str, series: Series) -> Goal:
    """Return the goal that snap's own process stays under its memory bound."""
    peak = series.own_peak_bytes
    value = None if peak is None else peak / MIB
    return goal_at_most(f"{name}: under 256 MiB", value, MEMORY_BYTES_MAX / MIB, " MiB")


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
