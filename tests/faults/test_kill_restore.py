"""kill -9 at the steps of a restore: the live database is whole, and the next restore cleans up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.model import SnapshotId
from support.restoring.clients import commit_database, databases_like, new_repository, server_of
from support.restoring.steps import (
    SCRATCH_OR_KEPT,
    KillAfterSwap,
    backends_gone,
    heal,
    kill_restore,
    restore_in_child,
    steps_of_a_restore,
)
from support.running.seeds import SEED
from support.servers.databases import Database


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
    """Kill restores at each *every*th step, until one comes to its end. Return how many were
    killed, and how many of these had swapped."""
    path, snapshot = scene
    old = database.dump()
    steps = steps_of_a_restore(path, database, snapshot)
    kinds = {step.split()[0] for step in steps}
    assert {"statement", "block", "sql", "create", "sync", "replace"} <= kinds
    new = change(database)
    killed = swapped = 0
    moment = SEED % every
    # What a killed one left and what is kept are steps of the next: it has more than were counted.
    while kill_restore(path, database, snapshot, moment):
        killed += 1
        found = database.dump()
        assert found in (old, new), f"moment {moment}"
        swapped += found == old
        if moment % (3 * every) < every:
            heal(path, database, snapshot)
            assert database.dump() == old
        if found == old or moment % (3 * every) < every:
            new = change(database)
        moment += every
    assert database.dump() == old
    heal(path, database, snapshot)
    return killed, swapped


def change(database: Database) -> bytes:
    database.psql("UPDATE orders SET state = 'new' WHERE id = 7; INSERT INTO orders VALUES (0)")
    return database.dump()


def test_a_restore_killed_at_some_of_its_steps_leaves_the_live_database_whole(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    killed, _ = kill_at_every(scene, database, every=25)
    assert killed >= 4


def test_a_restore_has_no_more_steps_for_those_that_were_before_it(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    path, snapshot = scene
    steps_of_a_restore(path, database, snapshot)
    second = steps_of_a_restore(path, database, snapshot)
    for _ in range(8):
        heal(path, database, snapshot)
    # It asks now and then whether psql is done, so one has a few more than another.
    assert len(steps_of_a_restore(path, database, snapshot)) < len(second) + 6


def test_a_restore_killed_right_after_its_swap_has_swapped(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    path, snapshot = scene
    old = database.dump()
    change(database)
    for later in (0, 3, 10):
        assert restore_in_child(path, database, snapshot, KillAfterSwap(later)) == -signal.SIGKILL
        backends_gone(database)
        assert database.dump() == old
        heal(path, database, snapshot)
        change(database)


@pytest.mark.system
@pytest.mark.timeout(1800)
def test_a_restore_killed_at_every_step_leaves_the_live_database_whole(
    scene: tuple[Path, SnapshotId], database: Database
) -> None:
    # Where it begins comes from the seed; `make test-long` takes all steps.
    every = int(os.environ.get("SNAP_STEP", "10"))
    killed, swapped = kill_at_every(scene, database, every=every)
    assert killed > 60 // every
    assert swapped > 10 // every
