"""What holds for every text, every way of feeding it, and every change."""

from __future__ import annotations

import hashlib

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.model import ChunkerParams

TINY = ChunkerParams(64, 256, 1024)

# Rows from empty to far above the maximum; few different ones too, so that all rules are met.
rows = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=1, max_size=12).map(lambda text: text * 40),
    st.integers(0, 9).map(lambda i: hashlib.shake_128(b"%d" % i).digest(3000)),
    st.integers(0, 3).map(lambda i: b"%d" % i * 1500),
)
texts = st.lists(st.tuples(rows, st.integers(1, 12)), max_size=8).map(
    lambda parts: b"\n".join(row for row, times in parts for _ in range(times))
)


def cut(data: bytes, key: int = 0) -> list[Chunk]:
    chunker = RowChunker(TINY, key)
    return chunker.feed(data) + chunker.finish()


@settings(max_examples=40)
@given(texts, st.integers(0, 2**64 - 1))
def test_chunks_join_to_the_text_and_keep_their_bounds(text: bytes, key: int) -> None:
    chunks = cut(text, key)
    assert b"".join(chunk.data for chunk in chunks) == text
    assert all(TINY.min_bytes <= len(chunk.data) <= TINY.max_bytes for chunk in chunks[:-1])
    assert all(0 < len(chunk.data) <= TINY.max_bytes for chunk in chunks)
    assert all(chunk.lines == chunk.data.count(b"\n") for chunk in chunks)


@settings(max_examples=40)
@given(texts, st.lists(st.integers(1, 20_000), min_size=1, max_size=5))
def test_cuts_do_not_depend_on_how_blocks_arrive(text: bytes, sizes: list[int]) -> None:
    chunker = RowChunker(TINY)
    chunks: list[Chunk] = []
    rest, turn = text, 0
    while rest:
        size = sizes[turn % len(sizes)]
        chunks += chunker.feed(rest[:size])
        rest, turn = rest[size:], turn + 1
    assert chunks + chunker.finish() == cut(text)


@settings(max_examples=40)
@given(texts)
def test_cuts_depend_on_nothing_before_the_last_cut_at_a_row_end(text: bytes) -> None:
    chunks = cut(text)
    for i, chunk in enumerate(chunks[:8]):
        if chunk.data.endswith(b"\n"):
            rest = b"".join(after.data for after in chunks[i + 1 :])
            assert cut(rest) == chunks[i + 1 :]


@settings(max_examples=40)
@given(texts)
def test_a_chunk_is_cut_inside_a_row_only_where_no_row_end_was_in_reach(text: bytes) -> None:
    chunks = cut(text)
    at = 0
    for chunk in chunks[:-1]:
        if not chunk.data.endswith(b"\n"):
            reach = text[at + TINY.min_bytes - 1 : at + TINY.max_bytes]
            assert b"\n" not in reach
        at += len(chunk.data)


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.sampled_from([12, 30, 90, 400]),
    st.floats(0, 1),
    st.binary(max_size=100),
    st.integers(0, 200),
)
def test_chunks_are_the_same_again_soon_after_a_change_of_rows(
    seed: int, width: int, place: float, insert: bytes, delete: int
) -> None:
    text = hashlib.shake_128(b"%d" % seed).digest(40_000).hex().encode()
    old = b"".join(text[i : i + width] + b"\n" for i in range(0, len(text), width))
    check_resynchronised(old, int(place * len(old)), insert, delete)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.floats(0, 1), st.binary(max_size=100), st.integers(0, 200))
def test_chunks_are_the_same_again_soon_after_a_change_inside_a_long_row(
    seed: int, place: float, insert: bytes, delete: int
) -> None:
    old = hashlib.shake_128(b"%d" % seed).digest(60_000).replace(b"\n", b"n") + b"\n"
    check_resynchronised(old, int(place * len(old)), insert, delete)


def check_resynchronised(old: bytes, at: int, insert: bytes, delete: int) -> None:
    new = old[:at] + insert + old[at + delete :]
    assume(new)
    known = {chunk.data for chunk in cut(old)}
    fresh = sum(len(chunk.data) for chunk in cut(new) if chunk.data not in known)
    # A chunk is 256 bytes on average and 1024 at most; most changes cost two or three chunks.
    assert fresh <= len(insert) + 12 * TINY.max_bytes
