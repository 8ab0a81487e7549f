"""A restore that is killed, at many moments: the live database is whole and in service.

The moments come from the seed of the tests.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import pgsnap
from pgsnap.errors import CorruptionError, RestoreFailed
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from pgsnap.workflows.undo.undo import kept_databases, plan_undo, undo
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    new_repository,
    restore_now,
    server_of,
)
from support.running.breadth import some, times
from support.running.seeds import SEED
from support.servers.databases import Database

DRIVER = Path(__file__).parent.parent / "support" / "restoring" / "driver.py"
ROWS = 30_000
STATE = "SELECT count(*), sum(id), max(state) FROM orders"
OLD, NEW = f"{ROWS}|{ROWS * (ROWS + 1) // 2}|old", f"{ROWS}|{ROWS * (ROWS + 1) // 2}|new"


@dataclass
class Scene:
    """A live database in state "new" and a snapshot of it in state "old"."""

    shop: Database
    repo: Repository
    snapshot: SnapshotId

    def start(self, *moment: str) -> subprocess.Popen[str]:
        source = Path(pgsnap.__file__).parent.parent
        return subprocess.Popen(
            [
                *(sys.executable, str(DRIVER), str(self.repo.path), self.shop.dsn),
                *(str(self.shop.cluster.binaries.bindir), self.snapshot.hex(), *moment),
            ],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def state(self) -> str:
        """What a client that connects right now finds."""
        return self.shop.psql(STATE)

    def backends_gone(self) -> None:
        """Wait until the server noticed that the clients are dead."""
        alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'snap restore%'"
        deadline = time.monotonic() + 30
        while self.shop.cluster.psql(alive) != "0":
            assert time.monotonic() < deadline, "a dead restore's backend goes on"
            time.sleep(0.05)

    def make_new(self) -> None:
        self.shop.psql("UPDATE orders SET state = 'new'")


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Iterator[Scene]:
    database.psql(
        "CREATE TABLE orders (id int PRIMARY KEY, state text, pad text);"
        f"INSERT INTO orders SELECT g, 'old', repeat('x', 50) FROM generate_series(1, {ROWS}) g;"
        "CREATE INDEX ON orders (pad, id)"
    )
    with new_repository(tmp_path / "repo") as repo:
        made = Scene(database, repo, commit_database(repo, server_of(database)))
        made.make_new()
        yield made
    for name in databases_like(database, "%\\_\\_snap\\_%"):
        database.cluster.drop_database(name)


def check_whole_and_heal(scene: Scene) -> None:
    """The live database is whole; the next restore works and leaves nothing of the dead one."""
    assert scene.state() in (OLD, NEW)
    scene.backends_gone()
    assert scene.state() in (OLD, NEW)
    report = restore_now(
        scene.repo, scene.snapshot, server_of(scene.shop), RestoreOptions(discard_old=True)
    )
    assert scene.state() == OLD
    assert databases_like(scene.shop, "%\\_\\_snap\\_%") == [report.kept]
    scene.make_new()


def test_snap_killed_at_every_phase_leaves_the_live_database_whole(scene: Scene) -> None:
    moments = [
        *(("create", delay) for delay in (0.0, 0.05)),
        *(("load", delay) for delay in (0.0, 0.05, 0.15)),
        *(("analyze", delay) for delay in (0.0, 0.05)),
        *(("swap", delay) for delay in (0.0, 0.005, 0.02, 0.04, 0.08)),
    ]
    for phase, delay in some(moments, 2):
        child = scene.start(phase, str(delay))
        output, errors = child.communicate(timeout=60)
        assert child.returncode in (-signal.SIGKILL, 0), errors
        assert phase in output
        if phase != "swap" and delay == 0.0:
            # Later it may be done with everything, on a fast machine.
            assert scene.state() == NEW, phase
        check_whole_and_heal(scene)


def test_snap_killed_at_random_moments_leaves_the_live_database_whole(scene: Scene) -> None:
    chance = random.Random(SEED)
    for _ in range(times(3, 6)):
        child = scene.start()
        time.sleep(chance.uniform(0.2, 2.0))
        child.kill()
        child.communicate(timeout=60)
        assert scene.state() in (OLD, NEW), f"seed {SEED}"
        check_whole_and_heal(scene)


def test_psql_killed_at_random_moments_fails_the_restore_and_leaves_nothing(scene: Scene) -> None:
    chance = random.Random(SEED)
    for _ in range(times(2, 4)):
        child = scene.start()
        wait_for_load(child)
        victim = wait_for_psql(child.pid)
        time.sleep(chance.uniform(0.0, 0.15))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            # It was done before the kill came: the restore is whole, or fails for its own reasons.
            assert child.wait(timeout=60) == 0
        _, errors = child.communicate(timeout=60)
        if child.returncode != 0:
            assert "RestoreFailed" in errors, f"seed {SEED}: {errors}"
            assert scene.state() == NEW
            assert len(databases_like(scene.shop, "%\\_\\_snap\\_%")) <= 1
        check_whole_and_heal(scene)


def wait_for_load(child: subprocess.Popen[str]) -> None:
    """Return when the load begins; fail where the restore ended before."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "load":
            return
    pytest.fail(f"the restore ended before its load: {child.communicate()[1]}")


