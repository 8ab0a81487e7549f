"""Opening a repository lists its folders of snapshots and notes only if they changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgsnap.errors import UntrustedPath
from pgsnap.files.folder import Entry, Folder
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.index.place import has_true_times
from pgsnap.repository.repository import Repository
from pgsnap.stores.local import LocalStore
from support.faults.damaging import flip
from support.repositories.made import record
from support.running.file_times import until_the_clock_ticked

NOTES = ["notes/forgotten", "notes/unforgotten"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets the clock that the times of folders are compared with, in seconds from
    now."""

    def set_later(seconds: float) -> None:
        def now() -> int:
            return time.time_ns() + round(seconds * 1e9)

        monkeypatch.setattr("pgsnap.stores.remembered.time", SimpleNamespace(time_ns=now))

    set_later(60)
    return set_later


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the folders that are listed from now on."""
    found: list[str] = []
    entries, names = Folder.entries, LocalStore.names

    def counted_entries(folder: Folder, name: str = "") -> list[Entry]:
        if name in NOTES:
            found.append(name)
        return entries(folder, name)

    def counted_names(store: LocalStore, prefix: str) -> set[str]:
        found.append(prefix.rstrip("/"))
        return names(store, prefix)

    monkeypatch.setattr(Folder, "entries", counted_entries)
    monkeypatch.setattr(LocalStore, "names", counted_names)
    return found


def snapshots_of(path: Path, trust: Trust = ONLY_OURS) -> tuple[set[bytes], set[bytes]]:
    """Return the snapshots in a repository, and those that are forgotten."""
    with Repository.open(path, trust=trust) as repo:
        return set(repo.newest(None, None)), set(repo.forgotten())


def read(
    path: Path, listed: list[str], trust: Trust = ONLY_OURS
) -> Iterator[tuple[set[bytes], set[bytes], int]]:
    """Yield what `snapshots_of` returns, and how many folders were listed for that, each time."""
    while True:
        listed.clear()
        visible, forgotten = snapshots_of(path, trust)
        yield visible, forgotten, len(listed)


def test_what_was_not_changed_is_listed_once(
    path: Path, later: Callable[[float], None], listed: list[str]
) -> None:
    with Repository.open(path) as repo:
        first, second = (record(repo, message=each).snapshot_id for each in ("first", "second"))
        repo.forget(second, by="me", reason="test")
    found = read(path, listed)
    # What was changed a moment ago may change again without another time.
    later(0)
    assert [next(found)[2] for _ in range(2)] == [3, 3]
    later(60)
    assert [next(found) for _ in range(3)] == [
        ({first}, {second}, 3),
        ({first}, {second}, 0),
        ({first}, {second}, 0),
    ]
    with Repository.open(path, alone=True):
        assert len(listed) == 3


def test_what_others_add_and_remove_is_seen(
    path: Path, later: Callable[[float], None], listed: list[str]
) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    found = read(path, listed)
    assert [next(found)[2] for _ in range(2)] == [3, 0]
    until_the_clock_ticked(path / "snapshots")
    manifest = path / "snapshots" / first.hex()
    manifest.rename(path / "elsewhere")
    assert [next(found), next(found)] == [(set(), set(), 3), (set(), set(), 0)]
    until_the_clock_ticked(path / "snapshots")
    (path / "elsewhere").rename(manifest)
    assert [next(found), next(found)] == [({first}, set(), 3), ({first}, set(), 0)]
    # The first note makes the folder that it is in.
    with Repository.open(path) as repo:
        repo.forget(first, by="me", reason="test")
    assert [next(found), next(found)] == [(set(), {first}, 3), (set(), {first}, 0)]
    until_the_clock_ticked(path / "notes" / "forgotten")
    (note,) = (path / "notes" / "forgotten").iterdir()
    note.unlink()
    assert [next(found), next(found)] == [({first}, set(), 3), ({first}, set(), 0)]


@pytest.mark.usefixtures("later")
def test_a_damaged_manifest_or_note_that_is_mended_in_place_is_seen(
    path: Path, listed: list[str]
) -> None:
    with Repository.open(path) as repo:
        first, second = (record(repo, message=each).snapshot_id for each in ("first", "second"))
        repo.forget(second, by="me", reason="test")
    (note,) = (path / "notes" / "forgotten").iterdir()
    found = read(path, listed)
    for file, without in (
        (path / "snapshots" / first.hex(), (set(), {second})),
        (note, ({first, second}, set())),
    ):
        for index in path.glob("index.sqlite*"):
            index.unlink()
        sound = file.read_bytes()
        flip(file, len(sound) // 2)
        assert [next(found)[:2] for _ in range(2)] == [without, without]
        assert listed
        file.write_bytes(sound)
        assert [next(found)[:2] for _ in range(2)] == [({first}, {second})] * 2
        assert next(found)[2] == 0


@pytest.mark.usefixtures("later")
def test_an_index_that_lost_rows_is_compared_with_the_folders(
    path: Path, listed: list[str]
) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    found = read(path, listed)
    assert [next(found)[2] for _ in range(2)] == [3, 0]
    with sqlite3.connect(path / "index.sqlite") as connection:
        connection.execute("DELETE FROM snapshots")
    connection.close()
    assert [next(found), next(found)] == [({first}, set(), 3), ({first}, set(), 0)]


@pytest.mark.usefixtures("later")
def test_where_times_do_not_show_each_change_all_is_listed_each_time(
    path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    monkeypatch.setattr("pgsnap.repository.places.local.has_true_times", lambda path: False)
    found = read(path, listed)
    assert [next(found) for _ in range(3)] == [({first}, set(), 3)] * 3
    table = tmp_path / "mounts"
    for kind, expected in (("ext4", True), ("fuse.mergerfs", False), ("nfs4", False)):
        table.write_text(f"32 1 0:46 / / rw,relatime - {kind} name rw\n")
        assert has_true_times(path, table) is expected
    assert not has_true_times(path, tmp_path / "no such file")


@pytest.mark.usefixtures("later")
def test_what_is_not_trusted_any_more_is_met_though_nothing_was_changed(
    path: Path, listed: list[str], tmp_path: Path
) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    manifest, elsewhere = path / "snapshots" / first.hex(), tmp_path / "elsewhere"
    shutil.copy(manifest, elsewhere)
    manifest.unlink()
    manifest.symlink_to(elsewhere)
    found = read(path, listed, Trust(links=frozenset({manifest})))
    assert [next(found)[2] for _ in range(3)][1:] == [0, 0]
    with pytest.raises(UntrustedPath):
        snapshots_of(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another user")
@pytest.mark.usefixtures("later")
def test_a_stranger_who_was_trusted_is_told_of_though_nothing_was_changed(
    path: Path, listed: list[str]
) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
    os.chown(path / "snapshots" / first.hex(), 65534, -1)
    found = read(path, listed, Trust(owners=frozenset({65534})))
    assert [next(found)[2] for _ in range(2)] == [3, 0]
    told: list[str] = []
    assert snapshots_of(path, Trust(warn=told.append)) == ({first}, set())
    assert [first.hex() in each for each in told] == [True]


@pytest.mark.usefixtures("later")
def test_a_folder_on_another_file_system_is_listed_each_time(path: Path, listed: list[str]) -> None:
    with Repository.open(path) as repo:
        first = record(repo, message="first").snapshot_id
        repo.forget(first, by="me", reason="test")
    device = path.stat().st_dev
    places = (each for each in map(Path, ("/dev/shm", "/var/tmp")) if os.access(each, os.W_OK))
    place = next((each for each in places if each.stat().st_dev != device), None)
    if place is None:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=place) as other:
        shutil.move(path / "notes", other)
        (path / "notes").symlink_to(Path(other, "notes"))
        found = read(path, listed, Trust(links=frozenset({path / "notes"})))
        assert [next(found) for _ in range(3)] == [(set(), {first}, 3)] * 3
