"""Encrypting again what older keys encrypted: nothing is lost, at no moment, and none is left."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import WrongKey
from pgsnap.maintenance.keys import add_key, rotate_keys
from pgsnap.maintenance.resealing import Resealed, reseal
from pgsnap.progress import SILENT
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.sealing.objects import epoch_of
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.workflows.history.tag import set_tag
from support.dumps.scripted import shop
from support.faults.disk import KillAt, watched
from support.repositories.collecting import commit_versions, sound_versions_in, versions_in
from support.repositories.encrypted import make_encrypted, opened, pack_files, unlocker
from support.repositories.keys import FIRST, SECOND
from support.repositories.made import day, in_child, record

AT_ONCE = timedelta(0)
A_DAY = timedelta(days=1)
PACK_BYTES = 30_000
KILLS = 12
VERSIONS = {0, 1, 2, 3}


def fill(repo: Repository) -> None:
    made = commit_versions(repo, sorted(VERSIONS))
    set_tag(repo, "first", made[0])
    repo.forget(made[1], by="test", reason="test")


def rotate(open_it: Callable[[], Repository]) -> None:
    with open_it() as repo:
        rotate_keys(repo)


def again(open_it: Callable[[], Repository], pack_grace: timedelta = AT_ONCE) -> Resealed:
    with open_it() as repo:
        return reseal(repo, pack_grace=pack_grace, progress=SILENT)


def older(folder: Path, epoch: int) -> list[str]:
    """Return what below *folder* was not sealed with the key of this number."""
    found = []
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        data = file.read_bytes() if file.is_file() else b""
        if data[:6] == b"\x89snapP" and int.from_bytes(data[8:12], "little") != epoch:
            found.append(name)
        if (number := epoch_of(data)) is not None and number != epoch:
            found.append(name)
    return found


def versions(open_it: Callable[[], Repository]) -> set[int]:
    with open_it() as repo:
        for snapshot in list(repo.forgotten()):
            repo.unforget(snapshot)
        return sound_versions_in(repo)


# -- in a folder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose keys were rotated; nothing may write to it."""
    path = make_encrypted(tmp_path_factory.mktemp("rotated") / "repo", pack_bytes=PACK_BYTES)
    with opened(path) as repo:
        fill(repo)
    rotate(lambda: opened(path, alone=True))
    return path


@pytest.fixture
def path(rotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rotated, tmp_path / "copy"))


def test_everything_has_the_newest_key_and_the_same_name(path: Path) -> None:
    before = {file.name for file in (path / "snapshots").iterdir()}
    packs = pack_files(path)
    assert older(path, 2)
    done = again(lambda: opened(path, alone=True))
    assert done.is_complete
    assert done.objects >= len(VERSIONS) + 2
    assert done.packs == len(packs)
    assert older(path, 2) == []
    assert {file.name for file in (path / "snapshots").iterdir()} == before
    assert not set(packs) & set(pack_files(path))
    with opened(path) as repo:
        assert [tag.name for tag in repo.tags.all()] == ["first"]
        assert len(repo.forgotten()) == 1
    assert versions(lambda: opened(path)) == VERSIONS
    done = again(lambda: opened(path, alone=True))
    assert (done.objects, done.packs) == (0, 0)


def test_what_is_committed_afterwards_is_compared_with_what_was_there(path: Path) -> None:
    again(lambda: opened(path, alone=True))
    packs = pack_files(path)
    with opened(path) as repo:
        commit_versions(repo, [3])
    assert pack_files(path) == packs


