"""Short of connections for the rows of an extension's tables: the plan says so, and what it asks
for is enough."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import psycopg

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ConnectionFailed
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore_tables.restore_rows import restore_rows
from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, RowsPlan, plan_rows
from support.restoring.clients import commit_database, server_of
from support.servers.databases import Database, new_name
from support.servers.extensions import add_extension


def used(database: Database) -> tuple[str, str]:
    """Let a plain role own an extension with a job; return the names of both."""
    name, role = add_extension(database.cluster), new_name("owner")
    database.psql(
        f'CREATE EXTENSION "{name}"; INSERT INTO "{name}".job (what) VALUES (\'a\');'
        f'CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA "{name}" TO {role};'
        f'ALTER TABLE "{name}".job OWNER TO {role};'
        f'ALTER DATABASE "{database.name}" OWNER TO {role};'
        f'GRANT ALL ON ALL TABLES IN SCHEMA "{name}" TO {role};'
        f'GRANT ALL ON ALL SEQUENCES IN SCHEMA "{name}" TO {role}'
    )
    return name, role


def planned(repo: Repository, snapshot: bytes, server: Server, name: str) -> RowsPlan:
    return plan_rows(repo, snapshot, server, RowsOptions(((name, "job"),)))


def refused(repo: Repository, snapshot: bytes, server: Server, name: str) -> str:
    (problem,) = planned(repo, snapshot, server, name).refusals
    return f"{problem.message} {problem.hint}"


def test_the_limit_of_a_role_is_told_and_what_is_asked_for_is_enough(
    repo: Repository, database: Database
) -> None:
    name, role = used(database)
    snapshot = commit_database(repo, server_of(database))
    server = server_of(database, user=role)
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    told = refused(repo, snapshot, server, name)
    assert "CONNECTION LIMIT 1, and 2 are needed" in told
    assert told.endswith(f'ALTER ROLE "{role}" CONNECTION LIMIT 2;')
    database.psql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    # What others of the role hold counts.
    with psycopg.connect(database.cluster.dsn("postgres", user=role)):
        assert "CONNECTION LIMIT 3;" in refused(repo, snapshot, server, name)
    # Of its own database it needs one, also for the safety snapshot.
    database.psql(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 1')
    wait_until_alone(database, role)
    plan = planned(repo, snapshot, server, name)
    assert plan.refusals == ()
    report = restore_rows(repo, plan, server, safety=lambda: commit_database(repo, server))
    assert report.rows == 1
    assert report.safety is not None


def test_the_limits_of_the_database_postgres_and_of_the_server_are_told(
    repo: Repository, own_cluster: Cluster
) -> None:
    database = Database(own_cluster, "postgres")
    name, role = used(database)
    snapshot = commit_database(repo, server_of(database))
    server = server_of(database, user=role)
    database.psql("ALTER DATABASE postgres CONNECTION LIMIT 1")
    assert refused(repo, snapshot, server, name).endswith(
        'ALTER DATABASE "postgres" CONNECTION LIMIT 2;'
    )
    database.psql("ALTER DATABASE postgres CONNECTION LIMIT 2")
    assert (
        restored_rows(repo, snapshot, server, name, lambda: wait_until_alone(database, role)) == 1
    )
    database.psql("ALTER DATABASE postgres CONNECTION LIMIT -1")
    most = int(database.psql("SHOW max_connections"))
    reserved = int(database.psql("SHOW superuser_reserved_connections"))
    wait_until_alone(database, role)
    held = [psycopg.connect(database.dsn) for _ in range(most - reserved - 1)]
    try:
        told = refused(repo, snapshot, server, name)
        assert "the server has 1 connection left, and 2 are needed" in told
        held.pop().close()
        others = most - reserved - 2
        assert (
            restored_rows(
                repo,
                snapshot,
                server,
                name,
                lambda: wait_until_alone(database, role, others=others),
            )
            == 1
        )
    finally:
        for each in held:
            each.close()


def restored_rows(
    repo: Repository, snapshot: bytes, server: Server, name: str, wait: Callable[[], None]
) -> int:
    """Return how many rows came back. On a busy machine a backend that has just been left may
    still count against the limit, also within one restore: then it is tried again."""
    for _ in range(20):
        with contextlib.suppress(ConnectionFailed):
            wait()
            plan = planned(repo, snapshot, server, name)
            wait()
            return restore_rows(repo, plan, server).rows
    raise AssertionError("no connection was to be had")


def wait_until_alone(database: Database, role: str, *, others: int = 0) -> None:
    """Backends end a moment after their clients, and count until then."""
    busy = (
        f"SELECT count(*) FILTER (WHERE usename = '{role}') + greatest(0, count(*) FILTER (WHERE"
        f" usename <> '{role}' AND pid <> pg_backend_pid() AND backend_type = 'client backend')"
        f" - {others}) FROM pg_stat_activity"
    )
    with psycopg.connect(database.cluster.dsn("template1"), autocommit=True) as session:
        for _ in range(200):
            row = session.execute(busy.encode()).fetchone()
            if row is not None and row[0] == 0:
                return
            session.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("somebody is still connected")
