"""What commits that read only what changed cost, beside pg_dump; a restore with two jobs beside
psql and pg_restore -j2, and one of only what differs.

For each major version a private server of its own, fsync on, autovacuum on, WAL summaries where it
has them. In each round a new repository gets the first snapshot of a new copy of the loaded
database, then one after each change; ratios are between runs of the same round. The thirtieth
commit after a random change is measured in the last repository.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench_commit import FLOOR, init_repository
from bench_read import RESTORED
from incremental_tables import (
    CHANGED_DELETED,
    CHANGED_RANDOM,
    FIRST,
    JOBS,
    LAST_MEASURED,
    LOCAL,
    PG_RESTORE,
    PSQL,
    RANDOM,
    RANDOM_1,
    RESTORE,
    SUMMARIES,
    UNCHANGED,
    VACUUMED,
    commit_table,
    goals,
    last_of,
    restore_table,
)
from measure import Case, Command, Measurement, Series, interleave, run
from report import (
    Section,
    document,
    markdown,
    write_json,
)
from rows import TABLES
from setting import Setting, arguments, remove, setting, stored_bytes

DATABASE = "bench_app"
LOADED = "bench_loaded"
MAJORS = (15, 17, 18)
# The first with ways to copy a database.
STRATEGIES = 15
WAL_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


@dataclass
class Subject:
    """A loaded server, the repository of the round, and the number of the latest change."""

    bench: Setting
    major: int
    changes: int = 0
    wal_before: int = 0
    stored_before: int = 0

    @property
    def repository(self) -> Path:
        return self.bench.scratch / f"snap-{self.major}" / "repository"

    def copy(self) -> None:
        """Make the database again as it was loaded: what a round changed, and the free space that
        it left, is not there in the next."""
        self.bench.server.drop(DATABASE)
        how = " STRATEGY file_copy" if self.major >= STRATEGIES else ""
        with self.bench.server.connect() as connection:
            connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {LOADED}{how}".encode())
        # What is measured next is not to pay for the copy: its writing, or what is not cached yet.
        os.sync()
        run(self.bench.command(self.bench.server.pg_dump(DATABASE)))

    def init(self) -> None:
        init_repository(self.bench, self.repository)
        toml = self.repository.parent / "snap.toml"
        toml.write_text(f'{toml.read_text() if toml.exists() else ""}\nsource = "direct"\n')
        self.mark()

    def commit(self) -> Command:
        dsn = ("--dsn", self.bench.server.dsn(DATABASE))
        argv = self.bench.snap(
            self.repository, "commit", *dsn, "--jobs", str(JOBS), "-m", "benchmark"
        )
        return self.bench.command(argv, folder=self.repository.parent)

    def mark(self) -> None:
        self.stored_before = stored_bytes(self.repository)
        self.wal_before = self.wal_position()

    def changed_only(self) -> Command:
        dsn = ("--dsn", self.bench.server.dsn(DATABASE))
        argv = self.bench.snap(
            self.repository, "restore", "latest", *dsn, "--changed-only", "--yes"
        )
        return self.bench.command(argv, folder=self.repository.parent)

    def change_after_commit(self) -> None:
        """Change rows at random places; what was there is the latest snapshot, and not what the
        restore before this one saved."""
        run(self.commit())
        self.change(0.001, is_local=False)

    def delete_after_commit(self) -> None:
        """Delete half of a large table that no other one refers to, after the same."""
        run(self.commit())
        with self.bench.server.connect(DATABASE) as connection:
            connection.execute(b"DELETE FROM events WHERE id % 2 = 0")
        self.mark()

    def wal_position(self) -> int:
        with self.bench.server.connect() as connection:
            row = connection.execute(WAL_POSITION.encode()).fetchone()
        return int(row[0]) if row else 0

    def grown(self, measurement: Measurement) -> dict[str, float]:
        """Return what a run stored, and what it made the server write."""
        return {
            "stored_bytes": stored_bytes(self.repository) - self.stored_before,
            "wal_bytes": self.wal_position() - self.wal_before,
        }

    def wal(self, measurement: Measurement) -> dict[str, float]:
        return {"wal_bytes": self.wal_position() - self.wal_before}

    def change(self, share: float, *, is_local: bool) -> None:
        """Update *share* of the rows of every table, other ones each time: neighbours, or any of a
        table that was vacuumed before."""
        self.changes += 1
        with self.bench.server.connect(DATABASE) as connection:
            for table in TABLES:
                if not is_local:
                    connection.execute(f"VACUUM {table}".encode())
                where = (
                    f"id / (SELECT greatest(1, ceil(max(id) * {share}))::bigint FROM {table})"
                    f" = {self.changes * 7 + 100}"
                    if is_local
                    else f"hashint8extended(id, {self.changes}) & 1048575 < {1048576 * share}"
                )
                connection.execute(f"UPDATE {table} SET {SET[table]} WHERE {where}".encode())
        self.mark()

    def vacuum(self) -> None:
        with self.bench.server.connect(DATABASE) as connection:
            connection.execute(b"VACUUM")
        self.mark()


# Of a table each a column in no index.
SET = {
    "users": "name = reverse(name)",
    "orders": "address = reverse(address)",
    "order_items": "quantity = quantity + 1",
    "events": "kind = reverse(kind)",
    "chat": "body = reverse(body)",
}


def measure(bench: Setting, major: int, *, commits: int, restores: bool) -> Section:
    """Measure all on one server, which is loaded."""
    subject = Subject(bench, major)
    series = _measure_commits(subject)
    last = _measure_last(subject, commits) if commits else {}
    restored = _measure_restores(subject) if restores else {}
    remove(subject.repository.parent)
    tables = [commit_table(major, {**series, **last})]
    if restored:
        tables.append(restore_table(major, restored))
    every = (*series.values(), *last.values(), *restored.values())
    return Section(
        f"incremental {major}",
        tuple(tables),
        tuple(goals(major, series, last, restored, commits)),
        every,
    )


def _measure_commits(subject: Subject) -> dict[str, Series]:
    bench = subject.bench
    prepare: dict[str, Callable[[], None]] = {
        FIRST: subject.init,
        UNCHANGED: subject.mark,
        VACUUMED: subject.vacuum,
        LOCAL: partial(subject.change, 0.001, is_local=True),
        RANDOM: partial(subject.change, 0.001, is_local=False),
        RANDOM_1: partial(subject.change, 0.01, is_local=False),
    }
    # VACUUM changes the pages that were changed before: those of a local change are few, and what a
    # round leaves is cleared up at its end.
    order = (FIRST, UNCHANGED, LOCAL, RANDOM, RANDOM_1, VACUUMED)
    return interleave(
        [
            Case(FLOOR, lambda: bench.command(bench.server.pg_dump(DATABASE)), subject.copy),
            *(Case(name, subject.commit, prepare[name], subject.grown) for name in order),
        ],
        bench.rounds,
        server_pid=bench.server.postmaster_pid,
        say=bench.say,
    )


def _measure_last(subject: Subject, commits: int) -> dict[str, Series]:
    """Return the last of *commits* commits, each after 0.1 % random, beside pg_dump."""
    bench = subject.bench
    measured = min(LAST_MEASURED, commits)
    for _ in range(commits - measured):
        subject.change(0.001, is_local=False)
        run(subject.commit())
    floor = f"{FLOOR}, beside the last"
    random = Case(
        last_of(commits),
        subject.commit,
        partial(subject.change, 0.001, is_local=False),
        subject.grown,
    )
    return interleave(
        [Case(floor, lambda: bench.command(bench.server.pg_dump(DATABASE))), random],
        measured,
        server_pid=bench.server.postmaster_pid,
        say=bench.say,
    )


def _measure_restores(subject: Subject) -> dict[str, Series]:
    bench, server = subject.bench, subject.bench.server
    plain, folder = bench.scratch / "dump.sql", bench.scratch / "dump.d"
    run(bench.command(server.pg_dump(DATABASE), stdout=plain))
    run(bench.command((*server.pg_dump(DATABASE), "-Fd", f"-j{JOBS}", "-f", str(folder))))
    snap = bench.snap(
        subject.repository,
        *("restore", "latest", "--dsn", server.dsn("postgres")),
        *("--to", RESTORED, "--yes", "--jobs", str(JOBS)),
    )
    pg_restore = (server.tool("pg_restore"), "-d", server.dsn(RESTORED), f"-j{JOBS}", str(folder))

    def empty(*, is_made: bool) -> None:
        server.drop(RESTORED)
        server.checkpoint()
        # snap makes the database itself.
        subject.mark()
        if is_made:
            server.create(RESTORED)

    made, unmade = partial(empty, is_made=True), partial(empty, is_made=False)
    series = interleave(
        [
            Case(
                PSQL,
                lambda: bench.command(server.psql(RESTORED, "-f", str(plain))),
                made,
                subject.wal,
            ),
            Case(PG_RESTORE, lambda: bench.command(pg_restore), made, subject.wal),
            Case(
                RESTORE,
                lambda: bench.command(snap, folder=subject.repository.parent),
                unmade,
                subject.wal,
            ),
            Case(
                CHANGED_RANDOM,
                subject.changed_only,
                subject.change_after_commit,
                subject.wal,
            ),
            Case(CHANGED_DELETED, subject.changed_only, subject.delete_after_commit, subject.wal),
        ],
        bench.rounds,
        server_pid=server.postmaster_pid,
        say=bench.say,
    )
    server.drop(RESTORED)
    plain.unlink()
    remove(folder)
    return series


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0], with_dsn=False)
    parser.set_defaults(megabytes=2000)
    words = "which versions of PostgreSQL"
    parser.add_argument("--majors", type=int, nargs="+", default=MAJORS, help=words)
    words = "how many commits after 0.1 %% random; 0 leaves them out"
    parser.add_argument("--commits", type=int, default=30, help=words)
    parser.add_argument("--without-restore", action="store_true", help="measure only commits")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args()
    if options.without_snap:
        parser.error("without snap there is nothing to measure here")
    from pgsnap.cluster import binaries

    there = binaries.find_all()
    for major in options.majors:
        if major not in there:
            print(f"PostgreSQL {major} is not installed: left out", file=sys.stderr)
            continue
        settings = {"summarize_wal": "on"} if major >= SUMMARIES else {}
        with setting(options, settings, major=major, fsync=True) as bench:
            bench.check_space(options.megabytes * 1e6 * 11)
            bench.load(LOADED, options.megabytes)
            # The first one after a load marks nearly every page.
            with bench.server.connect(LOADED) as connection:
                connection.execute(b"VACUUM")
            section = measure(
                bench, major, commits=options.commits, restores=not options.without_restore
            )
            facts = {"megabytes": options.megabytes, "rounds": options.rounds}
            stored = document([section], bench, facts)
            print(markdown(stored), flush=True)
            write_json(stored, options.results, "incremental-")


if __name__ == "__main__":
    main()