def test_it_can_be_killed_at_any_effect_and_continued(rotated: Path, tmp_path: Path) -> None:
    counted, names = tmp_path / "counted", tmp_path / "names"
    shutil.copytree(rotated, counted)

    def count() -> None:
        with watched(counted, KillAt(None, names=names)):
            again(lambda: opened(counted, alone=True))

    assert in_child(count) == 0
    effects = len(names.read_text().splitlines())
    killed = 0
    for moment in range(0, effects, max(1, effects // KILLS)):
        copy = tmp_path / f"killed-{moment}"
        shutil.copytree(rotated, copy)

        def die(copy: Path = copy, moment: int = moment) -> None:
            with watched(copy, KillAt(moment)):
                again(lambda: opened(copy, alone=True))

        status = in_child(die)
        assert status in (-signal.SIGKILL, 0)
        killed += status != 0
        with opened(copy) as repo:
            assert sound_versions_in(repo) == VERSIONS - {1}
            assert [tag.name for tag in repo.tags.all()] == ["first"]
        assert again(lambda copy=copy: opened(copy, alone=True)).is_complete  # type: ignore[misc]
        assert older(copy, 2) == []
        assert versions(lambda copy=copy: opened(copy)) == VERSIONS  # type: ignore[misc]
        shutil.rmtree(copy)
    assert killed > KILLS // 2


def test_what_does_not_open_stays_and_is_named(path: Path) -> None:
    (file,) = (one for one in (path / "tags").rglob("*") if one.is_file())
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    done = again(lambda: opened(path, alone=True))
    assert done.damaged == (file.relative_to(path).as_posix(),)
    assert not done.is_complete
    assert file.read_bytes() == bytes(data)
    assert older(path, 2) == [*done.damaged]


# -- on a store that a URL names -----------------------------------------------------------------


class Remote:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self._caches = folder
        Repository.create(self.folder.as_uri(), opener=KeyFile(FIRST), pack_bytes=PACK_BYTES)

    def open(self, host: str = "here", unlock: Unlock | None = None) -> Repository:
        return Repository.open(
            self.folder.as_uri(),
            index_folder=self._caches / host,
            unlock=unlock or unlocker(),
        )

    def alone(self) -> Repository:
        return Repository.open(
            self.folder.as_uri(),
            index_folder=self._caches / "collector",
            alone=True,
            unlock=unlocker(),
        )


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    made = Remote(tmp_path)
    with made.open() as repo:
        fill(repo)
    return made


def test_packs_of_a_store_are_marked_first_and_readers_go_on(remote: Remote) -> None:
    with remote.open("reader") as reader:
        rotate(remote.alone)
        before = pack_files(remote.folder)
        done = again(remote.alone, A_DAY)
        assert done.marked == done.packs == len(before)
        assert not done.is_complete
        assert done.marked_until is not None
        assert set(before) < set(pack_files(remote.folder))
        # With the keys that it opened with, from the packs that it knew.
        assert versions_in(reader) == VERSIONS - {1}
    waiting = again(remote.alone, A_DAY)
    assert (waiting.objects, waiting.packs, waiting.marked) == (0, 0, len(before))
    assert again(remote.alone).is_complete
    assert not set(before) & set(pack_files(remote.folder))
    assert older(remote.folder, 2) == []
    assert versions(lambda: remote.open("another")) == VERSIONS


def test_a_commit_that_began_before_a_rotation_is_published_with_the_new_key(
    remote: Remote,
) -> None:
    with remote.open() as repo:
        record(repo, shop(10), at=day(20), message="10", tags=("before",))
        before = set(older(remote.folder, 2))
        rotate(remote.alone)
        made = record(repo, shop(20), at=day(21), message="20", tags=("after",)).snapshot_id
        repo.forget(made, by="test", reason="test")
    new = [name for name in older(remote.folder, 2) if name not in before]
    # What it had stored before it looked at the keys.
    assert {name.partition("/")[0] for name in new} == {"packs"}
    assert (remote.folder / "snapshots" / made.hex()).exists()
    with remote.open("another") as repo:
        assert {tag.name for tag in repo.tags.all()} == {"first", "before", "after"}
    again(remote.alone)
    again(remote.alone)
    assert older(remote.folder, 2) == []


def test_a_commit_whose_key_was_shut_out_meanwhile_publishes_nothing(remote: Remote) -> None:
    with remote.alone() as repo:
        add_key(repo, KeyFile(SECOND))
    with remote.open("other", unlocker(SECOND)) as repo:
        rotate(remote.alone)
        seen = set((remote.folder / "snapshots").iterdir())
        with pytest.raises(WrongKey, match="wrong key file"):
            record(repo, shop(20), at=day(21), message="20", tags=("after",))
    assert set((remote.folder / "snapshots").iterdir()) == seen
