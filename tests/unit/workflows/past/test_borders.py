"""Which borders between chunks an older section has and a newer one has not."""

from __future__ import annotations

import pytest

from pgsnap.model import ChunkId, RecipeRoot, Section, SectionKind, SectionName, Segment
from pgsnap.workflows.past.borders import Borders


def section(chunks: str, *, head: int = 30, tail: int = 5) -> Section:
    """Return a section of these chunks, a letter each, as segments of one chunk."""
    name = SectionName(SectionKind.DATA, "public", "t")
    segments = tuple(Segment(RecipeRoot(chunk(one), 0, 100, 1)) for one in chunks)
    return Section(name, 100 * len(chunks), len(chunks), None, segments, 1, head, tail)


def chunk(letter: str) -> ChunkId:
    return letter.encode() * 32


def none(_: ChunkId) -> bytes:
    raise AssertionError("there are no nodes")


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        ("abcd", "abcd", ""),
        ("abcd", "abxd", "bxd"),
        ("abcd", "abd", "bd"),
        ("abcd", "bcd", "b"),
        # It may end within a row that goes on in the newer one.
        ("abcd", "abc", "c"),
        # A row may begin in a and end in d: each border is there, but not one after the other.
        ("abceacd", "abcd", "abc"),
        ("", "ab", "ab"),
        ("ab", "", ""),
    ],
)
def test_chunks_at_new_borders(newer: str, older: str, expected: str) -> None:
    borders = Borders(none)
    assert borders.know([section(newer)], 100)
    found = borders.new_in(section(older))
    assert found is not None
    assert {one for some in found for one in some} == {chunk(one) for one in expected}
    assert borders.wanted == {chunk(one): 100 for one in expected}


def test_too_many_chunks_are_not_known() -> None:
    assert not Borders(none).know([section("abcd")], 3)


def test_rows_that_begin_elsewhere_in_the_same_text_say_nothing() -> None:
    borders = Borders(none)
    borders.know([section("ab")], 100)
    assert borders.new_in(section("ab", head=31)) is None
    assert borders.new_in(section("ab", tail=6)) == [(chunk("b"),)]
