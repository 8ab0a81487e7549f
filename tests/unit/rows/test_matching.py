"""Rows are found by the values of their fields, as looking at each of them would find them."""

from __future__ import annotations

import re

import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from pgsnap.rows import assembled, matching
from pgsnap.rows.assembled import LongField, RowAssembly, same_field
from pgsnap.rows.matching import FieldTest, RowMatcher

VALUE = st.sampled_from([b"", b"1", b"2", b"12", b"21", b"1.0", b"1.00", rb"\N", b"x1"])
ROWS = st.lists(st.tuples(VALUE, VALUE, VALUE), max_size=30)
ANY_CASE = re.compile(rb"(?:X|x)(?:1)")
NUMBER = re.compile(rb"1(?:\.0*)?")
TEST = st.one_of(
    st.builds(FieldTest, st.integers(0, 2), VALUE),
    st.builds(FieldTest, st.sampled_from([None, 0, 1, 2]), VALUE, is_part=st.just(True)),
    st.builds(FieldTest, st.integers(0, 2), st.just(b"1"), st.just(NUMBER)),
    st.builds(FieldTest, st.integers(0, 2), st.just(b""), st.just(ANY_CASE)),
)


@given(rows=ROWS, tests=st.lists(TEST, max_size=3), misses=st.sampled_from([0, 3, 200]))
@example(rows=[(b"1", b"1", b"")], tests=[FieldTest(2, b"")], misses=0)
def test_matching_rows_are_those_whose_fields_all_fit(
    rows: list[tuple[bytes, ...]], tests: list[FieldTest], misses: int
) -> None:
    text = b"".join(b"\t".join(row) + b"\n" for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        # Soon all fields are compared as arrays.
        patch.setattr(matching, "_MISSES_MAX", misses)
        bounds = list(RowMatcher(tests, 3).find(text))
    found = [tuple(text[start:stop].split(b"\t")) for start, stop in bounds]
    assert found == [row for row in rows if all(_fits(test, row) for test in tests)]


def _fits(test: FieldTest, row: tuple[bytes, ...]) -> bool:
    fields = row if test.field is None else (row[test.field],)
    if test.is_part:
        return any(test.text in field for field in fields)
    if test.pattern is not None:
        return any(map(test.pattern.fullmatch, fields))
    return test.text in fields


@given(
    rows=st.lists(st.sampled_from([b"1\ta", b"2\t" + b"b" * 30, b"c" * 40 + b"\t", b""])),
    step=st.integers(1, 20),
    end=st.sampled_from([b"\n", b""]),
)
def test_rows_are_put_together_however_their_text_arrives(
    rows: list[bytes], step: int, end: bytes
) -> None:
    text = b"\n".join(rows) + end if rows else b""
    assembly, found = RowAssembly(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembled, "ROW_HELD_BYTES", 20)
        for start in range(0, len(text), step):
            found += assembly.feed(text[start : start + step])
        found += assembly.finish()
    assert not assembly.is_in_row
    said: list[tuple[bytes | LongField, ...]] = []
    for one in found:
        if isinstance(one, bytes):
            said += [tuple(row.split(b"\t")) for row in one.splitlines()]
        else:
            assert all(f.digest == blake3(f.head).digest() and f.size == len(f.head) for f in one)
            said.append(one)
    wanted = [tuple(row.split(b"\t")) for row in text.splitlines()]
    assert len(said) == len(wanted)
    # By its length alone: the blocks of another snapshot end elsewhere in the same row.
    is_long = [len(b"\t".join(row)) > 20 for row in wanted]
    assert [isinstance(row[0], LongField) for row in said] == is_long
    for row, other in zip(said, wanted, strict=True):
        assert all(same_field(one, two) for one, two in zip(row, other, strict=True))
