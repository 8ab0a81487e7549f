"""Both sessions and the Server on a real cluster: the contract, and each way to be refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contract.session_contract import SessionContract
from pgsnap import interrupts
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ConnectionFailed, ToolVersion
from pgsnap.interrupts import Stopped
from pgsnap.runners.base import Tool
from pgsnap.runners.local import LocalRunner
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.postgres import PostgresSource
from support.servers.databases import Database, new_name

CLIENTS: list[ClientKind] = ["psycopg", "psql"]
AWKWARD_NAMES = ["-x", "a b'c\"d\\e", "postgresql://x", "dbname=postgres", "ä.é;--", " x"]


def server_of(cluster: Cluster, dsn: str, client: ClientKind = "psycopg") -> Server:
    return Server(Endpoint.parse(dsn, {}), LocalRunner(cluster.binaries.bindir), client=client)


class SessionOnServer(SessionContract):
    client: ClientKind

    @pytest.fixture
    def again(self, database: Database) -> Iterator[Callable[[], Session]]:
        server = server_of(database.cluster, database.dsn, self.client)
        with ExitStack() as stack:

            def connect() -> Session:
                return stack.enter_context(server.connect())

            yield connect

    @pytest.fixture
    def session(self, again: Callable[[], Session]) -> Session:
        return again()


class TestPsycopgSession(SessionOnServer):
    client: ClientKind = "psycopg"


class TestPsqlSession(SessionOnServer):
    client: ClientKind = "psql"

    @pytest.mark.timeout(60)
    def test_a_signal_as_the_answer_comes_in_does_not_lose_it(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = LocalChild.read
        interrupted: list[bytes] = []

        def read(child: LocalChild, size: int) -> bytes:
            data = real(child, size)
            if not interrupted:
                interrupted.append(data)
                signal.raise_signal(signal.SIGINT)
            return data

        monkeypatch.setattr(LocalChild, "read", read)
        with interrupts.handled():
            assert session.query("SELECT 'first'") == [("first",)]
            assert b"first" in interrupted[0]
            with pytest.raises(Stopped):
                session.query("SELECT 'never'")
            assert session.query("SELECT 'second'") == [("second",)]

    def test_a_signal_while_it_connects_gives_it_up(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = LocalChild.has_output
        children: list[LocalChild] = []

        def has_output(child: LocalChild, timeout: float | None = None) -> bool:
            children.append(child)
            signal.raise_signal(signal.SIGTERM)
            return real(child, timeout)

        monkeypatch.setattr(LocalChild, "has_output", has_output)
        with interrupts.handled(), pytest.raises(Stopped, match="stopped by SIGTERM"):
            server_of(database.cluster, database.dsn, self.client).connect()
        assert len(children) == 1
        assert children[0].poll() is not None


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_databases_of_every_name_can_be_reached(
    cluster: Cluster, client: ClientKind, name: str
) -> None:
    server = server_of(cluster, cluster.dsn(), client)
    with server.connect() as session:
        session.execute(f"CREATE DATABASE {ident(name)}")
        try:
            with server.connect(name) as inside:
                assert inside.query("SELECT current_database()") == [(name,)]
            child = server.start_tool("pg_dump", ["--schema-only"], database=name)
            while child.read(1 << 20):
                pass
            assert (child.wait(), child.stderr_text()) == (0, "")
        finally:
            session.execute(f"DROP DATABASE {ident(name)} WITH (FORCE)")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_values_in_databases_of_other_encodings_come_back(
    cluster: Cluster, client: ClientKind, encoding: str
) -> None:
    server = server_of(cluster, cluster.dsn(), client)
    name = new_name("encoded")
    with server.connect() as session:
        session.execute(
            f"CREATE DATABASE {name} ENCODING {literal(encoding)} LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
        try:
            with server.connect(name) as inside:
                assert inside.query("SELECT 'grün', octet_length('ü')") == [
                    ("grün", "2" if encoding == "SQL_ASCII" else "1")
                ]
                if encoding == "SQL_ASCII":
                    broken = b"\xff\xfe'".decode("utf-8", "surrogateescape")
                    assert inside.query(f"SELECT {literal(broken)}") == [(broken,)]
        finally:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


REFUSALS = {
    "host": ({"host": "nosuchhost.invalid"}, "Check the name of the host"),
    "port": ({"port": "1"}, "pg_isready"),
    "socket": ({"host": "/nonexistent"}, "socket"),
    "password": ({"password": "Geheim-77"}, "PGPASSFILE"),
    "database": ({"dbname": "nosuchdb"}, "psql -l"),
    "options": ({"options": "-c nosuch_setting=1"}, "PGOPTIONS"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_connection_says_why_and_what_to_check(
    cluster: Cluster, client: ClientKind, case: str
) -> None:
    changes, hint = REFUSALS[case]
    words = {"host": "127.0.0.1", "port": str(cluster.port), "user": "postgres",
             "dbname": "postgres", "password": cluster.password, **changes}  # fmt: skip
    dsn = " ".join(f"{key}='{value}'" for key, value in words.items())
    with pytest.raises(ConnectionFailed) as caught:
        server_of(cluster, dsn, client).connect()
    error = caught.value
    assert error.message.startswith("cannot connect to postgres@")
    assert hint in error.hint
    assert error.detail.endswith((".", "?"))
    assert words["password"] not in f"{error.message}{error.detail}{error.hint}"


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_role_is_refused(cluster: Cluster, client: ClientKind) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        server_of(cluster, cluster.dsn(user="nobody_at_all"), client).connect()
    assert 'role "nobody_at_all" does not exist' in caught.value.detail
    assert "\\du" in caught.value.hint


@pytest.mark.parametrize("client", CLIENTS)
def test_the_users_own_options_stay_and_our_pins_win(
    database: Database, client: ClientKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=3MB -c statement_timeout=77 -c snap.x=a\\ b")
    endpoint = Endpoint.parse(database.dsn, os.environ)
    server = Server(endpoint, LocalRunner(), client=client, lock_timeout_seconds=2.5)
    with server.connect(application_name="snap test") as session:
        settings = ("work_mem", "statement_timeout", "snap.x", "TimeZone", "lock_timeout",
                    "application_name")  # fmt: skip
        sql = ", ".join(f"current_setting('{name}')" for name in settings)
        assert session.query(f"SELECT {sql}, date '2026-02-01'::text") == [
            ("3MB", "0", "a b", "UTC", "2500ms", "snap test", "2026-02-01")
        ]


def test_a_tool_gets_the_pins_and_the_databases_own_encoding(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    server = server_of(database.cluster, database.dsn)
    shown = ("TimeZone", "client_encoding", "application_name", "statement_timeout")
    sql = ", ".join(f"current_setting('{name}')" for name in shown)
    child = server.start_tool("psql", ["-XAtc", f"SELECT {sql}"], application_name="snap tool")
    assert child.read(1000).decode().strip() == "UTC|UTF8|snap tool|0"
    assert child.wait() == 0


def test_a_password_is_in_no_argument_of_a_child(database: Database) -> None:
    server = server_of(database.cluster, database.tcp_dsn)
    child = server.start_tool("psql", ["-XAtc", "SELECT pg_sleep(60)"])
    try:
        arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes()  # type: ignore[attr-defined]
        assert b"--dbname=" in arguments
        assert database.cluster.password.encode() not in arguments
    finally:
        child.kill()


def test_terminate_ends_our_own_backends_of_that_name_only(database: Database) -> None:
    server = server_of(database.cluster, database.dsn)
    with server.connect(application_name="snap one") as one, server.connect() as two:
        assert server.terminate("snap one") == 1
        assert two.query("SELECT 1") == [("1",)]
        with pytest.raises(ConnectionFailed):
            one.query("SELECT 1")


def test_the_maintenance_database_is_postgres_else_template1(own_cluster: Cluster) -> None:
    assert server_of(own_cluster, own_cluster.dsn()).maintenance_database() == "postgres"
    own_cluster.psql("DROP DATABASE postgres", "template1")
    server = server_of(own_cluster, own_cluster.dsn("nosuchdb"))
    assert server.maintenance_database() == "template1"
    assert server.version_num // 10000 == own_cluster.major


class OtherMajor(LocalRunner):
    """A host whose client tools are of another major version."""

    def __init__(self, bindir: Path, step: int) -> None:
        super().__init__(bindir)
        self.step = step

    def find(self, name: str, major: int | None = None) -> Tool:
        tool = super().find(name, major)
        num = tool.version_num + self.step * 10000
        return Tool(tool.name, tool.path, num, f"{name} (PostgreSQL) {num // 10000}.1")


def test_a_newer_tool_is_taken_only_when_allowed_an_older_one_never(cluster: Cluster) -> None:
    endpoint = Endpoint.parse(cluster.dsn(), {})
    newer = Server(endpoint, OtherMajor(cluster.binaries.bindir, +1))
    with pytest.raises(ToolVersion) as caught:
        newer.tool("pg_dump")
    assert f"postgresql-client-{cluster.major}" in caught.value.hint
    assert "--allow-newer-client" in caught.value.hint
    assert newer.tool("pg_dump", allow_newer=True).major == cluster.major + 1
    older = Server(endpoint, OtherMajor(cluster.binaries.bindir, -1))
    with pytest.raises(ToolVersion) as caught:
        older.tool("pg_dump", allow_newer=True)
    assert "--allow-newer-client" not in caught.value.hint


def test_a_psql_that_is_killed_is_a_lost_connection(database: Database) -> None:
    server = server_of(database.cluster, database.dsn, "psql")
    with server.connect() as session:
        session._child.kill()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionFailed, match="was lost"):
            session.query("SELECT 1")


def test_a_wrong_password_is_not_tried_again_and_again(own_cluster: Cluster) -> None:
    right = own_cluster.dsn("app", tcp=True)
    wrong = Endpoint.parse(right.replace(own_cluster.password, "Geheim-77"), {})
    source = PostgresSource(Server(wrong, LocalRunner(own_cluster.binaries.bindir)))
    with pytest.raises(ConnectionFailed):
        source.open()
    # Once for each database that might let us in, and once to see whether a setting was the reason.
    refusals = own_cluster.log_path.read_text().count("password authentication failed")
    assert 1 <= refusals <= 4


@pytest.mark.parametrize("client", CLIENTS)
def test_an_address_where_nobody_listens_does_not_hide_the_answer_of_another(
    own_cluster: Cluster, tmp_path: Path, client: ClientKind
) -> None:
    own_cluster.create_database("app")
    own_cluster.psql(
        "CREATE ROLE plain LOGIN; REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC"
    )
    # As localhost is, where the server listens on one of its two addresses.
    words = dict(Endpoint.parse(own_cluster.dsn("app"), {}).keywords)
    folder, port = words["host"], words["port"]
    dsn = f"host={tmp_path},{folder} port={port},{port} user=plain dbname=app"
    server = server_of(own_cluster, dsn, client)
    server.without_event_triggers().connect().close()
    source = PostgresSource(server)
    source.open()
    source.abandon()
