"""How much memory snap's own process takes, by the size of the database and of its largest row.

One run each of commit, cat and restore: on application data of two sizes, and on a table with one
large row, as bytea (twice as much dump text) and as text.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench_commit import commit_command, init_repository, memory_goal
from bench_read import RESTORED, restore_command
from data import LARGE_ROW_KINDS
from measure import Measurement, Series, run
from report import (
    Goal,
    Section,
    Table,
    children,
    document,
    goal_at_most,
    markdown,
    megabytes,
    mib,
    seconds,
)
from setting import Setting, arguments, setting, stored_bytes

# Memory that grows with the database would at least follow the size to this degree.
GROWTH_RATIO_MAX = 1.25


@dataclass(frozen=True, slots=True)
class Subject:
    """One database, and what was measured on it."""

    name: str
    dump_bytes: int
    stored_bytes: int
    series: tuple[Series, ...]


def measure_sizes(bench: Setting, sizes: list[float], loaded: str | None = None) -> Section:
    """Measure on application data of *sizes* MB; *loaded* is a database that has the first size."""
    subjects = []
    for number, megabytes_ in enumerate(sizes):
        database = loaded if loaded and number == 0 else "bench_size"
        if database != loaded:
            bench.check_space(space_bytes(megabytes_))
            bench.load(database, megabytes_)
        subjects.append(_measure(bench, database, f"{megabytes_:g} MB of dump text"))
        bench.server.drop(database)
    goals = list(_bounds(subjects))
    if len(subjects) > 1:
        for first, last in zip(subjects[0].series, subjects[-1].series, strict=True):
            if not first.name.startswith("snap"):
                continue
            small, large = first.own_peak_bytes, last.own_peak_bytes
            wished = f"{first.name}: the same memory at {subjects[-1].name}"
            goals.append(
                goal_at_most(
                    wished, large / small if small and large else None, GROWTH_RATIO_MAX, " x"
                )
            )
    table = _table("Memory and size", subjects)
    return Section("memory", (table,), tuple(goals), _all(subjects))


def measure_large_row(bench: Setting, megabytes_: float) -> Section:
    """Measure on a table with one row of *megabytes_* MB."""
    subjects = []
    bench.check_space(megabytes_ * 1e6 * 12)
    for kind in LARGE_ROW_KINDS:
        bench.load_large_row("bench_row", megabytes_, kind)
        subjects.append(_measure(bench, "bench_row", f"a row of {megabytes_:g} MB {kind}"))
    bench.server.drop("bench_row")
    table = _table("Memory and a large row", subjects)
    return Section("large row", (table,), tuple(_bounds(subjects)), _all(subjects))


def space_bytes(megabytes_: float) -> float:
    """Return what a size needs on disk: two databases with indexes, a repository, WAL."""
    return megabytes_ * 1e6 * 4.5


def _measure(bench: Setting, database: str, name: str) -> Subject:
    repository = bench.scratch / "snap-memory" / "repository"
    dump = bench.server.pg_dump(database)
    counted = run(bench.command(dump, ("wc", "-c"), stdout=None))
    commands = {"pg_dump > /dev/null": bench.command(dump)}
    if bench.snap_argv:
        init_repository(bench, repository)
        cat = bench.snap(repository, "cat", "latest")
        commands["snap commit"] = commit_command(bench, repository, database)
        commands["snap cat"] = bench.command(cat, folder=repository.parent)
        commands["snap restore"] = restore_command(bench, repository)
    series = []
    bench.server.drop(RESTORED)
    for verb, command in commands.items():
        os.sync()
        one: Measurement = run(command, server_pid=bench.server.postmaster_pid)
        bench.say(f"{name:32} {verb:20} {one.wall_seconds:8.2f} s")
        series.append(Series(verb, command.text, (one,)))
    bench.server.drop(RESTORED)
    stored = stored_bytes(repository) if bench.snap_argv else 0
    return Subject(name, int(counted.output), stored, tuple(series))


def _all(subjects: list[Subject]) -> tuple[Series, ...]:
    return tuple(series for subject in subjects for series in subject.series)


def _bounds(subjects: list[Subject]) -> list[Goal]:
    return [
        memory_goal(f"{series.name}, {subject.name}", series)
        for subject in subjects
        for series in subject.series
        if series.name.startswith("snap")
    ]


def _table(title: str, subjects: list[Subject]) -> Table:
    rows = [
        (
            subject.name,
            f"`{series.name}`",
            seconds(series.wall_seconds),
            f"{subject.dump_bytes / 1e6 / series.wall_seconds:.0f}",
            mib(series.own_peak_bytes),
            children(series),
            megabytes(subject.stored_bytes) if series.name == "snap commit" else "-",
        )
        for subject in subjects
        for series in subject.series
    ]
    header = ("data", "command", "seconds", "MB/s", "own peak MiB", "children MiB", "stored")
    return Table(title, header, tuple(rows), ("One run each.",))


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--large-megabytes", type=float, default=4000, help="0: leave it out")
    parser.add_argument("--row-megabytes", type=float, default=200, help="0: leave it out")
    options = parser.parse_args()
    sizes = [size for size in (options.megabytes, options.large_megabytes) if size]
    with setting(options) as bench:
        sections = [measure_sizes(bench, sizes)]
        if options.row_megabytes:
            sections.append(measure_large_row(bench, options.row_megabytes))
        facts = {"sizes": sizes, "row megabytes": options.row_megabytes}
        print(markdown(document(sections, bench, facts)))


if __name__ == "__main__":
    main()
