"""What reading back costs: `snap cat` beside zstd, restic and borg; `snap restore` beside psql;
`snap log` and `snap --version` beside `python -c pass`.

The output is checked once outside the measured time: `snap cat` must give back the dump byte for
byte; a restored database must have the same lines in its dump. Their order may differ in places,
with psql too: COPY puts a short row into the room that an earlier page has left.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench_commit import PYTHON, commit_command, init_repository, memory_goal
from measure import Case, Command, CommandFailed, Measurement, Series, interleave, run
from peers import installed_peers
from report import (
    Goal,
    Section,
    Table,
    children,
    document,
    goal_at_least,
    goal_at_most,
    markdown,
    mib,
    ratio,
    seconds,
)
from setting import Setting, arguments, setting

ZSTD = "zstd -d"
SNAP_CAT = "snap cat latest > /dev/null"
PSQL = "createdb, psql < dump.sql"
ANALYZE = "ANALYZE, after psql"
SNAP_RESTORE = "snap restore --to NEW"
RESTORED = "bench_restored"
# snap's own start; a scheduler's hiccup is as long as one of them.
STARTS = 11

# What differs between two dumps of the same database: a random key, and the program's version.
_VOLATILE = re.compile(rb"\\(un)?restrict [A-Za-z0-9]+\n|-- Dumped (from|by) .*\n")
_CREATE_AND_FILL = """
set -e
"$1" --maintenance-db="$2" --template=template0 "$3"
shift 3
exec "$@"
"""


def measure(bench: Setting, database: str) -> Section:
    """Measure reading on *database*, which is loaded; it is dumped and committed first."""
    dump = bench.scratch / "dump.sql"
    run(bench.command(bench.server.pg_dump(database), stdout=dump))
    expected = digest_of(dump)
    repository = bench.scratch / "snap-read" / "repository"
    if bench.snap_argv:
        init_repository(bench, repository)
        run(commit_command(bench, repository, database))
    read = _measure_cat(bench, database, dump, repository, expected)
    restored = _measure_restore(bench, dump, repository)
    start = _measure_start(bench, repository)
    dump_bytes = dump.stat().st_size
    tables = (_cat_table(read, dump_bytes), _restore_table(restored), _start_table(start))
    dump.unlink()
    return Section(
        name="read",
        tables=tables,
        goals=_goals(read, restored, start, dump_bytes) if bench.snap_argv else (),
        series=(*read.values(), *restored.values(), *start.values()),
        facts={"dump_bytes": dump_bytes, "checked": True},
    )


def _measure_cat(
    bench: Setting, database: str, dump: Path, repository: Path, expected: str
) -> dict[str, Series]:
    cases = []
    if shutil.which("zstd"):
        packed = bench.scratch / "dump.sql.zst"
        run(bench.command(("zstd", "-q", "-3", "-c", str(dump)), stdout=packed))
        zstd = ("zstd", "-q", "-d", "-c", *one_thread(), str(packed))
        cases.append(Case(ZSTD, lambda: bench.command(zstd)))
    else:
        bench.say("zstd is not installed: left out")
    if bench.snap_argv:
        cat = bench.snap(repository, "cat", "latest")
        cases.append(Case(SNAP_CAT, lambda: bench.command(cat, folder=repository.parent)))
        again = bench.scratch / "cat.sql"
        run(bench.command(cat, folder=repository.parent, stdout=again))
        compare("snap cat", digest_of(again), expected)
        again.unlink()
    for peer in installed_peers(bench):
        peer.init()
        run(peer.store("first", database))
        cases.append(Case(f"{peer.name}, read", partial(peer.read, "first")))
    return interleave(cases, bench.rounds, say=bench.say)


def one_thread() -> tuple[str, ...]:
    """Return what keeps zstd from reading and writing on threads of their own (since 1.5.4)."""
    wanted = "--no-asyncio"
    tried = subprocess.run(
        ("zstd", "-q", wanted, "--version"), capture_output=True, check=False
    ).returncode
    return (wanted,) if tried == 0 else ()


def _measure_restore(bench: Setting, dump: Path, repository: Path) -> dict[str, Series]:
    server = bench.server
    expected = _lines_digest(dump)
    checked: set[str] = set()

    def prepare() -> None:
        server.drop(RESTORED)
        server.checkpoint()

    def check(name: str) -> None:
        if name not in checked:
            again = bench.scratch / "restored.sql"
            run(bench.command(server.pg_dump(RESTORED), stdout=again))
            compare(name, _lines_digest(again), expected)
            again.unlink()
            checked.add(name)

    def after_psql(measurement: Measurement) -> dict[str, float]:
        check(PSQL)
        return {}

    def after_snap(measurement: Measurement) -> dict[str, float]:
        check(SNAP_RESTORE)
        server.drop(RESTORED)
        return reported_seconds(measurement.output, "analyze")

    fill = ("sh", "-c", _CREATE_AND_FILL, "sh", "createdb", server.dsn("postgres"))
    psql = (*fill, RESTORED, "psql", *server.psql(RESTORED)[1:])
    cases = [
        Case(PSQL, lambda: bench.command(psql, stdin=dump), prepare, after_psql),
        Case(ANALYZE, lambda: bench.command(server.psql(RESTORED, "-c", "ANALYZE"))),
    ]
    if bench.snap_argv:
        cases.append(
            Case(SNAP_RESTORE, lambda: restore_command(bench, repository), prepare, after_snap)
        )
    series = interleave(cases, bench.rounds, server_pid=server.postmaster_pid, say=bench.say)
    server.drop(RESTORED)
    return series


def restore_command(bench: Setting, repository: Path) -> Command:
    """Return the command that restores the newest snapshot into a new database."""
    where = ("--dsn", bench.server.dsn("postgres"), "--to", RESTORED)
    argv = bench.snap(repository, "restore", "latest", *where, "--yes", "--json")
    return bench.command(argv, folder=repository.parent, stdout=None)


def _measure_start(bench: Setting, repository: Path) -> dict[str, Series]:
    cases = [Case(PYTHON, lambda: bench.command((sys.executable, "-c", "pass")))]
    if bench.snap_argv:
        log = bench.snap(repository, "log")
        ask = (*bench.snap_argv, "--version")
        cases.append(Case("snap log", lambda: bench.command(log, folder=repository.parent)))
        cases.append(Case("snap --version", lambda: bench.command(ask)))
    return interleave(cases, STARTS)


def reported_seconds(output: str, phase: str) -> dict[str, float]:
    """Return what a command's JSON says that *phase* took, or nothing where it does not say."""
    for name, value in _numbers(json.loads(output)):
        if phase in name and "second" in name:
            return {f"{phase}_seconds": value}
    return {}


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


