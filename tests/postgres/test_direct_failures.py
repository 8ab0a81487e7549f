"""A dump whose rows are read directly is of one moment, or fails."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from contract.source_contract import put_together, read
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ConnectionFailed, DumpFailed, Interrupted, SourceError, ToolMissing
from pgsnap.model import SectionKind, SectionStart
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.base import Session
from pgsnap.sources.changes import history
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.history.cat import cat
from postgres.test_direct_source import SEVERAL, stable, text_of
from postgres.test_dump_race import server_of
from support.dumps.round_trips import without_volatile
from support.faults.racing import CHANGES, TABLES, ddl_in_the_gap, dumped
from support.restoring.clients import LABEL
from support.servers.databases import Database, new_name


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for transactions to end, where one lasts as long as the test."""
    take_mark = history.take_mark
    monkeypatch.setattr(history, "take_mark", lambda session, _: take_mark(session, 0.0))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("change", CHANGES)
def test_a_direct_dump_is_of_one_moment_whatever_commits_before_its_locks(
    database: Database, change: str
) -> None:
    database.psql(TABLES)
    before = database.dump()
    with ddl_in_the_gap(server_of(database), CHANGES[change]) as done:
        got = dumped(PostgresSource(server_of(database), with_globals=False, jobs=2))
    assert done
    assert got in (before, database.dump())


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("jobs", [None, 2])
def test_what_is_dropped_before_it_is_worded_is_never_recorded_without_its_definition(
    repo: Repository, database: Database, jobs: int | None
) -> None:
    database.psql(
        TABLES + "CREATE INDEX l_w ON l (w); CREATE STATISTICS l_s ON v, w FROM l;"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER l_t AFTER INSERT ON l EXECUTE FUNCTION f()"
    )
    server = server_of(database)
    drop = "BEGIN; DROP INDEX public.l_w; DROP STATISTICS public.l_s; DROP TRIGGER l_t ON public.l"
    with ddl_in_the_gap(server, drop + "; COMMIT") as done:
        source = PostgresSource(server, with_globals=False, jobs=jobs)
        report = commit(repo, source, database=LABEL, message="m")
    assert done
    text = b"".join(cat(repo, report.snapshot_id))
    assert without_volatile(text) == database.dump()


@contextmanager
def waiting_to_rewrite(database: Database, table: str) -> Iterator[Session]:
    """A session that waits for a table, which others read, to rewrite it."""
    with (
        server_of(database).connect() as session,
        server_of(database).connect() as watch,
    ):
        thread = threading.Thread(
            target=session.execute, args=(f"ALTER TABLE public.{table} ALTER v TYPE bigint",)
        )
        thread.start()
        asked = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted"
        while watch.query(asked)[0][0] == "0":
            time.sleep(0.005)
        yield watch
        thread.join()


def test_a_session_that_waits_for_a_table_meanwhile_does_not_hold_the_dump_up(
    database: Database,
) -> None:
    database.psql(
        "".join(
            f"CREATE TABLE t{n} (v int, w text);"
            f"INSERT INTO t{n} SELECT i, repeat('w', 90) FROM generate_series(1, 60000) i;"
            for n in range(5)
        )
    )
    expected = database.dump()
    source = PostgresSource(server_of(database), with_globals=False, jobs=2)
    source.open()
    events = source.events()
    parts = [next(events)]
    with waiting_to_rewrite(database, "t4"):
        parts += events
        result = source.finish()
    assert source.streamed_because == ""
    assert stable(put_together(_sections(parts), result)) == expected


def _sections(events: list[Any]) -> dict[Any, bytes]:
    sections: dict[Any, bytes] = {}
    name = None
    for event in events:
        if isinstance(event, SectionStart):
            name = event.name
            sections[name] = b""
        elif isinstance(event, bytes):
            sections[name] += event
    return sections


def test_where_a_session_waits_for_a_table_already_pg_dump_reads_the_rows(
    database: Database,
) -> None:
    database.psql("CREATE TABLE t (v int); INSERT INTO t SELECT generate_series(1, 100)")
    with server_of(database).connect() as holder:
        holder.execute("BEGIN; LOCK TABLE public.t IN ACCESS SHARE MODE")
        source = PostgresSource(server_of(database), with_globals=False, jobs=2)
        with waiting_to_rewrite(database, "t"):
            thread = threading.Timer(1.0, holder.execute, args=("COMMIT",))
            thread.start()
            sections, result = read(source)
            thread.join()
    assert b"100\n" in put_together(sections, result)


LONG = "INSERT INTO t SELECT i, NULL, NULL, i FROM generate_series(60001, 900000) i"


