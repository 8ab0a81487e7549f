"""gc killed at its effects on the disk, and on a full disk: nothing that is needed is lost."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from pgsnap.errors import StoreFull
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.index.index import Index
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import shop, texts
from support.faults.disk import KillAt, watched
from support.repositories.collecting import (
    AT_ONCE,
    check_versions,
    collect,
    commit_versions,
    version,
)
from support.repositories.made import day, in_child, make, record
from support.repositories.stores import FailingStore, use_store

PACK_BYTES = 30_000
KEPT = {6, 7}
KILLS = 14


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of eight versions, in many packs; nothing may write to it."""
    path = make(tmp_path_factory.mktemp("gc") / "filled", pack_bytes=PACK_BYTES)
    with Repository.open(path) as repo:
        commit_versions(repo, range(8))
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(filled, copy)
    return copy


def collect_two(path: Path) -> None:
    collect(path, 2)


def check(path: Path, kept: set[int]) -> None:
    """Check that the versions are there and whole, also those that are committed again."""
    assert check_versions(path) >= kept
    with Repository.open(path) as repo:
        assert verify(repo, data=True).findings == ()


def test_a_gc_killed_at_any_effect_loses_nothing_and_is_finished_by_the_next(
    filled: Path, tmp_path: Path
) -> None:
    counted, names = tmp_path / "counted", tmp_path / "names"
    shutil.copytree(filled, counted)

    def count() -> None:
        with watched(counted, KillAt(None, names=names)):
            collect_two(counted)

    assert in_child(count) == 0
    effects = len(names.read_text().splitlines())
    whole = sum(file.stat().st_size for file in counted.glob("packs/*/*"))
    killed = 0
    for moment in range(0, effects, max(1, effects // KILLS)):
        copy = tmp_path / f"killed-{moment}"
        shutil.copytree(filled, copy)

        def collect_and_die(copy: Path = copy, moment: int = moment) -> None:
            with watched(copy, KillAt(moment)):
                collect_two(copy)

        status = in_child(collect_and_die)
        assert status in (-signal.SIGKILL, 0)
        killed += status != 0
        check(copy, KEPT)
        # An old state comes back: what was left of it must not be relied upon.
        with Repository.open(copy) as repo:
            again = record(repo, version(0), message="0").snapshot_id
            assert texts(repo, again) == version(0).texts
            repo.forget(again, by="test", reason="")
        collect_two(copy)
        check(copy, KEPT)
        packs = sum(file.stat().st_size for file in copy.glob("packs/*/*"))
        assert packs < whole * 1.1, moment
        shutil.rmtree(copy)
    assert killed > KILLS // 2


def test_a_gc_on_a_full_disk_frees_what_needs_no_room(path: Path) -> None:
    with Repository.open(path, alone=True) as repo:
        record(repo, shop(500), database="other", at=day(1))
        for snapshot in repo.newest(None)[2:]:
            repo.forget(snapshot, by="test", reason="")
    before = sum(file.stat().st_size for file in path.glob("packs/*/*"))

    class NoRoom(FailingStore):
        """Deletes, and has no room for anything new."""

        def _hear(self, call: str, name: str) -> None:
            if call in ("put", "create"):
                raise StoreFull("no space left in the repository")

    with Repository.open(path, alone=True) as repo:
        use_store(repo, NoRoom(repo.store, 10**9))
        report = gc(repo, Policy(last=2), grace=AT_ONCE)
        assert report.full is not None
        assert len(report.expired) == 7
        assert report.packs_deleted > 0
    freed = before - sum(file.stat().st_size for file in path.glob("packs/*/*"))
    assert freed > 0
    check(path, KEPT)
    assert collect(path, 2).full is None
    check(path, KEPT)


def test_a_gc_whose_index_is_full_does_not_call_its_own_packs_damaged(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "full"
    shutil.copytree(filled, copy)

    def no_room(*args: object) -> None:
        raise StoreFull("no space left for the index")

    with Repository.open(copy, alone=True) as repo:
        known = len(repo.index.packs())
        with monkeypatch.context() as patched:
            patched.setattr(Index, "add_pack", no_room)
            patched.setattr(Index, "add_packs", no_room)
            report = gc(repo, Policy(last=2), grace=AT_ONCE)
        assert report.full is not None
        assert len(repo.index.packs()) <= known
        assert report.unreadable == ()
    collect_two(copy)
    check(copy, KEPT)


def test_a_gc_whose_disk_fills_up_at_any_write_can_be_run_again(
    filled: Path, tmp_path: Path
) -> None:
    for fail_at in range(1, 40, 8):
        copy = tmp_path / f"full-{fail_at}"
        shutil.copytree(filled, copy)
        with Repository.open(copy, alone=True) as repo:
            store = FailingStore(repo.store, fail_at)
            use_store(repo, store)
            try:
                gc(repo, Policy(last=2), grace=AT_ONCE)
            except StoreFull:
                # This store does not even delete.
                assert store.has_failed
        assert check_versions(copy) >= KEPT
        collect_two(copy)
        check(copy, KEPT)
        shutil.rmtree(copy)
