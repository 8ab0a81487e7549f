"""What commits between pg_dump's snapshot and its locks is dumped as it was or as it is, whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.source_contract import put_together, read, read_opened
from pgsnap.errors import TablesChanged
from pgsnap.limits import DUMP_ATTEMPTS
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit import commit
from support.databases import Database, is_volatile
from support.racing import GATE, ddl_in_the_gap

TABLES = (
    GATE
    + """
CREATE TABLE l (id int PRIMARY KEY, v int, w text);
INSERT INTO l SELECT i, i, 'w' || i FROM generate_series(1, 1000) i;
CREATE TABLE other (id int PRIMARY KEY, v int, w text);
INSERT INTO other SELECT i, -i, 'o' || i FROM generate_series(1, 50) i;
CREATE MATERIALIZED VIEW m AS SELECT id, w FROM l;
CREATE TABLE p (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (500);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (500) TO (1001);
INSERT INTO p SELECT i, i FROM generate_series(1, 1000) i;
CREATE TABLE p3 (id int, v int); INSERT INTO p3 SELECT i, i FROM generate_series(1001, 1100) i;
CREATE SCHEMA one; CREATE TABLE one.t (id int); INSERT INTO one.t SELECT generate_series(1, 10);
CREATE SCHEMA two; CREATE TABLE two.t (id int, x int); INSERT INTO two.t SELECT i, 5
    FROM generate_series(1, 20) i;
"""
)

# Rows that pg_dump cannot have written to its end before anybody reads them.
LARGE = 1_000_000

CHANGES = {
    "a column's type is altered": "ALTER TABLE public.l ALTER v TYPE bigint",
    "a table is emptied and filled again": "BEGIN; TRUNCATE public.l;"
    " INSERT INTO public.l SELECT i, 2 * i, 'new' FROM generate_series(1, 700) i; COMMIT",
    "a table becomes unlogged": "ALTER TABLE public.l SET UNLOGGED",
    "a table is dropped and made again": "BEGIN; DROP TABLE public.l CASCADE;"
    " CREATE TABLE public.l AS SELECT i AS id FROM generate_series(1, 300) i; COMMIT",
    "a table is dropped": "DROP TABLE public.other",
    "a table takes the name of another": "BEGIN; ALTER TABLE public.l RENAME TO l_old;"
    " ALTER TABLE public.other RENAME TO l; COMMIT",
    "schemas change places": "BEGIN; ALTER SCHEMA one RENAME TO three;"
    " ALTER SCHEMA two RENAME TO one; ALTER SCHEMA three RENAME TO two; COMMIT",
    "a column is dropped and added again": "ALTER TABLE public.other DROP v, ADD v int DEFAULT 7",
    "columns change places": "BEGIN; ALTER TABLE public.other RENAME v TO x;"
    " ALTER TABLE public.other RENAME w TO v; ALTER TABLE public.other RENAME x TO w; COMMIT",
    "a partition is attached": "ALTER TABLE public.p ATTACH PARTITION public.p3"
    " FOR VALUES FROM (1001) TO (1101)",
    "a partition is detached": "ALTER TABLE public.p DETACH PARTITION public.p2",
    "a partition is emptied and detached": "BEGIN; ALTER TABLE public.p DETACH PARTITION public.p2;"
    " TRUNCATE public.p2; INSERT INTO public.p2 VALUES (1, 1); COMMIT",
    "a partition moves to a new parent": "BEGIN; ALTER TABLE public.p DETACH PARTITION public.p1;"
    " DROP TABLE public.p; CREATE TABLE public.p (id int, v int) PARTITION BY RANGE (id);"
    " ALTER TABLE public.p ATTACH PARTITION public.p1 FOR VALUES FROM (1) TO (500); COMMIT",
    "a table is clustered": "CLUSTER public.l USING l_pkey",
    "a table is vacuumed whole": "VACUUM FULL public.l",
    "a materialized view is refreshed": "REFRESH MATERIALIZED VIEW public.m",
    "a materialized view is emptied": "REFRESH MATERIALIZED VIEW public.m WITH NO DATA",
}


def server_of(
    database: Database, client: ClientKind = "psycopg", user: str | None = None
) -> Server:
    runner = LocalRunner(database.cluster.binaries.bindir)
    dsn = database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), runner, client=client)


def dumped(source: PostgresSource) -> bytes:
    source.open()
    return dumped_again(source)


def dumped_again(source: PostgresSource) -> bytes:
    text = put_together(*read_opened(source))
    return b"".join(line for line in text.splitlines(keepends=True) if not is_volatile(line))


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
    deadline = time.monotonic() + 10
    while database.psql(f"SELECT count(*) FROM pg_stat_activity WHERE {which}") != "0":
        assert time.monotonic() < deadline


def test_tables_that_change_at_every_attempt_are_named_and_nothing_is_passed_on(
    database: Database,
) -> None:
    database.psql(TABLES)
    server, starts = counting(database)
    source = PostgresSource(server)
    source.open()
    with (
        ddl_in_the_gap(server_of(database), *[CHANGES["a table is emptied and filled again"]] * 9),
        pytest.raises(TablesChanged) as caught,
    ):
        next(source.events())
    source.abandon()
    assert "public.l" in caught.value.message
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