def test_a_reader_that_is_terminated_fails_the_dump(database: Database) -> None:
    database.psql(SEVERAL + LONG)
    source = PostgresSource(server_of(database), with_globals=False, jobs=2)
    source.open()
    events = source.events()
    for event in events:
        if isinstance(event, SectionStart) and event.name.kind is SectionKind.DATA:
            break
    database.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'snap rows%' AND datname = current_database()"
    )
    with pytest.raises(SourceError) as caught:
        for _ in events:
            pass
    assert isinstance(caught.value, DumpFailed | ConnectionFailed)
    assert "public.t" in caught.value.detail
    assert "look into its log" in caught.value.hint
    source.abandon()


def test_an_abandoned_dump_leaves_no_backend(database: Database) -> None:
    database.psql(SEVERAL + LONG)
    source = PostgresSource(server_of(database), with_globals=False, jobs=2)
    source.open()
    events = source.events()
    for event in events:
        if isinstance(event, SectionStart) and event.name.kind is SectionKind.DATA:
            break
    thread = threading.Thread(target=source.abandon)
    thread.start()
    with pytest.raises((Interrupted, SourceError)):
        for _ in events:
            pass
    thread.join()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'snap %'"
    deadline = time.monotonic() + 60
    while database.psql(asked + " AND datname = current_database()").strip() != "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rows_hidden_by_row_security_fail_the_dump_with_the_way_out(
    database: Database, cluster: Cluster
) -> None:
    role = new_name("reader")
    cluster.psql(f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}")
    try:
        database.psql(
            "CREATE TABLE t (v int); INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL"
            " SECURITY; CREATE POLICY p ON t USING (v > 1)"
        )
        source = PostgresSource(server_of(database, user=role), with_globals=False, jobs=2)
        with pytest.raises(DumpFailed) as caught:
            read(source)
        assert "public.t" in caught.value.detail
        assert "BYPASSRLS" in caught.value.hint
        source.abandon()
    finally:
        cluster.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_sequence_that_may_not_be_read_fails_the_dump_with_the_way_out(
    database: Database, cluster: Cluster
) -> None:
    role = new_name("reader")
    cluster.psql(f"CREATE ROLE {role} LOGIN")
    try:
        database.psql(
            "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE SEQUENCE hidden;"
            f"GRANT SELECT ON t TO {role}"
        )
        source = PostgresSource(server_of(database, user=role), with_globals=False, jobs=2)
        with pytest.raises(DumpFailed) as caught:
            read(source)
        # Since 18 pg_dump reads it for the definitions, too, and says less.
        words = caught.value.message + caught.value.detail
        assert re.search(r'sequence "?hidden', words)
        assert "GRANT pg_read_all_data" in caught.value.hint
        source.abandon()
    finally:
        database.psql(f"DROP OWNED BY {role}")
        cluster.psql(f"DROP ROLE {role}")


class WithoutPsql(LocalRunner):
    """A host on which only pg_dump is installed."""

    def find(self, name: str, major: int | None = None) -> Tool:
        if name == "psql":
            raise ToolMissing("psql is not installed")
        return super().find(name, major)


def test_without_psql_the_rows_are_read_by_pg_dump(database: Database) -> None:
    database.psql(SEVERAL)
    server = server_of(database)
    server.runner = WithoutPsql(database.cluster.binaries.bindir)
    source = PostgresSource(server, with_globals=False, jobs=2)
    assert text_of(source) == database.dump()
    assert source.streamed_because == "psql is not installed"


def test_a_role_with_too_few_connections_is_dumped_by_pg_dump(
    database: Database, cluster: Cluster
) -> None:
    role = new_name("few")
    cluster.psql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2; GRANT pg_read_all_data TO {role}")
    try:
        database.psql(SEVERAL)
        source = PostgresSource(server_of(database, user=role), with_globals=False, jobs=2)
        assert text_of(source) == database.dump()
        assert "too many connections" in source.streamed_because
    finally:
        cluster.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_tables_that_cannot_be_locked_twice_are_dumped_by_pg_dump(own_cluster: Cluster) -> None:
    own_cluster.psql(
        "ALTER SYSTEM SET max_locks_per_transaction = 10; ALTER SYSTEM SET max_connections = 15;"
        "ALTER SYSTEM SET max_prepared_transactions = 0; ALTER SYSTEM SET max_wal_senders = 2"
    )
    own_cluster.restart()
    own_cluster.create_database("many")
    database = Database(own_cluster, "many")
    database.psql(
        "SELECT format('CREATE TABLE t%s (i int)', i) FROM generate_series(1, 500) i \\gexec"
    )
    source = PostgresSource(server_of(database), with_globals=False, jobs=2)
    assert text_of(source) == database.dump()
    assert "no room for two locks" in source.streamed_because
