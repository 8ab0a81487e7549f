"""What an earlier version of a segment says about the cuts of the next one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.chunking.expected import Expected
from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.model import ChunkerParams, RecipeEntry
from support.running.breadth import times

TINY = ChunkerParams(64, 256, 1024)
WIDTHS = st.sampled_from([0, 5, 30, 90, 400, 3000])
TEXTS = st.tuples(st.integers(0, 1000), WIDTHS).map(lambda how: text_of(*how))
# Where, how much goes, what comes: each a piece of a text.
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4000), st.binary(max_size=60)), max_size=4
)


def text_of(seed: int, width: int) -> bytes:
    noise = hashlib.shake_128(b"%d" % seed).digest(30_000).hex().encode()
    return b"".join(noise[i : i + width] + b"\n" for i in range(0, len(noise), max(width, 1)))


def edited(text: bytes, edits: Sequence[tuple[float, int, bytes]]) -> bytes:
    for place, gone, new in edits:
        at = int(place * len(text))
        text = text[:at] + new + text[at + gone :]
    return text


def entries(chunks: Sequence[Chunk]) -> Iterator[RecipeEntry]:
    for chunk in chunks:
        yield RecipeEntry(blake3(chunk.data).digest(), len(chunk.data), chunk.lines, chunk.sketch)


def cut(text: bytes, before: Sequence[Chunk] = (), sizes: Sequence[int] = (10**9,)) -> list[Chunk]:
    chunker = RowChunker(TINY)
    chunker.reset(Expected(entries(before)) if before else None)
    chunks: list[Chunk] = []
    turn = 0
    while text:
        size = sizes[turn % len(sizes)]
        chunks += chunker.feed(text[:size])
        text, turn = text[size:], turn + 1
    return chunks + chunker.finish()


@settings(max_examples=times(25, 60))
@given(TEXTS, st.lists(st.integers(1, 20_000), min_size=1, max_size=4))
def test_an_unchanged_segment_is_cut_as_it_was(text: bytes, sizes: list[int]) -> None:
    before = cut(text)
    again = cut(text, before, sizes)
    assert list(entries(again)) == list(entries(before))
    # The last one is never expected, so that it may grow.
    assert [bool(chunk.name) for chunk in again] == [True] * (len(before) - 1) + [False]


@settings(max_examples=times(25, 60))
@given(TEXTS, EDITS, st.lists(st.integers(1, 20_000), min_size=1, max_size=4))
def test_whatever_was_expected_the_chunks_are_of_what_came(
    text: bytes, edits: list[tuple[float, int, bytes]], sizes: list[int]
) -> None:
    new = edited(text, edits)
    chunks = cut(new, cut(text), sizes)
    assert b"".join(chunk.data for chunk in chunks) == new
    assert all(TINY.min_bytes <= len(chunk.data) <= TINY.max_bytes for chunk in chunks[:-1])
    assert all(chunk.lines == chunk.data.count(b"\n") for chunk in chunks)
    assert all(chunk.name in (b"", blake3(chunk.data).digest()) for chunk in chunks)
    assert chunks == cut(new, cut(text))


@settings(max_examples=times(25, 60))
@given(TEXTS, EDITS)
def test_expectations_cost_no_more_new_chunks_than_cuts_without_them(
    text: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    before, new = cut(text), edited(text, edits)
    known = {chunk.data for chunk in before}
    fresh = [chunk for chunk in cut(new, before) if chunk.data not in known]
    without = [chunk for chunk in cut(new) if chunk.data not in known]
    # A cut that rested on bytes that changed may stay: then one chunk more is known, or another.
    assert len(fresh) <= len(without) + len(edits)


@settings(max_examples=times(15, 30))
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_another_text_is_cut_as_if_nothing_had_been_expected(seed: int, other: int) -> None:
    new = text_of(seed, 30)
    found = [chunk.data for chunk in cut(new, cut(text_of(other + 2000, 30)))]
    assert found == [chunk.data for chunk in cut(new)]


def test_rows_that_are_added_again_and_again_leave_no_small_chunks_behind() -> None:
    text, chunks = b"", list[Chunk]()
    for number in range(60):
        text += text_of(number, 30)[:100]
        chunks = cut(text, chunks)
    assert [chunk.data for chunk in chunks] == [chunk.data for chunk in cut(text)]


def test_after_a_change_the_earlier_chunks_are_expected_again() -> None:
    # It looks at half a MiB at a time.
    text = b"".join(text_of(seed, 30) for seed in range(40))
    before = cut(text)
    known = {entry.chunk for entry in entries(before)}
    chunks = cut(b"one row more\n" + text, before)
    assert sum(chunk.name not in known for chunk in chunks) < 10


def test_a_long_stretch_of_other_rows_ends_what_is_expected() -> None:
    other = b"".join(text_of(seed, 30) for seed in range(40))
    chunks = cut(other, cut(text_of(41, 30)))
    assert len(chunks) > 1000
    assert [bool(chunk.name) for chunk in chunks] == [n < 128 for n in range(len(chunks))]
