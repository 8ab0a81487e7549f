"""pg_dump as a source: whole dumps, and every way for one to fail."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from contract.source_contract import SourceContract, put_together, read
from pgsnap.errors import ConnectionFailed, DumpFailed, DumpIncomplete, Interrupted
from pgsnap.model import SectionKind, SourceKind
from pgsnap.runners.local import LocalRunner
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.base import Source
from pgsnap.sources.postgres import PostgresSource
from support.servers.databases import Database, is_volatile

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, at timestamptz, data bytea, n float8);
INSERT INTO t SELECT i, '2026-01-01 00:00+05'::timestamptz + i * '1 h'::interval,
    decode(md5(i::text), 'hex'), 1.0 / i FROM generate_series(1, 20000) i;
CREATE TABLE u (id int); INSERT INTO u VALUES (1);
"""


def server_of(
    database: Database, user: str | None = None, runner: type[LocalRunner] = LocalRunner
) -> Server:
    dsn = database.dsn if user is None else database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), runner(database.cluster.binaries.bindir))


@pytest.fixture
def filled(database: Database) -> Database:
    database.psql(TABLES)
    return database


class ShortLived(LocalChild):
    """A child that is killed once something of it was read."""

    def readinto(self, buffer: memoryview) -> int:
        count = super().readinto(buffer[:4096])
        self.kill()
        return count


class Cutting(LocalRunner):
    """Its tools die after their first block of output."""

    child_class: type[LocalChild] = ShortLived

    def start(self, *args: Any, **more: Any) -> LocalChild:
        child = super().start(*args, **more)
        child.__class__ = self.child_class
        return child


class TestPostgresSource(SourceContract):
    @pytest.fixture
    def text(self, filled: Database) -> bytes:
        server = server_of(filled)
        child = server.start_tool("pg_dump", ["--no-password"], database=filled.name)
        parts = []
        while data := child.read(1 << 20):
            parts.append(data)
        return b"".join(parts)

    @pytest.fixture
    def source(self, filled: Database) -> Source:
        return PostgresSource(server_of(filled))

    @pytest.fixture
    def cut_source(self, filled: Database) -> Source:
        return PostgresSource(server_of(filled, runner=Cutting))


class Chatty(LocalChild):
    """A wrapper that has something to say first, and ends with status 0 wherever it was cut."""

    greeted: bool = False

    def readinto(self, buffer: memoryview) -> int:
        if not self.greeted:
            self.greeted = True
            buffer[:8] = b"-- hell\n"
            return 8
        return 0

    def wait(self, timeout: float | None = None) -> int:
        super().wait(timeout)
        return 0


class Wrapping(Cutting):
    """Its tools are such wrappers."""

    child_class = Chatty


def test_what_does_not_begin_as_a_dump_is_none_whatever_the_exit_status(filled: Database) -> None:
    source = PostgresSource(server_of(filled, runner=Wrapping), with_globals=False)
    source.open()
    assert list(source.events())
    with pytest.raises(DumpIncomplete, match="does not begin as a dump"):
        source.finish()


def test_the_dump_is_pg_dumps_own_byte_for_byte(filled: Database) -> None:
    filled.psql(f"ALTER DATABASE {filled.name} SET timezone = 'Asia/Tokyo'")
    filled.psql(f"ALTER DATABASE {filled.name} SET bytea_output = 'escape'")
    source = PostgresSource(server_of(filled), lock_wait_timeout_seconds=5)
    sections, result = read(source)
    text = put_together(sections, result)
    stable = b"".join(x for x in text.splitlines(keepends=True) if not is_volatile(x))
    assert stable == filled.dump()
    origin = result.origin
    assert origin.kind is SourceKind.POSTGRES
    assert origin.properties is not None
    assert origin.properties.name == filled.name
    assert origin.tool.startswith("pg_dump (PostgreSQL)")
    assert origin.owners == ("postgres",)
    assert source.warnings == ()


def test_globals_are_a_section_of_their_own(filled: Database) -> None:
    filled.cluster.psql("CREATE ROLE with_secret LOGIN PASSWORD 'x'")
    try:
        sections, result = read(PostgresSource(server_of(filled)))
        (text,) = [data for name, data in sections.items() if name.kind is SectionKind.GLOBALS]
        assert b"CREATE ROLE with_secret;" in text
        assert b"SCRAM-SHA-256" in text
        assert result.origin.globals_status == "full"
        sections, result = read(PostgresSource(server_of(filled), with_globals=False))
        assert result.origin.globals_status == "none"
        assert all(name.kind is not SectionKind.GLOBALS for name in sections)
    finally:
        filled.cluster.psql("DROP ROLE with_secret")