def wait_for_psql(parent: int) -> int:
    """Return the process id of the psql that *parent* started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = status.read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if name.endswith("(psql") and int(rest.split()[1]) == parent:
                return int(status.parent.name)
        time.sleep(0.005)
    raise AssertionError("no psql was started")


def test_a_kill_right_after_the_swap_leaves_an_undo(scene: Scene) -> None:
    for delay in (0.02, 0.04, 0.06, 0.1, 0.2, 0.4):
        scene.start("swap", str(delay)).communicate(timeout=60)
        scene.backends_gone()
        server = server_of(scene.shop)
        if scene.state() == OLD:
            (kept,) = kept_databases(scene.repo, server, LABEL)
            undo(scene.repo, plan_undo(scene.repo, server, LABEL), server)
            assert scene.state() == NEW
            assert kept.action == "restore"
            return
    pytest.fail("no delay was long enough for a swap")


def test_a_server_that_crashes_in_mid_load_keeps_its_live_database(
    own_cluster: object, tmp_path: Path
) -> None:
    from pgsnap.cluster.cluster import Cluster

    assert isinstance(own_cluster, Cluster)
    own_cluster.create_database("app")
    shop = Database(own_cluster, "app")
    shop.psql(
        "CREATE TABLE orders (id int, state text);"
        f"INSERT INTO orders SELECT g, 'new' FROM generate_series(1, {ROWS}) g"
    )
    with new_repository(tmp_path / "repo") as repo:
        made = Scene(shop, repo, commit_database(repo, server_of(shop)))
        child = made.start()
        wait_for_load(child)
        time.sleep(0.05)
        own_cluster.crash()
        child.communicate(timeout=90)
        own_cluster.start()
        assert made.state() == NEW
        restore_now(repo, made.snapshot, server_of(shop))
        assert len(databases_like(shop, "%\\_\\_snap\\_%")) == 1


def test_damage_in_mid_stream_never_counts_as_restored(scene: Scene) -> None:
    packs = sorted((scene.repo.path / "packs").rglob("*"), key=lambda path: path.is_file())
    pack = packs[-1]
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises((CorruptionError, RestoreFailed)):
        restore_now(scene.repo, scene.snapshot, server_of(scene.shop))
    assert scene.state() == NEW
    assert databases_like(scene.shop, "%\\_\\_snap\\_%") == []


def test_a_load_whose_backend_is_ended_by_an_administrator_fails(scene: Scene) -> None:
    child = scene.start()
    wait_for_load(child)
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname ~ '__snap_' AND application_name LIKE 'snap restore%'"
    )
    with psycopg.connect(scene.shop.cluster.dsn(), autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while not connection.execute(ended).fetchall():
            assert time.monotonic() < deadline
    _, errors = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "RestoreFailed" in errors
    check_whole_and_heal(scene)
