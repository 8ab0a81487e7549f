"""Which way of putting rows back a restore of what differs chooses."""

from __future__ import annotations

import pytest

from pgsnap.model import Section, SectionKind, SectionName
from pgsnap.workflows.restore_changed.differences import (
    Different,
    is_worth_while,
    surely_rewritten,
)

ROWS = 100_000


def table(rows: int) -> Section:
    name = SectionName(SectionKind.DATA, "public", "t")
    return Section(name, 100 * rows, rows, None, (), rows=rows)


@pytest.mark.parametrize(
    ("lost", "gone", "is_referenced", "expected"),
    [
        (15_000, 0, False, True),
        (25_000, 0, False, False),
        (0, 30_000, False, True),
        (0, 40_000, False, False),
        (12_000, 12_000, False, True),
        (15_000, 15_000, False, False),
        (80_000, 80_000, True, True),
        (ROWS, ROWS, True, False),
    ],
)
def test_rows_are_put_back_one_by_one_where_that_takes_less_time(
    lost: int, gone: int, is_referenced: bool, expected: bool
) -> None:
    different = Different(table(ROWS), table(ROWS - lost + gone))
    assert is_worth_while(lost, gone, different, is_referenced=is_referenced) is expected


@pytest.mark.parametrize(
    ("rows", "expected"), [(85_000, True), (95_000, False), (115_000, False), (125_000, True)]
)
def test_a_table_that_lost_much_is_not_compared(rows: int, expected: bool) -> None:
    assert surely_rewritten(Different(table(ROWS), table(rows))) is expected
