"""Chains of deltas: read a few packs at a time, and read all the same where one read fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT
from pgsnap.model import ChunkId, ChunkKind
from pgsnap.repository.chunks import chains, chunks
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Store
from support.dumps.scripted import dump, rows, table
from support.repositories.made import day, make, record
from support.repositories.stores import RecordingStore

VERSIONS = 6


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    """A repository with VERSIONS versions of a table of several chunks, all rows' ends changed."""
    with Repository.open(make(tmp_path / "backups")) as opened:
        lines = rows(16_000, seed=5, width=200)
        for number in range(1, VERSIONS + 1):
            for changed in range(number, len(lines), 97):
                lines[changed] = lines[changed][:-8] + b"%08d" % (changed * number)
            record(opened, dump(table("public", "orders", lines)), at=day(number))
        yield opened


def newest(repo: Repository) -> list[ChunkId]:
    found = repo.index.query(
        "SELECT id FROM chunks WHERE kind = ? AND depth = ?", (ChunkKind.DATA, VERSIONS - 1)
    )
    return [row[0] for row in found]


def read(repo: Repository, wanted: list[ChunkId]) -> tuple[list[bytes], RecordingStore]:
    """Read *wanted* as a restore does; return them, and the store that heard how."""
    store = RecordingStore(repo.store)
    reader = ChunkReader(store, repo.index)
    found = reader.read_ahead((None, chunk, 300_000) for chunk in wanted)
    return [data for _, data in found], store


def test_the_deltas_of_neighbours_are_read_in_one_go(repo: Repository) -> None:
    wanted = newest(repo)
    assert len(wanted) >= 4
    expected = [repo.chunks.read(chunk) for chunk in wanted]
    found, store = read(repo, wanted)
    assert found == expected
    # One read for each version's pack, not one for each delta.
    assert len(store.names("get")) == VERSIONS


