"""The swap on a real server, with clients that never stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgsnap import interrupts
from pgsnap.errors import Interrupted, RestoreFailed
from pgsnap.sessions.base import Session
from pgsnap.sessions.psycopg_session import PsycopgSession
from pgsnap.sessions.server import Server
from pgsnap.targets.naming import new_token
from pgsnap.targets.swap.swap import Rename, database_oid, end_backends, swap
from support.restoring.clients import Hammer, server_of
from support.servers.databases import Database


@pytest.fixture
def pair(database: Database) -> Iterator[tuple[Database, Database]]:
    """A live database that says 1, and another that says 2, with names that need quotes."""
    cluster = database.cluster
    live, other = (Database(cluster, f'{database.name} "{end}"') for end in ("live", "öther"))
    for number, each in enumerate((live, other), 1):
        cluster.create_database(each.name)
        each.psql(f"CREATE TABLE t AS SELECT {number} AS a")
    yield live, other
    for name in (live.name, other.name, f"{database.name} kept"):
        cluster.drop_database(name)


def oid_of(server: Server, name: str) -> int:
    with server.connect("postgres") as session:
        found = database_oid(session, name)
    assert found is not None
    return found


def renames(server: Server, live: Database, other: Database) -> list[Rename]:
    kept = live.name.replace(' "live"', " kept")
    return [
        Rename(oid_of(server, live.name), live.name, kept),
        Rename(oid_of(server, other.name), other.name, live.name),
    ]


def test_clients_that_never_stop_see_the_old_or_the_new_database(
    pair: tuple[Database, Database], tmp_path: Path
) -> None:
    live, other = pair
    server = server_of(live)
    hammer = Hammer(live.dsn, "SELECT a FROM t")
    with hammer.running(8):
        report = swap(server, renames(server, live, other), (), token=new_token())
    assert live.psql("SELECT a FROM t") == "2"
    assert set(hammer.answers) == {"1", "2"}
    first = hammer.answers.index("2")
    # Eight threads append as they come: an old answer may be late by one for each of them.
    assert "1" not in hammer.answers[first + 8 :]
    assert report.unreachable_seconds <= report.seconds


def test_a_statement_that_fails_leaves_every_name_as_it_was(
    pair: tuple[Database, Database],
) -> None:
    live, other = pair
    server = server_of(live)
    with pytest.raises(RestoreFailed, match="no_such_role"):
        swap(
            server,
            renames(server, live, other),
            ['ALTER DATABASE "postgres" OWNER TO no_such_role'],
            token=new_token(),
        )
    assert live.psql("SELECT a FROM t") == "1"
    assert other.psql("SELECT a FROM t") == "2"


def test_another_database_of_the_same_name_is_never_taken_for_the_live_one(
    pair: tuple[Database, Database],
) -> None:
    live, other = pair
    server = server_of(live)
    planned = renames(server, live, other)
    live.cluster.drop_database(live.name)
    live.cluster.create_database(live.name)
    with pytest.raises(RestoreFailed, match="meanwhile"):
        swap(server, planned, (), token=new_token())
    assert oid_of(server, live.name) != planned[0].oid
    assert other.psql("SELECT a FROM t") == "2"


def test_a_live_database_that_is_gone_is_a_clean_failure(pair: tuple[Database, Database]) -> None:
    live, other = pair
    server = server_of(live)
    planned = renames(server, live, other)
    live.cluster.drop_database(live.name)
    with pytest.raises(RestoreFailed, match="meanwhile"):
        swap(server, planned, (), token=new_token())
    assert other.psql("SELECT a FROM t") == "2"


def test_a_session_that_cannot_be_ended_fails_the_swap_in_time(
    pair: tuple[Database, Database],
) -> None:
    live, other = pair
    role = f"owner_{new_token()}"
    live.psql(f"CREATE ROLE {role} LOGIN CREATEDB")
    for each in (live, other):
        name = each.name.replace('"', '""')
        each.psql(f'ALTER DATABASE "{name}" OWNER TO {role}')
    server = server_of(live, user=role)
    try:
        with psycopg.connect(live.dsn), pytest.raises(RestoreFailed, match="stayed in use"):
            swap(server, renames(server, live, other), (), token=new_token(), timeout_seconds=0)
        assert live.psql("SELECT a FROM t") == "1"
    finally:
        for each in (live, other):
            each.cluster.drop_database(each.name)
        live.cluster.psql(f"DROP ROLE {role}")


def test_a_lost_connection_is_judged_by_what_the_server_has(
    pair: tuple[Database, Database],
) -> None:
    live, other = pair
    server = server_of(live)
    # The swap's own backend ends itself before the commit: nothing may have happened.
    suicide = ["SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"]
    with pytest.raises(RestoreFailed, match="connection was lost"):
        swap(server, renames(server, live, other), suicide, token=new_token())
    assert live.psql("SELECT a FROM t") == "1"
    # It ends itself after a commit of its own: all has happened.
    late = ["COMMIT", *suicide]
    swap(server, renames(server, live, other), late, token=new_token())
    assert live.psql("SELECT a FROM t") == "2"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_swap_that_dies_of_a_bug_never_counts_as_done(
    pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = pair
    server = server_of(live)

    def broken(session: PsycopgSession, sql: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PsycopgSession, "execute", broken)
    with pytest.raises(RestoreFailed, match="connection was lost"):
        swap(server, renames(server, live, other), (), token=new_token())
    assert live.psql("SELECT a FROM t") == "1"


def test_a_signal_that_comes_too_late_says_that_the_swap_is_done(
    pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = pair
    server = server_of(live)
    planned = renames(server, live, other)

    def late(session: Session, oids: list[int]) -> None:
        end_backends(session, oids)
        while database_oid(session, live.name) != planned[1].oid:
            end_backends(session, oids)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("pgsnap.targets.swap.swap.end_backends", late)
    # A client that is there: without its end there is no swap, so it is not over too soon.
    with (
        psycopg.connect(live.dsn),
        interrupts.handled(),
        pytest.raises(Interrupted, match="already") as caught,
    ):
        swap(server, planned, (), token=new_token())
    assert planned[0].new in caught.value.detail
    assert live.psql("SELECT a FROM t") == "2"


def test_a_commit_that_waits_for_a_standby_for_ever_ends_in_time(
    pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = pair
    server = server_of(live)
    planned = renames(server, live, other)
    monkeypatch.setattr("pgsnap.targets.swap.swap.SWAP_TIMEOUT_SECONDS", 2.0)
    live.cluster.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    live.cluster.psql("SELECT pg_reload_conf()")
    try:
        swap(server, planned, (), token=new_token())
    finally:
        live.cluster.psql("ALTER SYSTEM RESET synchronous_standby_names")
        live.cluster.psql("SELECT pg_reload_conf()")
    assert live.psql("SELECT a FROM t") == "2"
