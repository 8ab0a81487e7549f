"""Rows in the spelling of two versions of PostgreSQL are the same rows, however they come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.rows import respelled as respelled_rows
from pgsnap.rows.respelled import RespelledRows
from pgsnap.rows.sets import Key

KEY = Key([0], 3)
LSN = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1) | st.integers(0, 300))
ROW = st.tuples(st.lists(LSN, max_size=3), st.sampled_from(["", "A/0000000B", "z" * 300]))


def spelled(row: tuple[int, tuple[list[tuple[int, int]], str]], form: str) -> str:
    number, (lsns, text) = row
    return f"{number}\t{{{','.join(form.format(*lsn) for lsn in lsns)}}}\t{text}\n"


@settings(max_examples=80)
@given(
    rows=st.lists(ROW, max_size=30),
    other=st.none() | st.tuples(LSN, LSN),
    step=st.sampled_from([1, 7, 1 << 20]),
    longest=st.sampled_from([100, 1 << 20]),
)
def test_rows_are_compared_by_their_values(
    rows: list[tuple[list[tuple[int, int]], str]],
    other: tuple[tuple[int, int], tuple[int, int]] | None,
    step: int,
    longest: int,
) -> None:
    old = "".join(spelled(row, "{:X}/{:X}") for row in enumerate(rows))
    new = "".join(spelled(row, "{:X}/{:08X}") for row in enumerate(rows))
    if other is not None:
        old += spelled((999, ([other[0]], "")), "{:X}/{:X}")
        new += spelled((999, ([other[1]], "")), "{:X}/{:08X}")
    held, respelled_rows._ROW_BYTES_MAX = respelled_rows._ROW_BYTES_MAX, longest
    try:
        with RespelledRows((KEY, KEY), ([1], [1]), keep_texts=True, rows_expected=100) as compared:
            for side, text in enumerate((old.encode(), new.encode())):
                for start in range(0, len(text), step):
                    compared.feed(side, text[start : start + step])
                assert not compared.is_in_row(side)
            counts = compared.finish()
    finally:
        respelled_rows._ROW_BYTES_MAX = held
    differs = other is not None and other[0] != other[1]
    if longest == 1 << 20:
        assert (counts.removed, counts.added, counts.changed) == (0, 0, int(differs))
    else:
        # A row that is too long is compared as it is written; none is lost.
        assert counts.removed == counts.added == 0
        assert counts.changed >= int(differs)


def test_a_text_that_looks_like_a_value_is_compared_as_it_is() -> None:
    with RespelledRows(None, ([1], [1]), rows_expected=2) as compared:
        compared.feed(0, b"A/0000000B\t1/0000000A\n")
        compared.feed(1, b"A/B\t1/A\n")
        counts = compared.finish()
    assert (counts.removed, counts.added) == (1, 1)