def test_what_may_not_be_held_is_read_when_its_turn_comes(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = read(repo, newest(repo))
    monkeypatch.setattr(chains, "AHEAD_BYTES_MAX", 100_000)
    found, store = read(repo, newest(repo))
    assert found == expected
    assert len(store.names("get")) > VERSIONS


def test_one_damaged_delta_spoils_only_what_is_read_through_it(repo: Repository) -> None:
    wanted = newest(repo)
    expected = dict(zip(wanted, read(repo, wanted)[0], strict=True))
    chain = repo.index.chains(wanted[:1])
    (tip,) = chain[wanted[0]]
    assert tip.frame.base is not None
    (below,) = chain[tip.frame.base]
    pack = repo.path / "packs" / below.pack.hex()[:2] / below.pack.hex()
    data = bytearray(pack.read_bytes())
    data[below.offset + below.frame.frame_bytes // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises(CorruptionError, match=f"chunk {wanted[0].hex()[:12]} is damaged"):
        read(repo, wanted)
    others = [chunk for chunk in wanted if below.frame.chunk not in repo.index.chains([chunk])]
    assert len(others) == len(wanted) - 1
    assert dict(zip(others, read(repo, others)[0], strict=True)).items() < expected.items()


def test_a_pack_that_was_cut_still_gives_the_frames_before_the_cut(repo: Repository) -> None:
    wanted = newest(repo)
    places = sorted(repo.index.locations(wanted).values(), key=lambda found: found[0].offset)
    (last,) = places[-1]
    pack = repo.path / "packs" / last.pack.hex()[:2] / last.pack.hex()
    expected, _ = read(repo, [places[0][0].frame.chunk])
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.truncate(last.offset + 1)
    assert read(repo, [places[0][0].frame.chunk])[0] == expected
    with pytest.raises(CorruptionError, match=f"chunk {last.frame.chunk.hex()[:12]} is damaged"):
        read(repo, [location.frame.chunk for (location,) in places])


class Meeting(RecordingStore):
    """Lets the first *count* reads of packs pass only together."""

    def __init__(self, store: Store, count: int) -> None:
        super().__init__(store)
        self._count = count
        self._together = threading.Barrier(count)
        self._lock = threading.Lock()
        self.started = 0

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        with self._lock:
            self.started += 1
            is_first = self.started <= self._count
        if is_first:
            self._together.wait(60)
        return super().get(name, start, length, bytes_max=bytes_max)


def many(repo: Repository) -> list[ChunkId]:
    """Return plain chunks, of which each is read by one request."""
    record(repo, dump(table("public", "events", rows(60_000, seed=7, width=200))), at=day(20))
    found = repo.index.query(
        "SELECT id FROM chunks WHERE kind = ? AND depth = 0 ORDER BY pack_no, offset",
        (ChunkKind.DATA,),
    )
    return [row[0] for row in found]


def test_a_chain_that_two_wanted_chunks_share_is_decoded_once_in_whatever_order(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (chunk, base), *_ = repo.index.query(
        "SELECT id, base FROM chunks WHERE kind = ? AND depth = ?", (ChunkKind.DATA, VERSIONS - 1)
    )
    expected = [repo.chunks.read(chunk), repo.chunks.read(base)]
    decoded = []
    real = chunks.decompress_chain

    def counted(frames: list[bytes], sizes: list[int]) -> bytes:
        decoded.append(len(frames))
        return real(frames, sizes)

    monkeypatch.setattr(chunks, "decompress_chain", counted)
    for wanted in ([base, chunk], [chunk, base]):
        order = [expected[wanted[0] == base], expected[wanted[1] == base]]
        found = repo.chunks.read_ahead((None, each, 300_000) for each in wanted)
        assert [data for _, data in found] == order
        assert len(decoded) == 1
        decoded.clear()


def test_from_a_remote_store_the_frames_of_several_batches_are_read_at_a_time(
    repo: Repository,
) -> None:
    wanted = many(repo)
    assert len(wanted) >= 16
    expected = [repo.chunks.read(chunk) for chunk in wanted]
    # More than threads that decode, on any machine.
    store = Meeting(repo.store, BATCHES_IN_FLIGHT + 2)
    reader = ChunkReader(store, repo.index, transfers=BATCHES_IN_FLIGHT + 2)
    # Each is a batch of its own.
    found = reader.read_ahead((None, chunk, BATCH_BYTES) for chunk in wanted)
    assert [data for _, data in found] == expected


def test_no_more_batches_are_read_from_a_remote_store_than_allowed(repo: Repository) -> None:
    wanted = many(repo)
    store = Meeting(repo.store, 1)
    reader = ChunkReader(store, repo.index, transfers=3)
    found = reader.read_ahead((None, chunk, BATCH_BYTES) for chunk in wanted)
    next(found)
    time.sleep(0.5)
    # Those that are read, those being decoded, and the one that was taken.
    assert store.started <= 3 + 1 + BATCHES_IN_FLIGHT < len(wanted)
    found.close()


def test_what_a_remote_store_fails_to_read_is_raised_and_ends_the_threads(
    repo: Repository,
) -> None:
    class Broken(RecordingStore):
        def get(
            self,
            name: str,
            start: int = 0,
            length: int | None = None,
            *,
            bytes_max: int | None = None,
        ) -> bytes:
            if len(self.names("get")) == 5:
                raise StoreError("the store is unreachable")
            return super().get(name, start, length, bytes_max=bytes_max)

    reader = ChunkReader(Broken(repo.store), repo.index, transfers=4)
    with pytest.raises(StoreError, match="unreachable"):
        list(reader.read_ahead((None, chunk, BATCH_BYTES) for chunk in many(repo)))
    assert not [one for one in threading.enumerate() if one.name.startswith("snap-")]


def test_chains_of_many_chunks_are_found_at_once(repo: Repository) -> None:
    """SQLite joins 500 terms at most; more were taken for a damaged index."""
    wanted = newest(repo)
    others = [number.to_bytes(32) for number in range(1200)]
    assert repo.index.chains([*others, *wanted]) == repo.index.chains(wanted)
