"""How fast the tables of a snapshot become Parquet, CSV and SQLite files, and with what memory.

Beside it psql's \\copy of the same tables to CSV, and pyarrow's way from these files to Parquet:
together what is done without snap, as long as the server has the tables as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench_commit import commit_command, init_repository, memory_goal
from measure import Command, Measurement, Series, run
from report import Section, Table, document, goal_at_least, markdown, mib, seconds
from setting import Setting, arguments, setting

DATABASE = "bench_export"
RATE_MB_LEAST = 100
FORMATS = ("parquet", "csv", "sqlite")
FROM_CSV = """
import sys
from pathlib import Path
from pyarrow import csv, parquet
for path in sorted(Path(sys.argv[1]).glob("*.csv")):
    # A text may have several lines.
    reader = csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))
    to = parquet.ParquetWriter(path.with_suffix(".parquet"), reader.schema, compression="zstd")
    for batch in reader:
        to.write_batch(batch)
    to.close()
"""


def main() -> None:
    options = arguments(__doc__.partition("\n")[0]).parse_args()
    with setting(options) as bench:
        bench.check_space(options.megabytes * 1e6 * 8)
        loaded = bench.load(DATABASE, options.megabytes)
        section = measure(bench, loaded.total_bytes, sorted(loaded.copy_bytes))
        print(markdown(document([section], bench, {})))


def measure(bench: Setting, text_bytes: int, tables: Sequence[str]) -> Section:
    """Measure each way on the tables of the database."""
    repository = bench.scratch / "exported" / "repository"
    init_repository(bench, repository)
    run(commit_command(bench, repository, DATABASE))
    found = []
    for name in FORMATS:
        command = export_command(bench, repository, name)
        found.append(series(bench, f"snap export --format {name}", command))
    csv_folder = bench.folder("copied")
    copies = [f"\\copy {table} to '{csv_folder}/{table}.csv' csv header" for table in tables]
    words = [word for one in copies for word in ("-c", one)]
    found.append(series(bench, "psql \\copy to CSV", bench.command(bench_psql(bench, words))))
    converted = bench.command((sys.executable, "-c", FROM_CSV, str(csv_folder)))
    found.append(series(bench, "pyarrow, these CSV files to Parquet", converted))
    rates = {one.name: text_bytes / 1e6 / one.wall_seconds for one in found}
    rows = tuple(
        (
            *(one.name, seconds(one.wall_seconds), seconds(one.cpu_seconds)),
            *(f"{rates[one.name]:.0f}", mib(one.own_peak_bytes)),
        )
        for one in found
    )
    header = ("way", "time, s", "processor, s", "MB/s of dump text", "peak memory, MiB")
    goals = (
        goal_at_least(
            f"Parquet: {RATE_MB_LEAST} MB/s or more", rates[found[0].name], RATE_MB_LEAST, " MB/s"
        ),
        *(memory_goal(one.name, one) for one in found[: len(FORMATS)]),
    )
    return Section(
        "export", (Table("Tables for other programs", header, rows),), goals, tuple(found)
    )


def bench_psql(bench: Setting, words: Sequence[str]) -> tuple[str, ...]:
    return bench.server.psql(DATABASE, *words)


def export_command(bench: Setting, repository: object, name: str) -> Command:
    """Return the command that exports all tables, over those of the round before."""
    file = bench.scratch / f"tables.{name}"
    argv = ("export", "latest", str(file), "--format", name, "--force")
    return bench.command(bench.snap(repository, *argv))  # type: ignore[arg-type]


def series(bench: Setting, name: str, command: Command) -> Series:
    """Return what the rounds of a command took."""
    runs: list[Measurement] = [run(command) for _ in range(bench.rounds)]
    bench.say(f"{name}: {runs[-1].wall_seconds:.2f} s")
    return Series(name, command.text, tuple(runs))


if __name__ == "__main__":
    main()
