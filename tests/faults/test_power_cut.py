"""A power cut takes what was not synced: no snapshot whose commit had returned is among it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pgsnap.files.folder import Folder
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.faults.disk import Log, read_log, watched
from support.faults.power import Disk
from support.faults.power_cuts import REPOSITORY, History, check_cut, cut_power
from support.repositories.collecting import collect
from support.repositories.made import day, in_child, record
from support.running.seeds import SEED
from support.store_model.world import World


def test_a_power_cut_at_any_effect_loses_no_snapshot_that_was_committed(tmp_path: Path) -> None:
    assert cut_power(tmp_path, histories=2, cuts=20, seed=SEED) > 8


@pytest.mark.parametrize("kill_at", range(4))
def test_what_a_killed_commit_left_in_doubt_is_durable_before_it_is_built_upon(
    tmp_path: Path, kill_at: int
) -> None:
    """A pack that was renamed and not yet synced is seen by the next commit, which needs it."""
    history = History(tmp_path / "history", kill_at, in_doubt=True)
    for seed in range(3):
        target = tmp_path / str(seed)
        marks, torn = history.cut(target, len(history.effects), random.Random(seed))
        check_cut(target / REPOSITORY, marks, torn)


class CutsAll(random.Random):
    """The chance of a cut after which nothing is found that was not synced."""

    def choice(self, among: Sequence[Any]) -> Any:
        return among[0]


def killed_before_it_synced(world: World, name: str, task: Callable[[Path], object]) -> None:
    """Run *task* in a process that dies when it would make the entries of a folder durable."""

    sync = Folder.sync

    def die(folder: Folder, inside: str = "") -> None:
        if (folder.path / inside).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(folder, inside)

    def run() -> None:
        with world.running(), mock.patch.object(Folder, "sync", die):
            task(world.path)

    assert in_child(run) == -signal.SIGKILL


def two_snapshots(folder: Path) -> tuple[World, SnapshotId, SnapshotId]:
    world = World(folder)
    with world.running(), world.open() as repo:
        old = record(repo, shop(400, seed=1), at=day(1)).snapshot_id
        new = record(repo, shop(400, seed=2), at=day(2)).snapshot_id
    return world, old, new


def test_no_power_cut_brings_back_a_manifest_whose_chunks_are_gone(tmp_path: Path) -> None:
    """A gc is killed when it has deleted a manifest, before that is durable; the next one must not
    delete chunks before it is."""
    world, _, newest = two_snapshots(tmp_path)
    killed_before_it_synced(world, "snapshots", lambda path: collect(path, 1))
    assert len(list(world.path.glob("snapshots/*"))) == 1
    with world.running():
        collect(world.path, 1)
    world.cut_power(CutsAll())
    with world.open() as repo:
        assert repo.newest(None, also_forgotten=True) == [newest]
        assert verify(repo, data=True).findings == ()


def test_a_note_that_was_seen_is_there_after_a_power_cut(tmp_path: Path) -> None:
    world, old, _ = two_snapshots(tmp_path)

    def forget(path: Path) -> None:
        with Repository.open(path) as repo:
            repo.forget(old, by="test", reason="")

    killed_before_it_synced(world, "forgotten", forget)
    with world.running(), world.open() as repo:
        assert old in repo.forgotten()
    world.cut_power(CutsAll())
    with world.open() as repo:
        assert old in repo.forgotten()


def test_a_tag_that_a_snapshot_was_seen_to_have_is_there_after_a_power_cut(tmp_path: Path) -> None:
    world, *_ = two_snapshots(tmp_path)

    def commit(path: Path) -> None:
        with Repository.open(path) as repo:
            record(repo, shop(400, seed=3), tags=("one",))

    # The folder of the label's tags.
    killed_before_it_synced(world, "shop", commit)
    with world.running(), world.open() as repo:
        assert [tag.name for tag in repo.tags.all()] == ["one"]
    world.cut_power(CutsAll())
    with world.open() as repo:
        assert [tag.name for tag in repo.tags.all()] == ["one"]


def what_is_left(tmp_path: Path, keep_seed: int, *, synced: bool) -> set[str]:
    """Write a file with or without its syncs, cut the power, and tell what is found."""
    base = tmp_path / f"base-{keep_seed}-{synced}"
    base.mkdir()
    log = base.with_suffix(".log")
    with watched(base, Log(log)):
        file = os.open(base / "new", os.O_WRONLY | os.O_CREAT)
        os.writev(file, [b"content"])
        if synced:
            os.fsync(file)
        os.close(file)
        (base / "new").replace(base / "named")
        if synced:
            folder = os.open(base, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    disk = Disk()
    for effect in read_log(log):
        disk.do(effect)
    target = base.with_suffix(".cut")
    disk.cut(target, random.Random(keep_seed))
    return {f"{path.name}:{path.read_bytes().decode()}" for path in target.iterdir()}


def test_the_simulation_loses_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    unsynced = [what_is_left(tmp_path, seed, synced=False) for seed in range(30)]
    assert set() in unsynced
    assert {"named:content"} in unsynced
    assert {"new:content", "named:content"} in unsynced or {"named:"} in unsynced
    synced = [what_is_left(tmp_path, seed, synced=True) for seed in range(30)]
    assert synced == [{"named:content"}] * 30
