"""kill -9 at the steps of a restore: the live database is whole, and the next restore cleans up."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.model import SnapshotId
from support.databases import Database
from support.restore_steps import SCRATCH_OR_KEPT, heal, kill_restore, steps_of_a_restore
from support.restoring import commit_database, databases_like, new_repository, server_of


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Iterator[tuple[Path, SnapshotId]]:
    """A repository with a snapshot of a database in state "old"; it is in state "new" now."""
    database.psql(
        "CREATE TABLE orders (id int PRIMARY KEY, state text);"
        "INSERT INTO orders SELECT g, 'old' FROM generate_series(1, 500) g;"
        "CREATE INDEX ON orders (state)"
    )
    path = tmp_path / "repo"
    with new_repository(path) as repo:
        snapshot = commit_database(repo, server_of(database))
    yield path, snapshot
    for name in databases_like(database, SCRATCH_OR_KEPT):
        database.cluster.drop_database(name)


def kill_at_every(
    scene: tuple[Path, SnapshotId], database: Database, *, every: int
) -> tuple[int, int]:
    path, snapshot = scene
    old = database.dump()
    steps = steps_of_a_restore(path, database, snapshot)
    kinds = {step.split()[0] for step in steps}
    assert {"statement", "block", "sql", "create", "sync", "replace"} <= kinds
    new = change(database)
    killed = swapped = 0
    for moment in range(random.SystemRandom().randrange(every), len(steps), every):
        killed += kill_restore(path, database, snapshot, moment)
        found = database.dump()
        assert found in (old, new), f"moment {moment}: {steps[moment]}"
        swapped += found == old
        if moment % (3 * every) < every:
            heal(path, database, snapshot)
            assert database.dump() == old
            new = change(database)
        elif found == old:
            new = change(database)
    heal(path, database, snapshot)
    return killed, swapped


def change(database: Database) -> bytes:
    database.psql("UPDATE orders SET state = 'new' WHERE id = 7; INSERT INTO orders VALUES (0)")
    return database.dump()


def test_a_restore_killed_at_some_of_its_steps_leaves_the_live_database_whole(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    killed, _ = kill_at_every(scene, database, every=20)
    assert killed >= 4


@pytest.mark.system
@pytest.mark.timeout(600)
def test_a_restore_killed_at_every_step_leaves_the_live_database_whole(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    killed, _ = kill_at_every(scene, database, every=int(os.environ.get("SNAP_STEP", "1")))
    assert killed > 60
