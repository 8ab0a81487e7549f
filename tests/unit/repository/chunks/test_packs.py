"""Packs are written several at a time, and what follows one that fails does not count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.errors import StoreFull
from pgsnap.maintenance.gc.sweeping import Swept, rewrite_packs
from pgsnap.model import ChunkKind, Cipher, Codec, Frame
from pgsnap.progress import SILENT
from pgsnap.repository import layout
from pgsnap.repository.chunks import packs
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.index.frame_table import FrameTable
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Data, Store
from support.repositories.made import make
from support.repositories.stores import RecordingStore, use_store

SECONDS = 60.0


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(make(tmp_path / "r", pack_bytes=1000), alone=True) as opened:
        yield opened


class Gated(RecordingStore):
    """Runs *before* with the bytes of each put, before it is carried out."""

    def __init__(self, store: Store, before: Callable[[bytes], None]) -> None:
        super().__init__(store)
        self._before = before
        self._lock = threading.Lock()
        self.started = self.in_flight = self.most_in_flight = 0

    def put(self, name: str, data: Data) -> None:
        with self._lock:
            self.started += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self._before(data if isinstance(data, bytes) else b"".join(data))
            super().put(name, data)
        finally:
            with self._lock:
                self.in_flight -= 1


def add(writer: PackWriter, number: int, size: int = 1000) -> Frame:
    data = bytes([number]) * size
    name = blake3(data).digest()
    frame = Frame(name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, size, size)
    writer.add(frame, data)
    return frame


@pytest.mark.parametrize("frames_at_once", [0, 100])
def test_packs_are_written_several_at_a_time_and_indexed_in_order(
    repo: Repository, frames_at_once: int
) -> None:
    together = threading.Barrier(3)
    store = Gated(repo.store, lambda _: together.wait(SECONDS) and None)
    indexed: list[Frame] = []
    with PackWriter(
        store, repo.index, 1000, indexed.extend, at_once=3, frames_at_once=frames_at_once
    ) as writer:
        # None of the puts ends before three are under way.
        frames = [add(writer, number) for number in range(6)]
    assert sorted(indexed, key=str) == sorted(frames, key=str)
    if frames_at_once:
        assert indexed == frames
    assert len(repo.index.packs()) == 6
    assert writer.stored_bytes == sum(repo.index.packs().values())


def test_no_more_bytes_are_in_flight_than_allowed(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "WRITER_BYTES_MAX", 3500)
    store = Gated(repo.store, lambda _: time.sleep(0.01))
    with PackWriter(store, repo.index, 1000, lambda _: None, at_once=8) as writer:
        for number in range(12):
            add(writer, number)
        # One that is larger than all that is allowed goes alone.
        add(writer, 99, size=5000)
    assert store.most_in_flight == 2
    assert len(repo.index.packs()) == 13


def test_a_pack_is_not_started_after_one_that_failed(repo: Repository) -> None:
    together = threading.Barrier(3)
    failed = threading.Event()

    def second_fails(pack: bytes) -> None:
        together.wait(SECONDS)
        if bytes([1]) * 1000 in pack:
            failed.set()
            raise StoreFull("no space left")
        # The others are slower, whatever else the machine does.
        assert failed.wait(SECONDS)
        time.sleep(1)

    store = Gated(repo.store, second_fails)
    writer = PackWriter(store, repo.index, 1000, lambda _: None, at_once=3)

    def write() -> None:
        with writer:
            for number in range(20):
                add(writer, number)
                # Time for a put to begin.
                time.sleep(0.05)

    with pytest.raises(StoreFull):
        write()
    # Those that were under way, and not one more.
    assert (store.started, len(store.names("put", "packs/"))) == (3, 2)


def test_what_is_durable_after_a_pack_that_failed_is_not_counted_as_moved(
    repo: Repository,
) -> None:
    """A gc deletes old packs by counting what is durable: in order, or it deletes the only copy."""
    contents = range(9)
    for number in contents:
        with PackWriter(repo.store, repo.index, 1000, lambda _: None) as writer:
            add(writer, number, size=400)
    old = repo.index.packs()
    others_are_durable = threading.Event()

    def first_fails(pack: bytes) -> None:
        if bytes([0]) * 400 in pack:
            others_are_durable.wait(SECONDS)
            raise StoreFull("no space left")

    class Noticing(Gated):
        def put(self, name: str, data: Data) -> None:
            super().put(name, data)
            if len(self.names("put", "packs/")) == 2:
                others_are_durable.set()

    store = Noticing(repo.store, first_fails)
    use_store(repo, store)
    repo.chunks.transfers = 3
    table = FrameTable(repo.index)
    # New packs have three frames each, in the order of the old ones.
    with pytest.raises(StoreFull):
        rewrite_packs(
            repo.chunk_store, table, table.chunk >= 0, sorted(table.packs), Swept(), SILENT
        )
    assert len(store.names("put", "packs/")) == 2
    assert old.keys() <= {layout.hash_of(info.name) for info in repo.store.list("packs/")}
    for number in contents:
        data = bytes([number]) * 400
        assert repo.chunks.read(blake3(data).digest()) == data