def test_a_least_privilege_role_can_dump_everything_but_passwords(filled: Database) -> None:
    filled.cluster.psql("CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup")
    try:
        sections, result = read(PostgresSource(server_of(filled, "backup")))
        whole, _ = read(PostgresSource(server_of(filled)))
        data = [name for name in whole if name.kind is SectionKind.DATA]
        assert len(data) == 2
        assert all(sections[name] == whole[name] for name in data)
        assert result.origin.globals_status == "without-passwords"
        (text,) = [data for name, data in sections.items() if name.kind is SectionKind.GLOBALS]
        assert b"CREATE ROLE backup;" in text
        assert b"PASSWORD" not in text
    finally:
        filled.cluster.psql("DROP OWNED BY backup; DROP ROLE backup")


def test_a_role_without_rights_is_told_which_grant_helps(filled: Database) -> None:
    filled.cluster.psql("CREATE ROLE nobody LOGIN")
    try:
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server_of(filled, "nobody")))
        assert "permission denied" in caught.value.detail
        assert "GRANT pg_read_all_data TO nobody" in caught.value.hint
        filled.psql("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t, u TO nobody")
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server_of(filled, "nobody")))
        assert "ALTER ROLE nobody BYPASSRLS" in caught.value.hint
    finally:
        filled.psql("DROP OWNED BY nobody")
        filled.cluster.psql("DROP ROLE nobody")


def test_a_locked_table_and_who_holds_it_are_named(filled: Database) -> None:
    with server_of(filled).connect(application_name="migration") as session:
        session.execute("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server_of(filled), lock_wait_timeout_seconds=0.2))
    assert "(migration) holds public.t." in caught.value.detail
    assert "--lock-wait-timeout" in caught.value.hint


def test_a_pg_dump_killed_in_the_middle_is_no_dump(filled: Database) -> None:
    with pytest.raises(DumpFailed, match="killed by signal 9"):
        read(PostgresSource(server_of(filled, runner=Cutting)))


def test_an_ended_backend_is_no_dump(filled: Database) -> None:
    filled.psql("INSERT INTO t SELECT i, now(), repeat('x', 500)::bytea, 1"
                " FROM generate_series(20001, 60000) i")  # fmt: skip
    source = PostgresSource(server_of(filled))
    source.open()
    events = source.events()
    next(events)
    assert source._dump is not None
    assert source._dump._run is not None
    assert server_of(filled).terminate(source._dump._run.application) == 1
    with pytest.raises(DumpFailed) as caught:
        list(events)
    assert "log" in caught.value.hint


@pytest.mark.parametrize("step", [1, 3, 10])
def test_an_abandoned_dump_leaves_no_child_and_no_backend(filled: Database, step: int) -> None:
    source = PostgresSource(server_of(filled))
    source.open()
    events = source.events()
    for _ in range(step):
        next(events)
    assert source._dump is not None
    run = source._dump._run
    threading.Timer(0.1, source.abandon).start()
    time.sleep(0.3)
    with pytest.raises(Interrupted):
        list(events)
    with pytest.raises(Interrupted):
        source.finish()
    assert run is None or run.child.poll() is not None
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'snap pg_dump%'"
    assert filled.psql(sql) == "0"


def test_a_connection_that_is_refused_says_so(filled: Database) -> None:
    with pytest.raises(ConnectionFailed):
        PostgresSource(server_of(filled), database="nosuchdb").open()


def test_a_warning_of_pg_dump_is_kept_and_not_fatal(filled: Database) -> None:
    filled.psql(
        "CREATE TABLE a (id int PRIMARY KEY, o int); CREATE TABLE b (id int PRIMARY KEY, o int"
        " REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (o) REFERENCES b"
    )
    source = PostgresSource(server_of(filled), dump_options=("--data-only",))
    read(source)
    assert any("circular" in line for line in source.warnings)


def test_a_database_of_bytes_that_are_no_utf8_comes_through(database: Database) -> None:
    name = f"{database.name}_ascii"
    database.cluster.psql(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        " TEMPLATE template0"
    )
    try:
        ascii_database = replace(database, name=name)
        ascii_database.psql("CREATE TABLE t (a text); INSERT INTO t VALUES (E'\\xff\\xfe')")
        sections, result = read(PostgresSource(server_of(ascii_database)))
        assert any(b"\n\xff\xfe\n" in data for data in sections.values())
        assert result.origin.client_encoding == "SQL_ASCII"
    finally:
        database.cluster.drop_database(name)
