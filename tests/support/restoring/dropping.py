"""Databases that are half-dropped, closed or limited, and a DROP DATABASE that hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgsnap.cluster.cluster import Cluster
from pgsnap.sessions.base import ident, literal


def half_drop(cluster: Cluster, name: str) -> None:
    """Leave a database as a DROP DATABASE leaves it that is cancelled half-way."""
    done = cluster.psql(
        "UPDATE pg_database SET datconnlimit = -2, datistemplate = false"
        f" WHERE datname = {literal(name)} RETURNING 1"
    )
    assert done == "1", name


def connection_limit(cluster: Cluster, name: str) -> int | None:
    """Return a database's datconnlimit, None where there is no such database."""
    found = cluster.psql(f"SELECT datconnlimit FROM pg_database WHERE datname = {literal(name)}")
    return int(found) if found else None


@contextmanager
def drops_hang(cluster: Cluster, other: str) -> Iterator[int]:
    """Let every DROP DATABASE hang half-way (since PostgreSQL 15), as some extensions' workers do:
    a session of the database *other* answers nobody. Yields its process."""
    session = psycopg.connect(cluster.dsn(other), autocommit=True)
    process = session.info.backend_pid
    os.kill(process, signal.SIGSTOP)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGCONT)
        session.close()


@contextmanager
def locked_name(cluster: Cluster, name: str) -> Iterator[int]:
    """Let every DROP of a database wait for a lock, before it does anything. Yields the process
    that holds it."""
    with psycopg.connect(cluster.dsn("postgres")) as session:
        session.execute(f"COMMENT ON DATABASE {ident(name)} IS 'held'".encode())
        yield session.info.backend_pid
        session.rollback()


def wait_for_drop(cluster: Cluster, *, waits_for: str, seconds: float = 60) -> None:
    """Wait until a DROP DATABASE waits for *waits_for*, a wait event or its type."""
    deadline = time.monotonic() + seconds
    found = literal(waits_for)
    while not cluster.psql(
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%' AND state = 'active'"
        f" AND (wait_event = {found} OR wait_event_type = {found})"
    ):
        assert time.monotonic() < deadline, "no DROP DATABASE waits"
        time.sleep(0.05)
