"""What tests of restore and undo share: a repository, a server, clients that never stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.file import FileSource
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.contents.table_names import parse_tables
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.report import RestoreReport
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore_tables.chosen import TableOptions
from pgsnap.workflows.restore_tables.plan import TablesPlan, plan_tables
from pgsnap.workflows.restore_tables.restore import TablesReport, restore_tables
from support.servers.databases import Database

LABEL = "app"


def server_of(database: Database, *, user: str | None = None, tcp: bool = False) -> Server:
    """Return *database* as workflows take it; *user* logs in without a password."""
    dsn = database.tcp_dsn if tcp else database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir))


def new_repository(path: Path) -> Repository:
    Repository.create(path)
    return Repository.open(path)


def commit_database(repo: Repository, server: Server, message: str = "test") -> SnapshotId:
    """Commit the server's database under the label of these tests."""
    return commit(repo, PostgresSource(server), database=LABEL, message=message).snapshot_id


def commit_file(repo: Repository, path: Path, text: str) -> SnapshotId:
    """Commit SQL text by way of a file."""
    path.write_text(text)
    return commit(repo, FileSource(path), database=LABEL, message="file").snapshot_id


def restore_now(
    repo: Repository,
    snapshot: SnapshotId,
    server: Server,
    options: RestoreOptions = RestoreOptions(),  # noqa: B008 - frozen
) -> RestoreReport:
    """Plan and restore in one go, without a safety snapshot."""
    return restore(repo, plan_restore(repo, snapshot, server, options), server)


def databases_like(database: Database, pattern: str) -> list[str]:
    """Return the names of the cluster's databases that match a LIKE pattern."""
    found = database.cluster.psql(
        f"SELECT datname FROM pg_database WHERE datname LIKE '{pattern}' ORDER BY 1"
    )
    return found.splitlines()


class Hammer:
    """Clients that connect, ask and disconnect without pause, and tell what they met."""

    def __init__(self, dsn: str, sql: str = "SELECT 1") -> None:
        self._dsn = dsn
        self._sql = sql
        self._stop = threading.Event()
        self.answers: list[str] = []
        self.errors: list[str] = []
        self.longest_gap = 0.0

    def _run(self) -> None:
        import psycopg

        last = time.monotonic()
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    row = connection.execute(self._sql.encode()).fetchone()
                    self.answers.append(str(row[0]) if row else "")
                    now = time.monotonic()
                    self.longest_gap = max(self.longest_gap, now - last)
                    last = now
            except psycopg.Error as error:
                self.errors.append(str(error))

    @contextmanager
    def running(self, clients: int) -> Iterator[Hammer]:
        threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.1)
            yield self
            time.sleep(0.3)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def tables_now(
    repo: Repository,
    snapshot: SnapshotId,
    server: Server,
    *names: str,
    replace: bool = False,
    check_keys: bool = False,
) -> TablesReport:
    """Plan and restore single tables in one go, without a safety snapshot."""
    plan = plan_of_tables(repo, snapshot, server, *names, replace=replace, check_keys=check_keys)
    return restore_tables(repo, plan, server)


def plan_of_tables(
    repo: Repository,
    snapshot: SnapshotId,
    server: Server,
    *names: str,
    replace: bool = False,
    check_keys: bool = False,
) -> TablesPlan:
    """Plan a restore of single tables; those beside live ones end in ``__was``."""
    options = TableOptions(parse_tables(list(names)), "was", replace, check_keys)
    return plan_tables(repo, snapshot, server, options, datetime.now(UTC))
