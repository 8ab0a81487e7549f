"""Short of connections: the plan says so, and the clean-up never needs one that is not there."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ConnectionFailed, SnapError
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore_tables.restore import restore_tables
from pgsnap.workflows.undo.undo import plan_undo, undo
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database, new_name


@pytest.fixture
def own(own_cluster: Cluster) -> Database:
    database = Database(own_cluster, new_name())
    own_cluster.create_database(database.name)
    database.psql("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
    return database


def owned(database: Database) -> str:
    """Give a database to a plain role and return its name."""
    role = new_name("owner")
    database.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {database.name} OWNER TO {role};"
        f"CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO {role}"
    )
    return role


def wait_until_gone(database: Database, role: str) -> None:
    """Backends end a moment after their clients, and count until then."""
    deadline = time.monotonic() + 60
    mine = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'"
    while database.psql(mine) != "0":
        assert time.monotonic() < deadline


def refusals(repo: Repository, snapshot: bytes, database: Database, user: str) -> list[str]:
    plan = plan_restore(repo, snapshot, server_of(database, user=user), RestoreOptions())
    return [f"{problem.message} {problem.hint}" for problem in plan.refusals]


def test_a_role_with_too_few_connections_is_told_in_the_plan(
    repo: Repository, database: Database
) -> None:
    role = owned(database)
    snapshot = commit_database(repo, server_of(database, user=role))
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    [told] = refusals(repo, snapshot, database, role)
    assert "CONNECTION LIMIT 2" in told
    assert f'ALTER ROLE "{role}" CONNECTION LIMIT 3;' in told
    # What is asked for is enough, and what others hold is counted.
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 3")
    with psycopg.connect(database.cluster.dsn("postgres", user=role)):
        [told] = refusals(repo, snapshot, database, role)
        assert "CONNECTION LIMIT 4" in told
    assert refusals(repo, snapshot, database, role) == []
    server = server_of(database, user=role)
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    report = restore(repo, plan, server, safety=lambda: commit_database(repo, server))
    assert report.rows == 1
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    undoing = plan_undo(repo, server, LABEL)
    assert any("CONNECTION LIMIT 1" in problem.message for problem in undoing.refusals)
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert databases_like(database, f"{database.name}\\_\\_snap\\_0%") == []


@pytest.mark.parametrize("failing", [" swap", ""])
def test_a_session_of_the_swap_is_asked_for_again(
    repo: Repository, database: Database, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """What the restore closed just before still counts until its process has ended."""
    server = server_of(database)
    database.psql("CREATE TABLE t AS SELECT 1 AS a")
    plan = plan_restore(repo, commit_database(repo, server), server, RestoreOptions())
    real, refused = Server.connect, []

    def connect(self: Server, name: str | None = None, application_name: str = "snap") -> Session:
        in_swap = any(frame.function == "_attempt" for frame in inspect.stack(0))
        if in_swap and application_name.endswith(failing) and len(refused) < 3:
            refused.append(application_name)
            raise ConnectionFailed("too many connections")
        return real(self, name, application_name)

    monkeypatch.setattr(Server, "connect", connect)
    assert restore(repo, plan, server, safety=None).rows == 1
    assert len(refused) == 3


def test_a_drill_works_with_as_many_connections_as_its_plan_asks_for(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    role = owned(database)
    server = server_of(database, user=role)
    snapshot = commit_database(repo, server)
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 3")
    assert "CONNECTION LIMIT 3" in str(failures(drill_now(repo, snapshot, server, tmp_path)))
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 4")
    assert failures(drill_now(repo, snapshot, server, tmp_path)) == {}
    assert databases_like(database, f"{database.name}\\_\\_snap\\_%") == []


def test_a_restore_of_a_table_works_with_as_many_connections_as_its_plan_asks_for(
    repo: Repository, database: Database
) -> None:
    role = owned(database)
    server = server_of(database, user=role)
    snapshot = commit_database(repo, server)
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    wait_until_gone(database, role)
    [problem] = plan_of_tables(repo, snapshot, server, "t", replace=True).refusals
    assert "CONNECTION LIMIT 1, and 2 are needed" in problem.message
    assert f'ALTER ROLE "{role}" CONNECTION LIMIT 2;' in problem.hint
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    # Of its own database it needs one.
    database.psql(f"ALTER DATABASE {database.name} CONNECTION LIMIT 1")
    plan = plan_of_tables(repo, snapshot, server, "t", replace=True)
    assert plan.refusals == ()
    report = restore_tables(repo, plan, server, safety=lambda: commit_database(repo, server))
    assert report.rows == 1
    assert report.safety is not None


def test_a_restore_of_a_table_of_the_database_that_it_is_looked_after_from_needs_two_of_it(
    repo: Repository, own: Database
) -> None:
    role = new_name("owner")
    postgres = Database(own.cluster, "postgres")
    postgres.psql(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE postgres TO {role};"
        f"CREATE SCHEMA own AUTHORIZATION {role}; CREATE TABLE own.t AS SELECT 1 AS a;"
        f"ALTER TABLE own.t OWNER TO {role}"
    )
    server = server_of(postgres, user=role)
    snapshot = commit_database(repo, server)
    postgres.psql("ALTER DATABASE postgres CONNECTION LIMIT 1")
    wait_until_gone(own, role)
    [problem] = plan_of_tables(repo, snapshot, server, "own.t").refusals
    assert problem.hint.endswith('ALTER DATABASE "postgres" CONNECTION LIMIT 2;')
    postgres.psql("ALTER DATABASE postgres CONNECTION LIMIT 2")
    assert tables_now(repo, snapshot, server, "own.t").rows == 1
    # The server's own limit, of which the plan has one itself.
    most = int(own.psql("SHOW max_connections"))
    reserved = int(own.psql("SHOW superuser_reserved_connections"))
    postgres.psql("ALTER DATABASE postgres CONNECTION LIMIT -1")
    wait_until_gone(own, role)
    with taken(own, most - reserved - 1):
        [problem] = plan_of_tables(repo, snapshot, server, "own.t", replace=True).refusals
    assert "the server has 1 connection left, and 2 are needed" in problem.message


def test_a_database_and_a_server_with_too_few_connections_are_told_in_the_plan(
    repo: Repository, own: Database
) -> None:
    role = new_name("owner")
    own.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {own.name} OWNER TO {role};"
        f"ALTER TABLE t OWNER TO {role}"
    )
    snapshot = commit_database(repo, server_of(own, user=role))
    own.psql("ALTER DATABASE postgres CONNECTION LIMIT 2")
    [told] = refusals(repo, snapshot, own, role)
    assert 'ALTER DATABASE "postgres" CONNECTION LIMIT 3;' in told
    own.psql("ALTER DATABASE postgres CONNECTION LIMIT -1")
    most = int(own.psql("SHOW max_connections"))
    reserved = int(own.psql("SHOW superuser_reserved_connections"))
    with taken(own, most - reserved - 2):
        [told] = refusals(repo, snapshot, own, role)
        assert "max_connections" in told
        assert "2 connections left" in told
        # What is reserved for superusers is theirs.
        assert plan_restore(repo, snapshot, server_of(own), RestoreOptions()).refusals == ()
    assert refusals(repo, snapshot, own, role) == []


@contextmanager
def taken(database: Database, number: int) -> Iterator[None]:
    """Hold so many connections to the database postgres, fewer where there are no more."""
    held = []
    try:
        for _ in range(number):
            held.append(psycopg.connect(database.cluster.dsn("postgres")))
        yield
    finally:
        for each in held:
            each.close()


class Crowd:
    """Progress that lets a crowd take every connection of the server from a phase on, also each
    that becomes free."""

    def __init__(self, database: Database, phase: str) -> None:
        self._dsn = database.cluster.dsn("postgres")
        self._phase = phase
        self._left = threading.Event()
        self._crowd = threading.Thread(target=self._take)
        self.held: list[psycopg.Connection] = []

    def _take(self) -> None:
        while not self._left.is_set():
            with suppress(psycopg.OperationalError):
                self.held.append(psycopg.connect(self._dsn))

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        if name == self._phase:
            self._crowd.start()
            before = -1
            while before != len(self.held):
                before = len(self.held)
                time.sleep(0.2)

    def leave(self) -> None:
        self._left.set()
        self._crowd.join()
        for each in self.held:
            each.close()

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        pass

    def say(self, line: str) -> None:
        pass


@pytest.mark.parametrize("phase", ["load", "analyze", "swap"])
def test_a_restore_that_finds_no_connection_any_more_leaves_the_live_database_as_it_was(
    repo: Repository, own: Database, phase: str
) -> None:
    server = server_of(own)
    snapshot = commit_database(repo, server)
    plan = plan_restore(repo, snapshot, server, RestoreOptions(read_only=True))
    crowd = Crowd(own, phase)
    with pytest.raises(SnapError):
        restore(repo, plan, server, progress=crowd)
    crowd.leave()
    assert len(crowd.held) > 10
    assert databases_like(own, "%\\_\\_snap\\_%") == []
    # It can be written: nothing is left of --read-only.
    own.psql("INSERT INTO t VALUES (0)")
    assert own.cluster.psql("SELECT count(*) FROM pg_db_role_setting WHERE setrole = 0") == "0"
