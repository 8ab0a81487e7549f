"""Folders of snapshots and packs that are not listed again while nothing was added or removed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pgsnap.files.folder import Entry, Folder
from pgsnap.files.trust import ONLY_OURS
from pgsnap.repository.places.local import LocalPlace, lists_remembered
from pgsnap.repository.repository import Repository
from support.repositories.made import record
from support.running.file_times import until_the_clock_ticked


def test_what_others_add_and_remove_is_seen_and_what_is_the_same_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "repo"
    Repository.create(path)
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    seen = lists_remembered(path)
    assert seen is not None
    listed: list[str] = []
    entries = Folder.entries

    def counted(folder: Folder, name: str = "") -> list[Entry]:
        listed.append(name)
        return entries(folder, name)

    monkeypatch.setattr(Folder, "entries", counted)

    def found() -> tuple[set[bytes], int]:
        """Return the snapshots, and how often their folder was listed for that."""
        before = listed.count("snapshots")
        with Repository.open(LocalPlace(path, ONLY_OURS, seen)) as repo:
            return set(repo.newest(None, None)), listed.count("snapshots") - before

    later = 1

    def now() -> int:
        return (path / "snapshots").stat().st_ctime_ns + later

    monkeypatch.setattr("pgsnap.stores.remembered.time", SimpleNamespace(time_ns=now))
    # A folder that was changed a moment ago may change again without another time.
    assert [found() for _ in range(2)] == [({first}, 1)] * 2
    later = 10**10
    assert [found() for _ in range(3)] == [({first}, 1), ({first}, 0), ({first}, 0)]
    packs = set((path / "packs").glob("*/*"))
    for _ in range(2):
        with Repository.open(LocalPlace(path, ONLY_OURS, seen)) as repo:
            repo.catch_up_packs()
            assert {pack.hex() for pack in repo.index.packs()} == {pack.name for pack in packs}
    # Folders that are some seconds old are listed once.
    assert listed.count("packs") == 1
    until_the_clock_ticked(path / "snapshots")
    with Repository.open(path) as repo:
        second = record(repo, message="second").snapshot_id
    assert [found(), found()] == [({first, second}, 1), ({first, second}, 0)]
    until_the_clock_ticked(path / "snapshots")
    (path / "snapshots" / first.hex()).unlink()
    assert [found(), found()] == [({second}, 1), ({second}, 0)]
    # As long as it is the same, the index is still compared with it.
    (path / "index.sqlite").unlink()
    assert found() == ({second}, 0)
    (gone,) = packs
    until_the_clock_ticked(gone.parent)
    gone.unlink()
    with Repository.open(LocalPlace(path, ONLY_OURS, seen)) as repo:
        repo.catch_up_packs()
        assert bytes.fromhex(gone.name) not in repo.index.packs()
