"""Servers that speak other languages: what snap decides does not depend on words."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster import binaries as pg_binaries
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster, ClusterError
from pgsnap.errors import ConnectionFailed, DumpFailed, QueryFailed, RestoreFailed, ToolMissing
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.naming import new_token
from pgsnap.targets.swap.swap import Rename, database_oid, swap
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import commit_database, commit_file, new_repository, restore_now
from support.running.breadth import crossed
from support.servers.databases import Database, new_name
from support.servers.languages import LANGUAGES, speak, translated_cluster

ENGLISH = ("does not exist", "already exists", "division", "denied", "being accessed")

STATEMENTS = {
    "SELECT 1/0": "22012",
    "SELECT * FROM nowhere.t": "42P01",
    "SELECT nothing()": "42883",
    "SELECT 'x'::int": "22P02",
    "CREATE DATABASE postgres": "42P04",
    "ALTER DATABASE missing RENAME TO b": "3D000",
    "DROP DATABASE template1": "42809",
    "CREATE COLLATION public.x (locale = 'nowhere')": "22023",
    "ALTER TABLE pg_catalog.pg_class ADD a int": "42501",
    "SET ROLE nobody_of_this_name": "22023",
    "DO $$ BEGIN RAISE EXCEPTION 'a: b' USING ERRCODE = 'SN001', DETAIL = 'c', HINT = 'd'; END $$":
    "SN001",
}  # fmt: skip


@pytest.fixture(scope="module")
def any_binaries(binaries: Binaries) -> Binaries:
    """Those under test, or Debian's, which have translations while the wheels have none."""
    if (binaries.bindir / "pg_config").exists():
        return binaries
    try:
        return pg_binaries.find(15)
    except ToolMissing:
        return binaries


@pytest.fixture(scope="module")
def polyglot(any_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("languages")
    with pytest.MonkeyPatch.context() as patch:
        settings = {"max_connections": "40", "max_prepared_transactions": "4"}
        with translated_cluster(any_binaries, folder, settings, patch) as cluster:
            yield cluster


@pytest.fixture(params=crossed(list(LANGUAGES), ["psycopg", "psql"]), ids="-".join)
def spoken(request: pytest.FixtureRequest) -> tuple[str, ClientKind]:
    chosen: tuple[str, ClientKind] = request.param
    return chosen


@pytest.fixture
def foreign(polyglot: Cluster, spoken: tuple[str, ClientKind]) -> Iterator[Database]:
    """A database of a server that speaks another language."""
    name = new_name("foreign")
    polyglot.create_database(name)
    speak(polyglot, spoken[0])
    yield Database(polyglot, name)
    found = polyglot.psql(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}')")
    for each in found.splitlines():
        polyglot.drop_database(each)


@pytest.fixture
def client(spoken: tuple[str, ClientKind]) -> ClientKind:
    return spoken[1]


def server_of(database: Database, client: ClientKind, name: str = "") -> Server:
    dsn = database.cluster.dsn(name or database.name)
    return Server(
        Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir), client=client
    )


def test_every_error_has_its_sqlstate_and_its_parts(foreign: Database, client: ClientKind) -> None:
    with server_of(foreign, client).connect() as session:
        for sql, sqlstate in STATEMENTS.items():
            with pytest.raises(QueryFailed) as caught:
                session.execute(sql)
            assert caught.value.sqlstate == sqlstate, caught.value
            assert not any(words in caught.value.message for words in ENGLISH)
        assert (caught.value.message, caught.value.detail, caught.value.hint) == (
            "a: b",
            "C.",
            "D.",
        )


def test_a_database_in_use_is_swapped_as_soon_as_it_can_be(
    foreign: Database, client: ClientKind
) -> None:
    other = f"{foreign.name}_other"
    foreign.cluster.create_database(other)
    server = server_of(foreign, client)
    with server.connect("postgres") as session:
        oids = [database_oid(session, name) for name in (foreign.name, other)]
    renames = [
        Rename(oids[0] or 0, foreign.name, f"{foreign.name}_kept"),
        Rename(oids[1] or 0, other, foreign.name),
    ]
    held = Database(foreign.cluster, other)
    # A prepared transaction holds a database and cannot be ended as a session can.
    held.psql("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'held'")
    release = threading.Timer(1, _release, [held])
    release.start()
    try:
        report = swap(server, renames, (), token=new_token(), timeout_seconds=60)
    finally:
        release.join()
    assert report.attempts > 1
    names = foreign.cluster.psql("SELECT datname FROM pg_database").splitlines()
    assert f"{foreign.name}_kept" in names
    assert other not in names


def _release(held: Database) -> None:
    for _ in range(100):
        # The swap ends whatever session it finds in its way.
        with contextlib.suppress(ClusterError):
            held.psql("ROLLBACK PREPARED 'held'")
            return


def test_a_database_that_is_missing_does_not_hide_the_server(
    foreign: Database, client: ClientKind, tmp_path: Path
) -> None:
    foreign.psql("CREATE TABLE t AS SELECT 1 AS a")
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_database(repo, server_of(foreign, client))
        server = server_of(foreign, client, f"{foreign.name}_missing")
        assert server.version_num // 10000 == foreign.cluster.major
        with pytest.raises(ConnectionFailed):
            server.connect()
        restore_now(repo, snapshot, server, RestoreOptions(to=f"{foreign.name}_missing"))
        restore_now(repo, snapshot, server_of(foreign, client))


def test_who_holds_a_table_is_named(foreign: Database, client: ClientKind) -> None:
    foreign.psql("CREATE TABLE t AS SELECT 1 AS a")
    server = server_of(foreign, client)
    with server.connect(application_name="migration") as session:
        session.execute("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        source = PostgresSource(server, lock_wait_timeout_seconds=0.2)
        source.open()
        with pytest.raises(DumpFailed) as caught:
            list(source.events())
    assert "(migration) holds public.t." in caught.value.detail
    assert "--lock-wait-timeout" in caught.value.hint


def test_a_load_that_fails_tells_the_error_and_not_a_notice_before_it(
    foreign: Database, client: ClientKind, tmp_path: Path
) -> None:
    foreign.psql("CREATE TABLE t AS SELECT 1 AS a")
    text = foreign.dump().decode()
    text = text.replace(
        "--\n-- PostgreSQL database dump complete",
        "CREATE TABLE IF NOT EXISTS public.t (a int);\nSELECT public.missing(1);\n\n"
        "--\n-- PostgreSQL database dump complete",
    )
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_file(repo, tmp_path / "dump.sql", text)
        with pytest.raises(RestoreFailed) as caught:
            restore_now(
                repo,
                snapshot,
                server_of(foreign, client),
                RestoreOptions(to=f"{foreign.name}_copy"),
            )
    assert "public.missing(integer)" in caught.value.message
    # The server's own, which only the error has.
    assert caught.value.hint
