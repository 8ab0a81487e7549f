"""What the chunker promises, and the cuts that every repository's deduplication rests on."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.errors import UsageError
from pgsnap.limits import CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, KIB, MIB
from pgsnap.model import ChunkerParams

DEFAULT = ChunkerParams(CHUNK_BYTES_MIN, CHUNK_BYTES_AVG, CHUNK_BYTES_MAX)
SMALL = ChunkerParams(1 * KIB, 4 * KIB, 16 * KIB)


def cut(data: bytes, params: ChunkerParams = SMALL, key: int = 0) -> list[Chunk]:
    chunker = RowChunker(params, key)
    return chunker.feed(data) + chunker.finish()


def datas(chunks: Iterable[Chunk]) -> list[bytes]:
    return [chunk.data for chunk in chunks]


def sizes(chunks: Iterable[Chunk]) -> list[int]:
    return [len(chunk.data) for chunk in chunks]


def noise(size: int, seed: str) -> bytes:
    """Return *size* bytes that are the same in every version of Python, none of them a line end."""
    return hashlib.shake_128(seed.encode()).digest(size).replace(b"\n", b"n")


def hex_rows(count: int, width: int, seed: str) -> bytes:
    text = noise(count * width, seed).hex().encode()
    return b"".join(b"%d\t%s\n" % (i, text[i * width : (i + 1) * width]) for i in range(count))


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def new_share(old: Iterable[Chunk], new: Iterable[Chunk]) -> float:
    known = set(datas(old))
    fresh = {data for data in datas(new) if data not in known}
    return sum(map(len, fresh)) / sum(sizes(new))


def test_golden_cuts_of_rows_are_those_of_every_repository() -> None:
    data = hex_rows(1200, 60, "rows")
    assert sizes(cut(data)) == GOLDEN_ROWS
    assert sizes(cut(data, key=0x0123456789ABCDEF)) == GOLDEN_ROWS_KEYED


def test_golden_cuts_of_short_and_long_rows_are_those_of_every_repository() -> None:
    words = noise(20_000, "short").hex()
    short = "\n".join(words[i : i + i % 19] for i in range(0, 38_000, 7)).encode()
    data = short + noise(100_000, "long") + b"\n" + b"\n" * 20_000 + short
    assert sizes(cut(data)) == GOLDEN_MIXED


def test_golden_cuts_of_rows_that_differ_outside_of_the_sample_only() -> None:
    assert sizes(cut(alike_in_the_sample(0, 800))) == GOLDEN_ALIKE


def alike_in_the_sample(first: int, stop: int) -> bytes:
    head, tail = b"h" * 40, b"t" * 70
    return b"".join(b"%s%06d%s\n" % (head, i, tail) for i in range(first, stop))


def test_nothing_is_emitted_for_an_empty_segment() -> None:
    chunker = RowChunker(SMALL)
    assert chunker.feed(b"") == []
    assert chunker.finish() == []


def test_a_segment_below_the_least_size_is_one_chunk() -> None:
    assert cut(b"a\tb\nc") == [Chunk(b"a\tb\nc", 1)]


@pytest.mark.parametrize("width", [1, 7, 8, 15, 16, 17, 90, 5000])
def test_chunks_of_rows_end_at_row_ends_within_bounds_and_join_to_the_input(width: int) -> None:
    data = hex_rows(600_000 // (width + 5), width, "bounds")
    chunks = cut(data)
    assert b"".join(datas(chunks)) == data
    assert all(chunk.data.endswith(b"\n") for chunk in chunks)
    assert all(SMALL.min_bytes <= size <= SMALL.max_bytes for size in sizes(chunks)[:-1])
    assert [chunk.lines for chunk in chunks] == [data.count(b"\n") for data in datas(chunks)]


@pytest.mark.parametrize("width", [8, 40, 400, 1500])
def test_chunks_have_the_average_size_whatever_the_width_of_rows(width: int) -> None:
    data = hex_rows(4_000_000 // (width + 6), width, "average")
    chunks = cut(data)
    assert len(data) / len(chunks) == pytest.approx(SMALL.avg_bytes, rel=0.15)


def test_constant_heads_and_tails_do_not_hide_the_rows_from_the_chunker() -> None:
    rows = (b"h" * 64 + noise(24, f"middle {i}") + b"t" * 64 + b"\n" for i in range(6000))
    chunks = cut(b"".join(rows))
    assert sum(sizes(chunks)) / len(chunks) == pytest.approx(SMALL.avg_bytes, rel=0.25)


def test_identical_rows_are_cut_at_the_last_row_end_before_the_maximum() -> None:
    row = b"x" * 99 + b"\n"
    full = SMALL.max_bytes // len(row) * len(row)
    assert sizes(cut(row * 1000)) == [full] * (100_000 // full) + [100_000 % full]


def test_rows_alike_in_the_sample_are_still_cut_by_their_content() -> None:
    old = alike_in_the_sample(0, 20_000)
    new = alike_in_the_sample(90_000, 90_003) + old
    assert new_share(cut(old), cut(new)) < 0.05


def test_a_long_row_is_cut_by_its_content_and_its_end_is_a_cut() -> None:
    first, second = noise(500_000, "a") + b"\n", noise(500_000, "b") + b"\n"
    chunks = cut(first + second)
    assert max(sizes(chunks)) <= SMALL.max_bytes
    assert 1_000_000 / len(chunks) == pytest.approx(SMALL.avg_bytes, rel=0.2)
    assert sum(data.endswith(b"\n") for data in datas(chunks)) == 2
    assert new_share(chunks, cut(first[:250_000] + b"0123456789" + first[250_000:])) < 0.05


def test_a_row_of_one_byte_value_is_cut_at_the_maximum() -> None:
    assert sizes(cut(b"0" * 40_000)) == [SMALL.max_bytes, SMALL.max_bytes, 7232]


def test_the_key_moves_cuts_of_rows_and_of_long_rows() -> None:
    for data in (hex_rows(3000, 60, "key"), noise(200_000, "key")):
        assert sizes(cut(data, key=1)) != sizes(cut(data, key=2))


def test_the_same_cuts_with_default_sizes_however_blocks_arrive() -> None:
    data = hex_rows(20_000, 90, "blocks") + noise(3 * MIB, "blob") + b"\n" + hex_rows(9000, 9, "x")
    whole = cut(data, DEFAULT)
    dice = random.Random(5)
    chunker = RowChunker(DEFAULT)
    chunks: list[Chunk] = []
    rest = memoryview(data)
    while rest:
        size = dice.choice([1, 3, 4096, 65_536, 1_000_003])
        chunks += chunker.feed(rest[:size])
        rest = rest[size:]
    assert chunks + chunker.finish() == whole


def test_chunks_do_not_change_when_the_fed_buffer_does() -> None:
    data = bytearray(hex_rows(20_000, 90, "buffer"))
    want = datas(cut(bytes(data)))
    chunker = RowChunker(SMALL)
    chunks = chunker.feed(memoryview(data))
    data[:] = bytes(len(data))
    assert datas(chunks + chunker.finish()) == want


def test_a_finished_chunker_takes_nothing_until_it_is_reset() -> None:
    data = hex_rows(3000, 60, "reset")
    chunker = RowChunker(SMALL)
    first = chunker.feed(data) + chunker.finish()
    with pytest.raises(ValueError, match="reset"):
        chunker.feed(b"x")
    with pytest.raises(ValueError, match="reset"):
        chunker.finish()
    chunker.reset()
    assert chunker.feed(data) + chunker.finish() == first


def test_a_reset_forgets_an_unfinished_segment() -> None:
    data = hex_rows(3000, 60, "reset")
    chunker = RowChunker(SMALL)
    chunker.feed(data[:100_001])
    chunker.reset()
    assert chunker.feed(data) + chunker.finish() == cut(data)


def blocks_of_one_row(count: int) -> Iterator[bytes]:
    for i in range(count):
        yield noise(4 * MIB, str(i))
    yield b"\n"


@pytest.mark.parametrize(
    ("blocks", "most"),
    [
        (blocks_of_one_row(10), 20 * MIB),
        ((hex_rows(20_000, 90, "m") for _ in range(10)), 20 * MIB),
        # The worst there is: a million rows per MiB, all of them alike.
        ((b"\n" * (4 * MIB) for _ in range(2)), 110 * MIB),
    ],
    ids=["one row", "rows", "empty rows"],
)
def test_memory_is_bounded_for_long_and_for_empty_rows(blocks: Iterator[bytes], most: int) -> None:
    tracemalloc.start()
    try:
        chunker = RowChunker(DEFAULT)
        for block in blocks:
            chunker.feed(block)
        chunker.finish()
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_chunk_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Chunk(b"", 0).lines = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "params",
    [
        ChunkerParams(8, 64, 256),
        ChunkerParams(64, 64, 256),
        ChunkerParams(64, 256, 256),
        ChunkerParams(64, 256, 400),
        ChunkerParams(MIB, 4 * MIB, 17 * MIB),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(params: ChunkerParams) -> None:
    with pytest.raises(UsageError, match="chunk size"):
        RowChunker(params)


@pytest.mark.parametrize("key", [-1, 1 << 64])
def test_a_key_of_more_than_64_bits_is_refused(key: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        RowChunker(SMALL, key)


# Do not adapt these to new code: other cuts make the next snapshot of every repository store all
# of its data again.
GOLDEN_ROWS = numbers(
    "3958 1024 3878 2145 4420 1625 7280 11050 1300 4225 2145 5915 5265 3770 5460 3806 "
    "2244 1914 3036 3630"
)
GOLDEN_ROWS_KEYED = numbers(
    "6390 2860 5850 2405 1560 3575 3835 1885 2340 2145 5005 7735 2665 1690 2730 2665 1820 "
    "2860 3445 2486 1188 2508 5676 1188 1584"
)
GOLDEN_MIXED = numbers(
    "3971 5339 5154 2446 7928 7995 10640 3547 2214 2367 1670 2399 5105 1706 1269 1229 "
    "7817 2797 1981 1884 1175 1611 2953 1522 3836 3370 6094 1459 1320 6370 4965 1365 2151 "
    "1811 14228 2644 5667 12289 16384 4210 3377 5339 5154 2446 7928 7995 10640 3547 2214 "
    "2367 1670 1016"
)
GOLDEN_ALIKE = numbers("3510 15210 2106 5616 6201 12753 6435 4914 3744 8541 10413 14157")
