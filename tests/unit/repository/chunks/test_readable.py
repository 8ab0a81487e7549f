"""Chunks that can be read, found out once each: what the index says of each by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame, Location
from pgsnap.repository.chunks import readable
from pgsnap.repository.chunks.readable import ReadableChunks
from pgsnap.repository.index.index import Index


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index(None)
    yield made
    made.close()


def frame(chunk: ChunkId, base: ChunkId | None, depth: int) -> Frame:
    codec = Codec.ZSTD if base is None else Codec.ZSTD_DELTA
    return Frame(chunk, ChunkKind.DATA, codec, Cipher.NONE, depth, base, 100, 500)


def fill(index: Index, chance: random.Random, *, damage: float = 0.5) -> list[ChunkId]:
    """Let the index know frames at random: chains, cycles, bases that are not there, and in packs
    with this probability *damage*."""
    chunks = [chance.randbytes(32) for _ in range(60)]
    for _ in range(6):
        pack, locations = chance.randbytes(32), []
        for place in range(20):
            base = chance.choice([None, *chunks]) if chance.random() < 0.9 else None
            depth = chance.choice([0, 1, 2, 3, 4, 5, DELTA_DEPTH_MAX - 1, DELTA_DEPTH_MAX, 200])
            made = frame(chance.choice(chunks), base, depth)
            locations.append(Location(pack, 8 + 100 * place, made))
        index.add_pack(pack, 5000, locations)
        if chance.random() < damage:
            offsets = [8 + 100 * chance.randrange(20) for _ in range(3)]
            index.mark_damaged(pack, offsets, readable=chance.random() < 0.5)
    return chunks


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("remembered", [10, 100_000])
def test_what_is_readable_is_what_the_index_says(
    index: Index, seed: int, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "_REMEMBERED_MAX", remembered)
    chance = random.Random(seed)
    chunks = fill(index, chance)
    found = ReadableChunks(index)
    for _ in range(20):
        asked = chance.sample(chunks, chance.randrange(1, 20))
        assert found.known(asked) == index.known(asked)
    assert index.known(chunks)
    assert index.known(chunks) < set(chunks)


@pytest.mark.parametrize("damage", [0, 0.5])
@pytest.mark.parametrize("seed", range(40))
def test_chains_of_what_is_readable_are_found_at_once(
    index: Index, seed: int, damage: float
) -> None:
    chance = random.Random(seed)
    chunks = fill(index, chance, damage=damage)
    for count in (1, 1, 1, 2, 3, 20):
        asked = chance.sample(chunks, count)
        assert index.chains_of_known(asked) == index.chains(list(index.known(asked)))


def test_chains_that_are_marked_as_damaged_are_not_known(index: Index) -> None:
    plain, delta, pack = b"p" * 32, b"d" * 32, b"k" * 32
    frames = [frame(plain, None, 0), frame(delta, plain, 1)]
    locations = [Location(pack, 8 + 100 * place, each) for place, each in enumerate(frames)]
    index.add_pack(pack, 5000, locations)
    assert index.chains_of_known([delta]).keys() == {plain, delta}
    index.mark_damaged(pack, [8], readable=True)
    assert not index.chains_of_known([delta])


def test_a_chain_that_is_too_deep_is_not_readable(index: Index) -> None:
    chunks = [bytes([number]) * 32 for number in range(DELTA_DEPTH_MAX + 3)]
    frames = [
        frame(chunk, chunks[depth - 1] if depth else None, depth)
        for depth, chunk in enumerate(chunks)
    ]
    locations = [Location(b"p" * 32, 8 + 100 * n, one) for n, one in enumerate(frames)]
    index.add_pack(b"p" * 32, 10_000, locations)
    assert ReadableChunks(index).known(chunks) == set(chunks[:DELTA_DEPTH_MAX])
    assert index.known(chunks) == set(chunks[:DELTA_DEPTH_MAX])


def test_damage_that_is_found_meanwhile_is_seen_after_forgetting(index: Index) -> None:
    plain, delta = b"a" * 32, b"b" * 32
    locations = [
        Location(b"p" * 32, 8, frame(plain, None, 0)),
        Location(b"p" * 32, 108, frame(delta, plain, 1)),
    ]
    index.add_pack(b"p" * 32, 1000, locations)
    found = ReadableChunks(index)
    assert found.known([plain, delta]) == {plain, delta}
    index.mark_damaged(b"p" * 32, [8], readable=False)
    found.forget()
    assert found.known([plain, delta]) == set()
