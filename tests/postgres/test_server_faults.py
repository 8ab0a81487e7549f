"""The connection is cut and the server ends, in mid-dump and in mid-restore."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import SnapError
from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from support.faults.proxy import proxy
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    new_repository,
    server_of,
)
from support.restoring.steps import SCRATCH_OR_KEPT, backends_gone, heal
from support.running.seeds import SEED
from support.servers.databases import Database


def fill(database: Database) -> None:
    database.psql(
        "CREATE TABLE orders (id int PRIMARY KEY, pad text);"
        "INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 30000) g"
    )


@pytest.fixture
def filled(database: Database) -> Iterator[Database]:
    fill(database)
    yield database
    for name in databases_like(database, SCRATCH_OR_KEPT):
        database.cluster.drop_database(name)


def through(database: Database, port: int) -> Server:
    """Return the server as it is reached through a proxy."""
    dsn = database.tcp_dsn.replace(f":{database.cluster.port}/", f":{port}/")
    return Server(Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir))


def bytes_of(database: Database, work: Callable[[Server], object]) -> int:
    """Return how many bytes the server sends for *work*."""
    with proxy(database.cluster.port) as counting:
        work(through(database, counting.port))
        return counting.passed


def test_a_dump_whose_connection_is_cut_after_any_byte_is_no_snapshot(
    filled: Database, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    with new_repository(tmp_path / "counted") as repo:
        total = bytes_of(filled, lambda server: commit_database(repo, server))
    with new_repository(tmp_path / "repo") as repo:
        first = commit_database(repo, server_of(filled))
        for part in range(6):
            cut = round(total * (part + chance.random()) / 8)
            with proxy(filled.cluster.port, cut) as cutting, pytest.raises(SnapError) as caught:
                commit_database(repo, through(filled, cutting.port))
            assert caught.value.exit_code == 30, cut
            assert repo.newest(LABEL) == [first]
        commit_database(repo, server_of(filled))


def test_a_restore_whose_connection_is_cut_leaves_the_live_database_whole(
    filled: Database, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    path = tmp_path / "repo"
    old = filled.dump()
    with new_repository(path) as repo:
        snapshot = commit_database(repo, server_of(filled))

        def restored(server: Server) -> object:
            options = RestoreOptions(discard_old=True)
            return restore(repo, plan_restore(repo, snapshot, server, options), server)

        total = bytes_of(filled, restored)
        filled.psql("INSERT INTO orders VALUES (0, 'new')")
        new = filled.dump()
        for part in range(6):
            cut = round(total * (part + chance.random()) / 8)
            with proxy(filled.cluster.port, cut) as cutting, pytest.raises(SnapError) as caught:
                restored(through(filled, cutting.port))
            assert caught.value.exit_code in (30, 40), cut
            backends_gone(filled)
            assert filled.dump() == new
    heal(path, filled, snapshot)
    assert filled.dump() == old


class Stopping:
    """Progress that ends the server when a phase has moved so many bytes."""

    def __init__(self, end: Callable[[], None], phase: str, after_bytes: int) -> None:
        self._end: Callable[[], None] | None = end
        self._wanted = phase
        self._after = after_bytes
        self._phase = ""
        self._moved = 0

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self._phase, self._moved = name, 0

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        self._moved += plain_bytes
        if self._end and self._phase.startswith(self._wanted) and self._moved >= self._after:
            end, self._end = self._end, None
            ending = threading.Thread(target=end)
            ending.start()
            ending.join()

    def say(self, line: str) -> None:
        SILENT.say(line)


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_server_that_ends_in_mid_restore_or_mid_dump_keeps_everything(
    own_cluster: Cluster, tmp_path: Path, how: str
) -> None:
    own_cluster.create_database("app")
    live = Database(own_cluster, "app")
    fill(live)
    path = tmp_path / "repo"
    with new_repository(path) as repo:
        snapshot: SnapshotId = commit_database(repo, server_of(live))
    live.psql("INSERT INTO orders VALUES (0, 'new')")
    new = live.dump()
    with Repository.open(path) as repo:
        server = server_of(live)
        plan = plan_restore(repo, snapshot, server, RestoreOptions())
        ending = Stopping(getattr(own_cluster, how), "load", 300_000)
        with pytest.raises(SnapError) as caught:
            restore(repo, plan, server, progress=ending)
        assert caught.value.exit_code in (30, 40)
        own_cluster.start()
        assert live.dump() == new
        # Enough rows that pg_dump cannot have sent all of them when the first are stored.
        live.psql(
            "INSERT INTO orders SELECT g, repeat('x', 900) FROM generate_series(40000, 70000) g"
        )
        ending = Stopping(getattr(own_cluster, how), "commit", 1)
        with pytest.raises(SnapError) as caught:
            commit(repo, PostgresSource(server), database=LABEL, message="x", progress=ending)
        assert caught.value.exit_code == 30
        assert repo.newest(LABEL) == [snapshot]
        own_cluster.start()
        commit_database(repo, server_of(live))
    heal(path, live, snapshot)
