"""Edits give the new text, whatever changed; and where few rows changed, they are few."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.chunking import row_edits
from pgsnap.chunking.row_edits import Edits, RowEdits
from support.dumps.scripted import rows

ROW_EDITS = RowEdits()

# Many alike, some that differ only between the bytes that are hashed, and some that are long.
some_rows = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"ab" * 30]),
    st.integers(0, 400).map(
        lambda number: hashlib.shake_128(b"%d" % number).hexdigest(60).encode()
    ),
    st.integers(0, 9).map(lambda number: b"x" * 30 + b"%d" % number + b"y" * 700),
)
texts = st.lists(some_rows, max_size=60).map(lambda lines: b"".join(line + b"\n" for line in lines))
cuts = st.tuples(st.integers(0, 100), st.integers(0, 100))


def applied(edits: Edits, old: bytes, new: bytes) -> bytes:
    """Return what *edits* make of *old*; what they add is taken from *new*."""
    parts, old_at, new_at = [], 0, 0
    for start, removed, added in edits.tolist():
        assert start >= old_at
        parts.append(old[old_at:start])
        new_at += start - old_at
        parts.append(new[new_at : new_at + added])
        old_at, new_at = start + removed, new_at + added
    return b"".join([*parts, old[old_at:]])


@settings(max_examples=300)
@given(texts, texts, cuts, st.booleans())
def test_edits_make_the_new_text_of_the_old_one(
    old: bytes, new: bytes, cut: tuple[int, int], hashed: bool
) -> None:
    """Also where they begin or end inside a row, and without the search step by step."""
    old, new = old[cut[0] :], new[: max(len(new) - cut[1], 0)]
    if hashed:
        a, b = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
        edits = ROW_EDITS.within(a, b, np.array([len(a)]), np.array([len(b)]))
    else:
        edits = ROW_EDITS.between(old, new)
    assert edits is None or applied(edits, old, new) == new


@settings(max_examples=200)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_no_edit_reaches_from_one_region_into_the_next(pairs: list[tuple[bytes, bytes]]) -> None:
    old, new = (b"".join(texts) for texts in zip(*pairs, strict=True))
    ends = np.cumsum([[len(a), len(b)] for a, b in pairs], axis=0)
    edits = ROW_EDITS.within(
        np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8), ends[:, 0], ends[:, 1]
    )
    assert edits is not None
    assert applied(edits, old, new) == new
    regions = list(zip([(0, 0), *ends[:-1].tolist()], ends.tolist(), strict=True))
    grown = 0
    for start, removed, added in edits.tolist():
        begin, end = (start, start + grown), (start + removed, start + grown + added)
        assert any(
            all(low <= at for low, at in zip(lows, begin, strict=True))
            and all(at <= high for at, high in zip(end, highs, strict=True))
            for lows, highs in regions
        )
        grown += added - removed


@settings(max_examples=200)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6), texts)
def test_edits_are_the_same_if_it_is_known_where_texts_differ(
    pairs: list[tuple[bytes, bytes, bytes]], end: bytes
) -> None:
    """Each is a text that both have, and one that became another."""
    old, new, regions = b"", b"", []
    for same, before, after in pairs:
        old, new = old + same, new + same
        regions.append((len(old), len(old) + len(before), len(new), len(new) + len(after)))
        old, new = old + before, new + after
    old, new = old + end, new + end
    anywhere = ROW_EDITS.step_by_step(old, new, [(0, len(old), 0, len(new))])
    found = ROW_EDITS.step_by_step(old, new, regions)
    assert (found is None) == (anywhere is None)
    assert found is None or anywhere is None or found.tolist() == anywhere.tolist()


def lines_of(count: int) -> list[bytes]:
    return [row + b"\n" for row in rows(count, seed=7, width=120)]


def test_rows_that_are_put_in_before_their_like_do_not_hide_what_follows() -> None:
    """What is found first is beyond the region, at another distance than what follows that has."""
    lines = lines_of(100)
    lines[66] = lines[60]
    old = b"".join(lines)
    new = b"".join([*lines[:50], *lines[60:65], *lines[60:]])
    start, stop = len(b"".join(lines[:50])), len(b"".join(lines[:60]))
    regions = [(start, stop, start, start + len(b"".join(lines[60:65])))]
    edits = ROW_EDITS.step_by_step(old, new, regions)
    assert edits is not None
    assert applied(edits, old, new) == new


@pytest.mark.parametrize("changes", [1, 20, 300])
def test_rows_that_moved_as_an_update_moves_them_make_few_edits(changes: int) -> None:
    old = lines_of(4000)
    new, chance = list(old), random.Random(changes)
    for _ in range(changes):
        row = new.pop(chance.randrange(len(new)))
        place = chance.randrange(len(new))
        new.insert(place, row[:-9] + b"%08d\n" % chance.randrange(10**8))
    edits = ROW_EDITS.between(b"".join(old), b"".join(new))
    assert edits is not None
    assert len(edits) <= 2 * changes
    assert edits[:, 2].sum() <= 1.1 * changes * 130


def test_a_change_between_the_bytes_that_are_hashed_is_found() -> None:
    old = b"".join(b"a" * 40 + b"%06d" % number + b"b" * 200 + b"\n" for number in range(2000))
    new = old.replace(b"000700", b"000x00").replace(b"001500", b"0y1500")
    a, b = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    edits = ROW_EDITS.within(a, b, np.array([len(a)]), np.array([len(b)]))
    assert edits is not None
    assert edits[:, 1:].tolist() == [[1, 1], [1, 1]]
    assert applied(edits, old, new) == new


def test_texts_with_little_in_common_are_left_to_the_compressor() -> None:
    old = lines_of(3 * row_edits.RUNS_MAX)
    new = [row if number % 2 else b"x" + row for number, row in enumerate(old)]
    assert ROW_EDITS.between(b"".join(old), b"".join(new)) is None
