"""A store that seals passes the contract of stores, and shows none of what passes through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.store_contract import StoreContract
from pgsnap.errors import CorruptionError, StoreChanged, WrongKey
from pgsnap.format.envelope import ObjectKind, wrap
from pgsnap.repository import layout
from pgsnap.repository.sealed.store import SealedStore
from pgsnap.stores.base import ObjectInfo, Store
from pgsnap.stores.local import LocalStore
from support.repositories.keys import FIRST, SECOND, keys

TAG = layout.tag_name("the customers", "pre/migration")


def sealed_in(folder: Path, *masters: bytes) -> SealedStore:
    return SealedStore(LocalStore(folder), keys(*masters))


class TestSealedStore(StoreContract):
    @pytest.fixture
    def again(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: sealed_in(tmp_path / "store")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        LocalStore(tmp_path / "store").make_root()
        return sealed_in(tmp_path / "store")

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        """Its size in the listing is that of the sealed object."""
        store.put("notes/a/empty", b"")
        store.put("notes/a/none", [])
        assert store.get("notes/a/empty") == store.get("notes/a/none") == b""
        assert len(list(store.list("notes/a/"))) == 2

    def test_a_list_of_many_pages_is_whole(self, store: Store) -> None:
        """The same without the sizes."""
        names = {f"notes/{number % 7}/{number:05}" for number in range(self.MANY)}
        for name in names:
            store.put(name, name.encode())
        assert {info.name for info in store.list("notes/")} == names


def every_byte(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LocalStore(tmp_path / "store").make_root()
    return tmp_path / "store"


def test_neither_contents_nor_words_of_names_show(folder: Path) -> None:
    store = sealed_in(folder)
    store.put(TAG, b"contents of the tag")
    store.create("notes/verdict/" + "ab" * 32, b"contents of the note")
    shown = every_byte(folder)
    for hidden in (b"customers", b"migration", b"contents", b"pre"):
        assert hidden not in shown


def test_listing_gives_the_names_back(folder: Path) -> None:
    store = sealed_in(folder)
    names = {TAG, layout.tag_name("shop", "v1"), layout.tag_name("ß" * 100, "t" * 200)}
    for name in names:
        store.put(name, b"")
    assert {info.name for info in store.list(layout.TAGS)} == names
    assert [info.name for info in store.list(TAG.rpartition("/")[0] + "/")] == [TAG]


def test_stray_files_are_not_listed(folder: Path) -> None:
    store = sealed_in(folder)
    store.put(TAG, b"")
    LocalStore(folder).put("tags/shop/v1", b"planted")
    assert [info.name for info in store.list(layout.TAGS)] == [TAG]


def test_objects_that_are_read_before_there_is_a_key_stay_as_they_are(folder: Path) -> None:
    store = sealed_in(folder)
    for name in ("config", "keys/ab", "packs/ab/ab", "damaged/packs/ab/ab~2"):
        store.put(name, b"as it is")
        assert LocalStore(folder).get(name) == b"as it is"
        assert store.get(name, 3, 2) == b"it"


def test_objects_cannot_change_places(folder: Path) -> None:
    store, inner = sealed_in(folder), LocalStore(folder)
    store.put("notes/verdict/a", b"one")
    store.put("notes/verdict/b", b"two")
    inner.put("notes/verdict/a", inner.get("notes/verdict/b"))
    with pytest.raises(CorruptionError, match="does not open with the repository's key"):
        store.get("notes/verdict/a")


def test_a_plain_object_is_refused_wherever_it_was_put(folder: Path) -> None:
    store = sealed_in(folder)
    plain = wrap(ObjectKind.TAG, b"planted")
    LocalStore(folder).put(store.outer(TAG), plain)
    with pytest.raises(WrongKey, match="is not encrypted"):
        store.get(TAG)
    with pytest.raises(WrongKey, match="is not encrypted"):
        store.replace(TAG, b"new", plain)


def test_a_swap_compares_what_was_sealed(folder: Path) -> None:
    store = sealed_in(folder)
    store.replace(TAG, b"one", None)
    with pytest.raises(StoreChanged):
        store.replace(TAG, b"two", b"none")
    with pytest.raises(StoreChanged):
        store.replace(TAG, b"two", None)
    sealed_in(folder, FIRST, SECOND).replace(TAG, b"two", b"one")
    assert sealed_in(folder, FIRST, SECOND).get(TAG) == b"two"
    with pytest.raises(WrongKey, match="key number 2 is missing"):
        store.get(TAG)


def test_a_listing_gives_the_stored_size(folder: Path) -> None:
    store = sealed_in(folder)
    store.put("notes/verdict/a", b"")
    stored = len(LocalStore(folder).get("notes/verdict/a"))
    assert list(store.list("notes/")) == [ObjectInfo("notes/verdict/a", stored)]
