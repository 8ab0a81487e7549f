"""A commit that fails at any moment: no new snapshot, the earlier ones whole, the next works."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from pgsnap.errors import (
    CorruptionError,
    DumpFailed,
    DumpIncomplete,
    Interrupted,
    SnapError,
    StoreFull,
)
from pgsnap.model import Origin, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sources.former import FormerOf
from pgsnap.workflows.commit.commit import commit
from support.dumps.scripted import Dump, ScriptedSource, dump, rows, shop, table, texts
from support.repositories.made import make, record
from support.repositories.stores import FailingStore, RecordingStore, use_store

FIRST = shop(300)
SECOND = dump(
    *(table("public", f"t{number}", rows(1500, seed=number)) for number in range(6)),
    globals_text=b"CREATE ROLE app;\n",
)


PACK_BYTES = 60_000
"""So few that even a small dump makes several packs."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = make(tmp_path / "backups", pack_bytes=PACK_BYTES)
    with Repository.open(made) as repo:
        record(repo, FIRST, tags=("first", "moving"))
    return made


def check_whole(path: Path, expected: list[Dump]) -> list[SnapshotId]:
    """Compare every snapshot, oldest first, with and without the index that was left."""
    for attempt in range(2):
        with Repository.open(path) as repo:
            found = list(reversed(repo.newest("shop")))
            assert [texts(repo, snapshot) for snapshot in found] == [
                dumped.texts for dumped in expected
            ]
        if attempt == 0:
            for file in path.glob("index.sqlite*"):
                file.unlink()
    assert list((path / "tmp").iterdir()) == []
    return found


EVENTS = len(list(ScriptedSource(SECOND).all_events()))


@pytest.mark.parametrize(
    "error", [DumpFailed("pg_dump failed"), Interrupted("interrupted")], ids=repr
)
def test_a_source_that_fails_at_any_event_leaves_no_snapshot(path: Path, error: SnapError) -> None:
    with Repository.open(path) as repo:
        for fail_at in [*range(EVENTS), -1]:
            source = ScriptedSource(SECOND, fail_at=fail_at, error=error)
            with pytest.raises(type(error)):
                commit(repo, source, database="shop", message="fails", tags=("second",))
            assert source.was_abandoned
            assert not source.was_finished
            assert len(repo.newest("shop")) == 1
            assert repo.tags.get("shop", "second") is None
    check_whole(path, [FIRST])
    with Repository.open(path) as repo:
        record(repo, SECOND, tags=("second",))
    check_whole(path, [FIRST, SECOND])


def test_a_dump_that_is_found_cut_short_at_its_end_is_no_snapshot(path: Path) -> None:
    with Repository.open(path) as repo, pytest.raises(DumpIncomplete):
        commit(
            repo,
            ScriptedSource(SECOND, fail_at=-1, error=DumpIncomplete("the dump is cut short")),
            database="shop",
            message="cut",
        )
    check_whole(path, [FIRST])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=repr)
def test_an_interruption_of_any_sort_in_mid_commit_leaves_no_snapshot(
    path: Path, error: BaseException
) -> None:
    with Repository.open(path) as repo:
        source = ScriptedSource(SECOND, fail_at=9, error=error)
        with pytest.raises(type(error)):
            commit(repo, source, database="shop", message="fails")
        assert source.was_abandoned
    check_whole(path, [FIRST])


def calls_of_a_commit(path: Path) -> int:
    with Repository.open(path) as repo:
        store = RecordingStore(repo.store)
        use_store(repo, store)
        record(repo, SECOND, tags=("second", "moving"), force_tags=True)
    return len(store.calls)


@pytest.mark.parametrize("afterwards", [False, True], ids=["undone", "answer lost"])
def test_a_store_that_fails_at_any_call_leaves_every_snapshot_and_the_next_commit_works(
    tmp_path: Path, path: Path, afterwards: bool
) -> None:
    with Repository.open(make(tmp_path / "counted", pack_bytes=PACK_BYTES)) as repo:
        record(repo, FIRST, tags=("first", "moving"))
    total = calls_of_a_commit(tmp_path / "counted")
    assert total > 8
    for fail_at in range(total):
        copy = tmp_path / f"failing-{fail_at}"
        shutil.copytree(path, copy)
        with Repository.open(copy) as repo:
            store = FailingStore(repo.store, fail_at, afterwards=afterwards)
            use_store(repo, store)
            with pytest.raises(StoreFull):
                record(repo, SECOND, tags=("second", "moving"), force_tags=True)
            assert store.has_failed
        # The commit point was passed where the manifest reached the store.
        passed = len(list((copy / "snapshots").iterdir())) == 2
        assert passed or fail_at < total - 3
        with Repository.open(copy) as repo:
            tags = {tag.name: tag.snapshot for tag in repo.tags.all()}
            (first, *others) = reversed(repo.newest("shop"))
        newest = others[0] if passed else first
        assert tags == {"first": first, "moving": newest} | ({"second": newest} if passed else {})
        with Repository.open(copy) as repo:
            assert record(repo, SECOND, tags=("third",)).tags == ("third",)
        check_whole(copy, [FIRST, *([SECOND] if passed else []), SECOND])
        shutil.rmtree(copy)


def test_a_store_that_fails_while_it_is_read_is_an_error_and_not_a_short_text(path: Path) -> None:
    with Repository.open(path) as repo:
        (made,) = repo.newest("shop")
        counting = RecordingStore(repo.store)
        use_store(repo, counting)
        texts(repo, made)
        assert len(counting.calls) > 2
        whole = counting._store
        for fail_at in range(len(counting.calls)):
            repo._packs_are_known = False
            use_store(repo, FailingStore(whole, fail_at))
            with pytest.raises(StoreFull):
                texts(repo, made)


def test_a_source_that_cannot_be_opened_is_abandoned(path: Path) -> None:
    class Closed(ScriptedSource):
        def open(self, former_of: FormerOf | None = None) -> Origin:
            raise DumpFailed("no route")

    source = Closed(SECOND)
    with Repository.open(path) as repo, pytest.raises(DumpFailed):
        commit(repo, source, database="shop", message="x")
    assert source.was_abandoned
    check_whole(path, [FIRST])


@pytest.mark.parametrize("place", ["packs", "snapshots"])
def test_a_changed_byte_anywhere_in_an_object_is_found_when_it_is_read(
    path: Path, place: str
) -> None:
    (file,) = (file for file in (path / place).rglob("*") if file.is_file())
    whole = file.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        file.write_bytes(damaged)
        for index in path.glob("index.sqlite*"):
            index.unlink()
        with Repository.open(path) as repo:
            found = repo.newest("shop")
            if place == "snapshots":
                assert found == []
                continue
            # A byte that changes no chunk may pass; a changed text may not.
            with contextlib.suppress(CorruptionError):
                assert texts(repo, found[0]) == FIRST.texts
    file.write_bytes(whole)
    for index in path.glob("index.sqlite*"):
        index.unlink()
    check_whole(path, [FIRST])
