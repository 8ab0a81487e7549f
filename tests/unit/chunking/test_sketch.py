"""Sketches: like chunks share values, and how blocks arrive does not matter."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.chunking.sketch import NO_SKETCH
from pgsnap.model import ChunkerParams

GOLDEN = [
    "7517490036b91a001f773e008392000030eb3100235f2202d5e60000f6a14b00",
]
PARAMS = ChunkerParams(4096, 16384, 65536)


def cut(text: bytes, *sizes: int) -> list[Chunk]:
    chunker = RowChunker(PARAMS)
    chunks: list[Chunk] = []
    position = 0
    while position < len(text):
        size = sizes[position % len(sizes)] if sizes else len(text)
        chunks += chunker.feed(text[position : position + size])
        position += size
    return chunks + chunker.finish()


def table(count: int, *, seed: int = 1) -> list[list[bytes]]:
    chance = random.Random(seed)
    return [
        [b"%d" % (100_000 + number), chance.randbytes(30).hex().encode(), b"new"]
        for number in range(count)
    ]


def text(rows: list[list[bytes]]) -> bytes:
    return b"".join(b"\t".join(row) + b"\n" for row in rows)


def values(chunk: Chunk) -> set[tuple[int, bytes]]:
    return {
        (place, chunk.sketch[place : place + 4])
        for place in range(0, len(chunk.sketch), 4)
        if chunk.sketch != NO_SKETCH
    }


def shared(before: list[Chunk], after: list[Chunk]) -> list[int]:
    """Return for each chunk of *after* how many values its best match has in common with it."""
    return [max(len(values(chunk) & values(old)) for old in before) for chunk in after[:-1]]


def test_the_sketches_of_old_repositories_are_the_same_today() -> None:
    """Other sketches would make the recipes of all unchanged tables new once."""
    chunks = cut(text(table(600)))
    assert [chunk.sketch.hex() for chunk in chunks[:2]] == GOLDEN


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=5), st.booleans())
@settings(max_examples=30)
def test_a_sketch_does_not_depend_on_how_the_blocks_arrive(sizes: list[int], long: bool) -> None:
    rows = table(900)
    if long:
        # A row that is cut inside.
        rows.insert(300, [b"1", b"x" * 200_000, b"new"])
    assert cut(text(rows), *sizes) == cut(text(rows))


def test_a_chunk_with_a_few_changed_rows_shares_most_values() -> None:
    before, rows = cut(text(table(4000))), table(4000)
    for number in range(0, 4000, 100):
        rows[number][2] = b"paid"
    assert min(shared(before, cut(text(rows)))) >= 1
    assert sum(shared(before, cut(text(rows)))) >= 5 * (len(before) - 1)


def test_rows_that_all_changed_in_one_column_are_known_by_their_heads() -> None:
    before, rows = cut(text(table(4000))), table(4000)
    for row in rows:
        row[2] = b"archived"
    found = shared(before, cut(text(rows)))
    assert sum(found) >= len(found)


def test_a_chunk_in_which_no_row_begins_has_no_sketch() -> None:
    chunks = cut(b"x" * 300_000 + b"\n")
    assert len(chunks) > 2
    assert {chunk.sketch for chunk in chunks} == {NO_SKETCH}


def test_other_tables_share_nothing() -> None:
    other = [[b"%d" % (900_000 + n), *row[1:]] for n, row in enumerate(table(4000, seed=2))]
    assert sum(shared(cut(text(table(4000))), cut(text(other)))) == 0
