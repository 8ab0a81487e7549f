"""What every Store must do. A test class for an implementation inherits this suite and gives the
fixtures `store` and `again` (opens the same store once more, also in another process; where
processes are not forked it must be picklable)."""

from __future__ import annotations

import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contract.store_races import THREADS, RacesOfProcesses, RacesOfThreads
from pgsnap.errors import (
    CorruptionError,
    ObjectExists,
    ObjectNotFound,
    StoreChanged,
    StoreError,
)
from pgsnap.stores.base import ObjectInfo, Store

BAD_NAMES = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../outside",
    "packs/../../outside",
    "packs/..",
    "packs/./a",
    "packs//a",
    "packs/",
    "./a",
    "tags/größe",
]


# What the names of objects are made of, and what else ASCII has in words that people choose.
PARTS = [
    "0" * 64,
    "shop%2Fproduction",
    "a.b_c-d~e",
    string.ascii_letters + string.digits,
    "with space",
    "(a)+b=c,d;e!f$g'h@i:j&k",
    "100%",
    "%41",
]


class StoreBasics(RacesOfThreads):
    """For servers that differ from each other, but not from the point of view of a process."""

    # More than a page of a listing.
    MANY = 1100

    def test_an_object_reads_back_byte_for_byte(self, store: Store) -> None:
        data = bytes(range(256)) * 1000
        store.put("packs/ab/one", data)
        assert store.get("packs/ab/one") == data

    def test_objects_come_and_go_during_many_reads(self, store: Store) -> None:
        store.put("packs/ab/one", b"one")
        with store.many_reads():
            assert store.get("packs/ab/one") == b"one"
            store.put("packs/ab/two", b"two")
            store.put("packs/ab/one", b"another")
            assert [store.get("packs/ab/two"), store.get("packs/ab/one")] == [b"two", b"another"]
            store.delete("packs/ab/two")
            with pytest.raises(ObjectNotFound):
                store.get("packs/ab/two")
        assert store.get("packs/ab/one") == b"another"

    def test_an_object_in_parts_is_their_concatenation(self, store: Store) -> None:
        parts = [
            b"",
            b"one",
            b"",
            b"two" * 100_000,
            *(b"%d," % number for number in range(3000)),
            b"",
        ]
        store.put("packs/ab/parts", parts)
        assert store.get("packs/ab/parts") == b"".join(parts)

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        store.put("notes/a/empty", b"")
        store.put("notes/a/none", [])
        assert store.get("notes/a/empty") == b""
        assert store.get("notes/a/none") == b""
        assert [info.object_bytes for info in store.list("notes/a/")] == [0, 0]

    def test_put_replaces_an_object(self, store: Store) -> None:
        store.put("config", b"a longer object")
        store.put("config", b"short")
        assert store.get("config") == b"short"

    def test_a_part_of_an_object_is_exactly_what_was_asked_for(self, store: Store) -> None:
        store.put("a", b"0123456789")
        assert store.get("a", 3, 4) == b"3456"
        assert store.get("a", 7) == b"789"
        assert store.get("a", 10) == b""
        assert store.get("a", 10, 0) == b""
        assert store.get("a", 0, 10) == b"0123456789"

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (8, 3), (10, 1), (11, None), (50, 1)])
    def test_more_than_an_object_holds_is_damage(
        self, store: Store, start: int, length: int | None
    ) -> None:
        store.put("a", b"0123456789")
        with pytest.raises(CorruptionError):
            store.get("a", start, length)

    def test_an_object_that_is_not_there_is_not_found(self, store: Store) -> None:
        for name in ("a", "packs/ab/a", "packs/ab/deeper/a"):
            with pytest.raises(ObjectNotFound):
                store.get(name)
        store.put("packs/ab/a", b"")
        with pytest.raises(ObjectNotFound):
            store.get("packs/ab/b")

    def test_list_yields_names_below_the_prefix_with_sizes(self, store: Store) -> None:
        for name, size in [("packs/aa/1", 1), ("packs/ab/2", 2), ("packs/b", 3), ("packsx/3", 4)]:
            store.put(name, b"x" * size)
        assert sorted(store.list("packs/"), key=lambda info: info.name) == [
            ObjectInfo("packs/aa/1", 1),
            ObjectInfo("packs/ab/2", 2),
            ObjectInfo("packs/b", 3),
        ]
        assert [info.name for info in store.list("packs/ab/")] == ["packs/ab/2"]
        assert list(store.list("packs/ac/")) == []
        assert list(store.list("nothing/")) == []

    def test_list_endures_what_is_deleted_meanwhile(self, store: Store) -> None:
        for number in range(20):
            store.put(f"packs/{number % 4}/{number}", b"x")
        seen = []
        for info in store.list("packs/"):
            seen.append(info.name)
            for number in range(20):
                store.delete(f"packs/{number % 4}/{number}")
        assert seen

    def test_delete_removes_and_may_come_twice(self, store: Store) -> None:
        store.put("tags/a/b", b"x")
        store.delete("tags/a/b")
        store.delete("tags/a/b")
        store.delete("never/was")
        with pytest.raises(ObjectNotFound):
            store.get("tags/a/b")
        assert list(store.list("tags/")) == []

    def test_several_are_deleted_at_once(self, store: Store) -> None:
        for name in ("packs/ab/one", "packs/cd/two", "packs/cd/three"):
            store.put(name, b"x")
        store.delete("packs/ab/one", "packs/ab/never", "packs/cd/two")
        store.delete()
        assert [info.name for info in store.list("packs/")] == ["packs/cd/three"]

    def test_create_twice_raises_and_keeps_the_first(self, store: Store) -> None:
        store.create("config", b"one")
        with pytest.raises(ObjectExists):
            store.create("config", b"two")
        assert store.get("config") == b"one"

    def test_replace_compares_before_it_swaps(self, store: Store) -> None:
        store.replace("tags/a", b"one", None)
        with pytest.raises(StoreChanged):
            store.replace("tags/a", b"two", None)
        with pytest.raises(StoreChanged):
            store.replace("tags/a", b"two", b"other")
        assert store.get("tags/a") == b"one"
        store.replace("tags/a", b"two", b"one")
        assert store.get("tags/a") == b"two"

    def test_replace_deletes_only_what_was_expected(self, store: Store) -> None:
        store.put("tags/a", b"one")
        with pytest.raises(StoreChanged):
            store.replace("tags/a", None, b"other")
        with pytest.raises(StoreChanged):
            store.replace("tags/a", None, None)
        store.replace("tags/a", None, b"one")
        with pytest.raises(ObjectNotFound):
            store.get("tags/a")
        with pytest.raises(StoreChanged):
            store.replace("tags/a", b"two", b"one")
        store.replace("tags/never", None, None)

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_that_is_none_is_refused_by_every_call(self, store: Store, name: str) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: store.put(name, b"x"),
            lambda: store.create(name, b"x"),
            lambda: store.replace(name, b"x", None),
            lambda: store.get(name),
            lambda: store.delete(name),
        ]
        for call in calls:
            with pytest.raises(StoreError):
                call()

    @pytest.mark.parametrize("prefix", ["../", "/", "packs/../../", "/etc/"])
    def test_list_does_not_leave_the_store(self, store: Store, prefix: str) -> None:
        with pytest.raises(StoreError):
            list(store.list(prefix))

    def test_names_are_kept_as_they_are(self, store: Store) -> None:
        for part in PARTS:
            store.put(f"tags/{part}/{part}", part.encode())
        assert sorted(info.name for info in store.list("tags/")) == sorted(
            f"tags/{part}/{part}" for part in PARTS
        )
        for part in PARTS:
            assert store.get(f"tags/{part}/{part}") == part.encode()
            assert [info.name for info in store.list(f"tags/{part}/")] == [f"tags/{part}/{part}"]
            store.delete(f"tags/{part}/{part}")
        assert list(store.list("tags/")) == []

    def test_names_differ_by_case(self, store: Store) -> None:
        store.put("tags/Shop", b"one")
        store.put("tags/shop", b"two")
        assert [store.get("tags/Shop"), store.get("tags/shop")] == [b"one", b"two"]

    def test_a_list_of_many_pages_is_whole(self, store: Store) -> None:
        names = [f"notes/{number % 7}/{number:05}" for number in range(self.MANY)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda name: store.put(name, name.encode()), names))
        found = list(store.list("notes/"))
        assert sorted(info.name for info in found) == sorted(names)
        assert {info.object_bytes for info in found} == {len(names[0])}
        store.delete(*names)
        assert list(store.list("notes/")) == []

    def test_an_object_larger_than_expected_is_not_read(self, store: Store) -> None:
        store.put("a", b"0123456789")
        assert store.get("a", bytes_max=10) == b"0123456789"
        with pytest.raises(CorruptionError):
            store.get("a", bytes_max=9)


class StoreContract(StoreBasics, RacesOfProcesses):
    """Inherited by the tests of each implementation."""
