"""What commits between pg_dump's snapshot and its locks is dumped as it was or as it is, whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.source_contract import read
from pgsnap.errors import TablesChanged
from pgsnap.limits import DUMP_ATTEMPTS
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from support.faults.racing import CHANGES, TABLES, ddl_in_the_gap, dumped, dumped_again
from support.servers.databases import Database

# Rows that pg_dump cannot have written to its end before anybody reads them.
LARGE = 1_000_000


def server_of(
    database: Database, client: ClientKind = "psycopg", user: str | None = None
) -> Server:
    runner = LocalRunner(database.cluster.binaries.bindir)
    dsn = database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), runner, client=client)


@pytest.mark.parametrize("client", ["psycopg", "psql"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_dump_is_of_one_moment_whatever_commits_before_its_locks(
    database: Database, change: str, client: ClientKind
) -> None:
    database.psql(TABLES)
    before = database.dump()
    server = server_of(database, client)
    with ddl_in_the_gap(server_of(database), CHANGES[change]) as done:
        got = dumped(PostgresSource(server, with_globals=False))
    assert done
    assert got in (before, database.dump())


class Counting(LocalRunner):
    """A runner that notes which programs it started."""

    def __init__(self, bindir: Path) -> None:
        super().__init__(bindir)
        self.starts: list[str] = []

    def start(self, argv: Sequence[str], **more: Any) -> LocalChild:
        self.starts.append(Path(argv[0]).name)
        return super().start(argv, **more)


def counting(database: Database, user: str | None = None) -> tuple[Server, list[str]]:
    """Return the server, and what is started on it."""
    runner = Counting(database.cluster.binaries.bindir)
    return Server(server_of(database, user=user).endpoint, runner), runner.starts


def wait_until_gone(database: Database, which: str) -> None:
    """Backends end a moment after their clients."""
    deadline = time.monotonic() + 60
    while database.psql(f"SELECT count(*) FROM pg_stat_activity WHERE {which}") != "0":
        assert time.monotonic() < deadline


def test_tables_that_change_at_every_attempt_are_named_and_nothing_is_passed_on(
    database: Database,
) -> None:
    database.psql(TABLES)
    emptied = CHANGES["a table is emptied and filled again"]
    changed: TablesChanged | None = None
    # On a busy machine a pg_dump may pass the gate before it is shut again; then it is whole.
    while changed is None:
        server, starts = counting(database)
        source = PostgresSource(server)
        with ddl_in_the_gap(server_of(database), *[emptied] * 9):
            # It starts pg_dump, which is not to pass the gate before that is shut.
            source.open()
            try:
                next(source.events())
            except TablesChanged as error:
                changed = error
        source.abandon()
    assert "public.l" in changed.message
    assert starts == ["pg_dump"] * DUMP_ATTEMPTS
    wait_until_gone(database, "application_name LIKE 'snap%'")


def test_a_large_dump_begins_anew_before_anything_of_it_is_passed_on(database: Database) -> None:
    database.psql(TABLES)
    database.psql(f"INSERT INTO one.t SELECT i FROM generate_series(1, {LARGE}) i")
    server, starts = counting(database)
    with ddl_in_the_gap(server_of(database), CHANGES["a table is emptied and filled again"]):
        got = dumped(PostgresSource(server, with_globals=False))
    assert got == database.dump()
    assert starts == ["pg_dump"] * 2


def test_a_table_of_an_extension_is_locked_late_and_known_at_the_end(database: Database) -> None:
    """pg_dump locks an extension's configuration no sooner than it reads its rows."""
    database.psql(TABLES)
    database.psql("CREATE EXTENSION pgsnap_demo; INSERT INTO vat_rates VALUES ('AT', 20, false)")
    database.psql(f"INSERT INTO one.t SELECT i FROM generate_series(1, {LARGE}) i")
    source = PostgresSource(server_of(database), with_globals=False)
    source.open()
    events = source.events()
    next(events)
    database.psql(
        "BEGIN; TRUNCATE vat_rates; INSERT INTO vat_rates VALUES ('CH', 8.1, false); COMMIT"
    )
    for _ in events:
        pass
    with pytest.raises(TablesChanged, match=r"public\.vat_rates"):
        source.finish()
    assert dumped_again(source) == database.dump()