def digest_of(path: Path) -> str:
    """Return a hash of a dump without its volatile lines, which stand at its start and its end."""
    edge = 1 << 16
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        digest.update(_VOLATILE.sub(b"", file.read(edge)))
        left = path.stat().st_size - 2 * edge
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        digest.update(_VOLATILE.sub(b"", file.read()))
    return digest.hexdigest()


def _lines_digest(path: Path) -> int:
    """Return a hash of a dump's lines in any order, good within this process only."""
    with path.open("rb") as file:
        return sum(hash(line) for line in file if not _VOLATILE.fullmatch(line)) & (1 << 128) - 1


def compare(name: str, found: str | int, expected: str | int) -> None:
    """Raises CommandFailed where the hashes of two dumps differ."""
    if found != expected:
        raise CommandFailed(f"{name} does not give back the dump that was stored")


def _cat_table(series: dict[str, Series], dump_bytes: int) -> Table:
    floor = next(iter(series.values()))
    rows = [
        (
            f"`{name}`",
            seconds(one.wall_seconds),
            f"{dump_bytes / 1e6 / one.wall_seconds:.0f}",
            ratio(one, floor),
            seconds(one.cpu_seconds),
            mib(one.own_peak_bytes),
        )
        for name, one in series.items()
    ]
    header = ("command", "seconds", "MB/s", f"x `{floor.name}`", "CPU s", "own peak MiB")
    note = "zstd decompresses on one thread; restic also decrypts; snap, restic and borg verify."
    return Table(f"Reading {dump_bytes / 1e6:.0f} MB of dump text", header, tuple(rows), (note,))


def _without_analyze(series: Series) -> float | None:
    """Return the median of the times less what snap reports for ANALYZE."""
    if any("analyze_seconds" not in one.facts for one in series.runs):
        return None
    return series.median(lambda one: one.wall_seconds - one.facts["analyze_seconds"])


def _restore_table(series: dict[str, Series]) -> Table:
    floor = series[PSQL]
    rows = []
    for name, one in series.items():
        apart = one.wall_seconds
        if name == SNAP_RESTORE:
            apart = _without_analyze(one) or apart
        rows.append(
            (
                f"`{name}`",
                seconds(one.wall_seconds),
                seconds(apart),
                f"{apart / floor.wall_seconds:.2f}",
                seconds(one.cpu_seconds),
                seconds(one.median(lambda run_: run_.server_cpu_seconds)),
                mib(one.own_peak_bytes),
                children(one),
            )
        )
    header = (
        "command",
        "seconds",
        "without ANALYZE",
        "x psql",
        "client CPU s",
        "server CPU s",
        "own peak MiB",
        "children MiB",
    )
    notes = ["CREATE DATABASE is included in both; a checkpoint is made before each."]
    if SNAP_RESTORE in series and _without_analyze(series[SNAP_RESTORE]) is None:
        notes.append("snap did not report its time for ANALYZE: it is contained in its ratio.")
    return Table("Restoring into a new database", header, tuple(rows), tuple(notes))


def _start_table(series: dict[str, Series]) -> Table:
    floor = series[PYTHON]
    rows = [
        (f"`{name}`", seconds(one.wall_seconds, 3), f"{one.ratio_to(floor):.1f}")
        for name, one in series.items()
    ]
    note = f"Medians of {STARTS} starts."
    return Table("Starting", ("command", "seconds", "x python"), tuple(rows), (note,))


def _goals(
    read: dict[str, Series],
    restored: dict[str, Series],
    start: dict[str, Series],
    dump_bytes: int,
) -> tuple[Goal, ...]:
    cat, snap, psql = read[SNAP_CAT], restored[SNAP_RESTORE], restored[PSQL]
    rate = dump_bytes / 1e6 / cat.wall_seconds
    apart = _without_analyze(snap) or snap.wall_seconds
    log, version = start["snap log"].wall_seconds, start["snap --version"].wall_seconds
    return (
        goal_at_least("snap cat: 300 MB/s", rate, 300.0, " MB/s"),
        goal_at_most("restore: at most 1.1 x psql", apart / psql.wall_seconds, 1.1, " x"),
        goal_at_most("snap log: 0.25 s", log, 0.25, " s"),
        goal_at_most("snap --version: 0.15 s", version, 0.15, " s"),
        memory_goal("snap cat", cat),
        memory_goal("snap restore", snap),
    )


def main() -> None:
    options = arguments(__doc__.partition("\n")[0]).parse_args()
    with setting(options) as bench:
        bench.check_space(options.megabytes * 1e6 * 9)
        bench.load("bench_app", options.megabytes)
        section = measure(bench, "bench_app")
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
