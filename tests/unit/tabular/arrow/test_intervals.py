from __future__ import annotations

import pytest

from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.errors import ValueUnfit
from pgsnap.tabular.arrow.values import BlockReader
from pgsnap.tabular.base import Column, Losses, Shape, Wishes

TYPE = ColumnType("interval day to second(3)", "interval day to second", ("3",))
SHAPE = Shape(("s", "t"), (Column("a", TYPE),), "UTF8")


def read(text: str, *, lossy: bool = False) -> list[object]:
    found = BlockReader(SHAPE, Wishes(lossy=lossy), Losses()).read(text.encode())
    return [one and tuple(one.values()) for one in found[0].to_pylist()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:00", (0, 0, 0)),
        ("1 year", (12, 0, 0)),
        ("-1 years -2 mons +3 days -04:05:06.07", (-14, 3, -14_706_070_000)),
        ("1 mon 100:00:00.5", (1, 0, 360_000_500_000)),
        ("2562047788:00:54.775807", (0, 0, 2**63 - 1)),
        ("-2562047788:00:54.775808", (0, 0, -(2**63))),
    ],
)
def test_the_parts_of_an_interval(text: str, expected: tuple[int, ...]) -> None:
    assert read(f"\\N\n{text}\n") == [None, expected]


@pytest.mark.parametrize("text", ["infinity", "-infinity", "1 week", "P1Y", "1 year3 days"])
def test_what_is_no_interval_there_is_refused_or_null(text: str) -> None:
    with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
        read(f"1 day\n{text}\n")
    assert read(f"1 day\n{text}\n", lossy=True) == [(0, 1, 0), None]


def test_what_is_cut_or_beyond_the_range_is_refused() -> None:
    for text in ("", "1 year ", "9999999999 days", "9999999999:00:00", "999999999 years"):
        with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
            read(f"1 day\n{text}\n")
