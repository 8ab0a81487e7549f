"""The local folder: modes, and the order in which it makes things durable."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgsnap.errors import ObjectExists, StoreChanged, UntrustedPath
from pgsnap.repository.repository import Repository
from pgsnap.stores.local import LocalStore
from support.repositories.made import record


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "store")
    made.make_root()
    return made


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o177, 0o277, 0o777], ids=oct)
def odd_umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }


def test_a_repository_is_private_whatever_the_umask(tmp_path: Path, odd_umask: int) -> None:
    path = tmp_path / "backups"
    Repository.create(path)
    with Repository.open(path) as repo:
        record(repo, tags=("one",))
        found = modes(path)
    found |= modes(path)
    assert any(name.endswith("-wal") for name in found)
    folders = {name for name in found if (path.parent / name).is_dir()}
    assert {found[name] for name in folders} == {0o700}
    assert {name: oct(mode) for name, mode in found.items() if name not in folders} == {
        name: oct(0o600) for name in found if name not in folders
    }


class Calls:
    """Records what is asked of the operating system, by the names of files."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str]] = []
        self._root = root
        for name in ("fsync", "link", "writev", "replace"):
            monkeypatch.setattr(os, name, self._recording(name, getattr(os, name)))

    def _recording(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*words: Any, **more: Any) -> Any:
            if name in ("link", "replace"):
                folder = Path(f"/proc/self/fd/{more['dst_dir_fd']}").readlink()
                self.made.append((name, self._name(str(folder / words[1]))))
            else:
                opened = Path(f"/proc/self/fd/{words[0]}").readlink()
                self.made.append((name, self._name(str(opened))))
            return call(*words, **more)

        return recorded

    def _name(self, path: str) -> str:
        inside = os.path.relpath(path, self._root)
        return "tmp/*" if inside.startswith("tmp/") else inside


@pytest.fixture
def calls(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Calls:
    store.put("packs/ab/first", b"so that the folders are there")
    return Calls(store.root, monkeypatch)


def test_put_syncs_the_file_then_renames_it_then_syncs_its_folder(
    store: LocalStore, calls: Calls
) -> None:
    store.put("packs/ab/one", b"data")
    assert calls.made == [
        ("writev", "tmp/*"),
        ("fsync", "tmp/*"),
        ("replace", "packs/ab/one"),
        ("fsync", "packs/ab"),
    ]


def test_create_syncs_the_file_then_links_it_then_syncs_its_folder(
    store: LocalStore, calls: Calls
) -> None:
    store.create("config", b"data")
    assert calls.made == [
        ("writev", "tmp/*"),
        ("fsync", "tmp/*"),
        ("link", "config"),
        ("fsync", "."),
    ]


def test_replace_and_delete_sync_the_folder(store: LocalStore, calls: Calls) -> None:
    store.replace("packs/ab/first", b"new", b"so that the folders are there")
    assert calls.made[1:] == [
        ("fsync", "tmp/*"),
        ("replace", "packs/ab/first"),
        ("fsync", "packs/ab"),
    ]
    calls.made.clear()
    store.replace("packs/ab/first", None, b"new")
    store.delete("packs/ab/other")
    assert calls.made == [("fsync", "packs/ab")] * 2


def test_of_several_that_are_deleted_each_folder_is_synced_once(
    store: LocalStore, calls: Calls
) -> None:
    for name in ("packs/ab/1", "packs/ab/2", "packs/cd/3"):
        store.put(name, b"data")
    calls.made.clear()
    store.delete("packs/ab/1", "packs/cd/3", "packs/ab/2")
    assert calls.made == [("fsync", "packs/ab"), ("fsync", "packs/cd")]


def test_a_new_folder_is_made_durable_in_its_parent(store: LocalStore, calls: Calls) -> None:
    store.put("notes/kind/one", b"data")
    synced = [name for call, name in calls.made if call == "fsync"]
    assert synced == ["tmp/*", ".", "notes", "notes/kind"]


def test_a_pack_in_more_parts_than_one_call_takes_is_written_whole(store: LocalStore) -> None:
    parts = [b"%d\n" % number for number in range(5000)]
    store.put("packs/ab/one", parts)
    assert store.get("packs/ab/one") == b"".join(parts)


def test_short_writes_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.writev

    def three_bytes(file: int, views: list[memoryview]) -> int:
        return write(file, [views[0][:3]])

    monkeypatch.setattr(os, "writev", three_bytes)
    store.put("packs/ab/one", [b"0123456789", b"", b"abc", b"defgh"])
    assert store.get("packs/ab/one") == b"0123456789abcdefgh"


def test_a_file_system_without_hard_links_has_one_creator_too(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    store.create("config", b"one")
    with pytest.raises(ObjectExists):
        store.create("config", b"two")
    store.replace("tags/a", b"one", None)
    with pytest.raises(StoreChanged):
        store.replace("tags/a", b"two", None)
    assert store.get("config") == b"one"
    assert store.get("tags/a") == b"one"
    assert list((store.root / "tmp").iterdir()) == []


def test_a_link_in_the_store_is_refused_by_list(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"x")
    store.put("packs/ab/one", b"1")
    (store.root / "packs" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UntrustedPath, match="packs/link"):
        list(store.list("packs/"))


def test_a_stray_file_whose_name_is_no_object_s_is_not_listed(store: LocalStore) -> None:
    store.put("tags/shop/one", b"1")
    (store.root / "tags" / "shop" / "one (Kopie für später)").write_bytes(b"x")
    assert [info.name for info in store.list("tags/")] == ["tags/shop/one"]


def test_names_are_those_of_the_list(store: LocalStore, tmp_path: Path) -> None:
    assert store.names("snapshots/") == set()
    for name in ("snapshots/b", "snapshots/a"):
        store.put(name, b"x")
    (store.root / "snapshots" / "größe").write_bytes(b"x")
    assert store.names("snapshots/") == {"snapshots/a", "snapshots/b"}
    store.put("snapshots/below/c", b"x")
    listed = {info.name for info in store.list("snapshots/")}
    assert (
        store.names("snapshots/") == listed == {"snapshots/a", "snapshots/b", "snapshots/below/c"}
    )
    (store.root / "snapshots" / "link").symlink_to(tmp_path)
    with pytest.raises(UntrustedPath, match="is a symbolic link"):
        store.names("snapshots/")
