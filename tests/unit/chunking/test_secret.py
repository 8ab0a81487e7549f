"""Cuts of encrypted repositories: as good as others, and nobody's guess without the key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pgsnap.chunking.expected import Expected
from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.chunking.secret import Permutation, Purpose
from pgsnap.chunking.sketch import NO_SKETCH
from pgsnap.limits import KIB
from pgsnap.model import ChunkerKeys, ChunkerParams, Naming, RecipeEntry

SMALL = ChunkerParams(1 * KIB, 4 * KIB, 16 * KIB)
ONE = ChunkerKeys(bytes(range(32)), bytes(range(32, 64)))
OTHER = ChunkerKeys(bytes(range(64, 96)), bytes(range(96, 128)))


def cut(
    data: bytes, keys: ChunkerKeys | None, *, block_bytes: int = 1 << 30, naming: bytes = bytes(32)
) -> list[Chunk]:
    chunker = RowChunker(SMALL, naming=Naming(naming), keys=keys)
    chunks = []
    for start in range(0, len(data), block_bytes):
        chunks += chunker.feed(data[start : start + block_bytes])
    return chunks + chunker.finish()


def ends(chunks: list[Chunk]) -> set[int]:
    """Return where chunks end, the end of the data left out."""
    return set(np.cumsum([len(chunk.data) for chunk in chunks])[:-1].tolist())


def noise(size: int, seed: bytes) -> bytes:
    return blake3(seed).digest(size).replace(b"\n", b"n")


def short_rows(count: int) -> bytes:
    return b"".join(b"%d\t%s\n" % (n, noise(30, b"%d" % n).hex().encode()) for n in range(count))


def alike_rows(count: int) -> bytes:
    """Rows that differ outside of what is sampled of a row only."""
    return b"".join(b"%s%06d%s\n" % (b"h" * 40, n, b"t" * 70) for n in range(count))


def one_row(count: int) -> bytes:
    return noise(70 * count, b"one row")


DATA = [short_rows, alike_rows, one_row]


@pytest.mark.parametrize("data_of", DATA)
@pytest.mark.parametrize("block_bytes", [997, 70_001])
def test_secret_cuts_do_not_depend_on_how_blocks_arrive(
    data_of: Callable[[int], bytes], block_bytes: int
) -> None:
    data = data_of(4000)
    whole = cut(data, ONE)
    assert b"".join(chunk.data for chunk in whole) == data
    assert cut(data, ONE, block_bytes=block_bytes) == whole
    assert all(SMALL.min_bytes <= len(one.data) <= SMALL.max_bytes for one in whole[:-1])


@pytest.mark.parametrize("data_of", DATA)
def test_secret_cuts_come_again_after_a_change(data_of: Callable[[int], bytes]) -> None:
    data = data_of(4000)
    changed = b"something new\n" + data
    before = {chunk.data for chunk in cut(data, ONE)}
    after = [chunk.data for chunk in cut(changed, ONE)]
    assert sum(len(one) for one in after if one not in before) < 0.1 * len(changed)


@pytest.mark.parametrize("data_of", DATA)
def test_chunks_cut_secretly_have_the_average_size(data_of: Callable[[int], bytes]) -> None:
    data = data_of(20_000)
    # Rows that are equal in the sample are all chosen, or none is: their chunks are larger.
    most = 16 if data_of is alike_rows else 4.6
    assert 3.4 * KIB < len(data) / len(cut(data, ONE)) < most * KIB


@pytest.mark.parametrize("data_of", [short_rows, one_row])
@pytest.mark.parametrize("keys", [(ONE, OTHER), (ONE, None)], ids=["two keys", "none"])
def test_two_repositories_share_no_more_cuts_than_chance_gives(
    data_of: Callable[[int], bytes], keys: tuple[ChunkerKeys, ChunkerKeys | None]
) -> None:
    data = data_of(60_000)
    one, other = (ends(cut(data, of)) for of in keys)
    # A cut can be at every row's end, or at one byte in 64, which everybody can compute.
    places = data.count(b"\n") if data_of is short_rows else len(data) // 64
    by_chance = len(one) * len(other) / places
    assert len(one) > 500
    assert len(one & other) < by_chance + 5 * by_chance**0.5 + 5


def test_the_lengths_of_rows_alone_do_not_decide() -> None:
    row = b"%06d" + b"x" * 200 + b"\n"
    data = b"".join(row % n for n in range(20_000))
    shuffled = b"".join(row % (n * 7919 % 20_000) for n in range(20_000))
    one, other = ends(cut(data, ONE)), ends(cut(shuffled, ONE))
    by_chance = len(one) * len(other) / 20_000
    assert len(one & other) < by_chance + 5 * by_chance**0.5 + 5


def test_each_key_has_sketches_of_its_own() -> None:
    data = short_rows(4000)
    only_sketches = ChunkerKeys(ONE.cuts, OTHER.sketches)
    one, other = cut(data, ONE), cut(data, only_sketches)
    assert [chunk.data for chunk in one] == [chunk.data for chunk in other]
    values = [np.frombuffer(chunk.sketch, "<u4") for chunk in (*one, *other)]
    shared = [(a == b).sum() for a, b in zip(values, values[len(one) :], strict=False)]
    assert sum(shared[:-1]) == 0
    assert one[0].sketch != NO_SKETCH


def test_similar_chunks_still_have_similar_sketches() -> None:
    data = short_rows(4000)
    changed = data.replace(b"\n100\t", b"\n100\tchanged")
    before = {chunk.data: chunk.sketch for chunk in cut(data, ONE)}
    (new,) = [chunk for chunk in cut(changed, ONE) if chunk.data not in before]
    first = np.frombuffer(new.sketch, "<u4")
    assert max((np.frombuffer(one, "<u4") == first).sum() for one in before.values()) >= 6


def test_names_are_those_of_the_repository() -> None:
    data = short_rows(4000)
    key = bytes(range(32))
    chunker = RowChunker(SMALL, naming=Naming(key), keys=ONE)
    first = chunker.feed(data) + chunker.finish()
    entries = [
        RecipeEntry(blake3(one.data, key=key).digest(), len(one.data), one.lines, one.sketch)
        for one in first
    ]
    chunker.reset(Expected(iter(entries)))
    again = chunker.feed(data) + chunker.finish()
    assert [chunk.data for chunk in again] == [chunk.data for chunk in first]
    assert [chunk.name for chunk in again[:-1]] == [entry.chunk for entry in entries[:-1]]


def test_a_permutation_is_aes_of_the_hash_and_what_it_decides() -> None:
    key = bytes(range(32))
    hashes = np.array([0, 1, 2**63, 2**64 - 1] * 10_000, np.uint64)
    found = Permutation(key).of(hashes, Purpose.IN_ROW)
    own = blake3(b"snap cuts: permutation", key=key).digest()
    aes = Cipher(algorithms.AES(own), modes.ECB()).encryptor()  # as the specification has it
    for hash_, value in zip(hashes[:4].tolist(), found[:4].tolist(), strict=True):
        block = hash_.to_bytes(8, "little") + (3).to_bytes(8, "little")
        assert int.from_bytes(aes.update(block)[:8], "little") == value
    assert found[4:].tolist() == found[:4].tolist() * 9_999


def test_what_is_decided_makes_another_permutation() -> None:
    hashes = np.arange(1000, dtype=np.uint64)
    found = [set(Permutation(bytes(32)).of(hashes, one).tolist()) for one in Purpose]
    assert all(len(values) == 1000 for values in found)
    assert not set.intersection(*found)


def test_golden_secret_cuts_are_those_of_every_encrypted_repository() -> None:
    found = [
        blake3(b"".join(len(one.data).to_bytes(4, "little") + one.sketch for one in cut(data, ONE)))
        for data in (short_rows(2000), alike_rows(2000), one_row(2000))
    ]
    assert [one.hexdigest(length=8) for one in found] == GOLDEN


GOLDEN = ["716dcb5b2f273f29", "dbc3326fe8a895cd", "8790e3662ab68058"]