@pytest.mark.parametrize("change", [name for name in CHANGES if "materialized" in name])
def test_what_a_dump_holds_no_rows_of_is_no_reason_to_begin_anew(
    database: Database, change: str
) -> None:
    database.psql(TABLES)
    server, starts = counting(database)
    with ddl_in_the_gap(server_of(database), CHANGES[change]) as done:
        read(PostgresSource(server, with_globals=False))
    assert done
    assert starts == ["pg_dump"]


@pytest.mark.parametrize("rows", [10, LARGE])
@pytest.mark.parametrize(
    "part",
    [{"exclude_table_data": ("l", "p*")}, {"only_schemas": ("one", "two")}],
    ids=lambda part: next(iter(part)),
)
def test_tables_that_are_left_out_may_change_all_the_time(
    database: Database, part: dict[str, tuple[str, ...]], rows: int
) -> None:
    database.psql(TABLES)
    database.psql(f"INSERT INTO one.t SELECT i FROM generate_series(1, {rows}) i")
    server, starts = counting(database)
    emptied = CHANGES["a table is emptied and filled again"]
    with ddl_in_the_gap(server_of(database), *[emptied] * 9) as done:
        sections, _ = read(PostgresSource(server, with_globals=False, **part))
    assert len(done) == ("exclude_table_data" in part)
    lines = {(name.schema, name.name): text.count(b"\n") for name, text in sections.items()}
    assert lines["one", "t"] >= rows
    assert starts == ["pg_dump"]


@pytest.mark.parametrize("rows", [10, LARGE])
def test_a_table_that_changes_beside_one_that_is_left_out_is_seen(
    database: Database, rows: int
) -> None:
    """Of a large dump it is known at its end only; then nothing of it counts."""
    database.psql(TABLES)
    database.psql(f"INSERT INTO one.t SELECT i FROM generate_series(1, {rows}) i")
    source = PostgresSource(server_of(database), with_globals=False, exclude_table_data=("p*",))
    with ddl_in_the_gap(server_of(database), CHANGES["a column's type is altered"]) as done:
        if rows > 10:
            with pytest.raises(TablesChanged, match=r"public\.l$"):
                dumped(source)
            got = dumped_again(source)
        else:
            got = dumped(source)
    assert done
    assert got == database.dump("--exclude-table-data=p*")


def test_a_role_that_may_have_one_connection_is_told_at_the_end(database: Database) -> None:
    database.psql(TABLES)
    database.psql("CREATE ROLE alone LOGIN CONNECTION LIMIT 1; GRANT pg_read_all_data TO alone")
    try:
        server, starts = counting(database, "alone")
        before = database.dump()
        assert dumped(PostgresSource(server, with_globals=False)) == before
        assert starts == ["pg_dump"] * 2
        wait_until_gone(database, "usename = 'alone'")
        source = PostgresSource(server, with_globals=False)
        with (
            ddl_in_the_gap(server_of(database), CHANGES["a column's type is altered"]),
            pytest.raises(TablesChanged) as caught,
        ):
            dumped(source)
        assert "public.l" in caught.value.message
        wait_until_gone(database, "usename = 'alone'")
        assert dumped_again(source) == database.dump()
    finally:
        database.psql("DROP OWNED BY alone; DROP ROLE alone")


def test_a_commit_stores_what_the_second_dump_held(database: Database, tmp_path: Path) -> None:
    """Of a large dump in which a table without lock was emptied meanwhile, nothing stays."""
    database.psql(TABLES)
    database.psql(f"INSERT INTO one.t SELECT i FROM generate_series(1, {LARGE}) i")
    Repository.create(tmp_path / "repo")
    repo = Repository.open(tmp_path / "repo")
    source = PostgresSource(server_of(database), exclude_table_data=("p*",))
    with ddl_in_the_gap(server_of(database), CHANGES["a column's type is altered"]) as done:
        report = commit(repo, source, database="shop", message="first")
    assert done
    sections = list(repo.sections(report.snapshot))
    assert [section.rows for section in sections if section.name.name == "l"] == [1000]
    assert len({section.name for section in sections}) == len(sections)
