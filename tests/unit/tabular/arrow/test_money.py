from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.errors import ValueUnfit
from pgsnap.tabular.arrow.values import BlockReader
from pgsnap.tabular.base import Column, Losses, Shape, Wishes

SHAPE = Shape(("s", "t"), (Column("a", ColumnType("money", "money")),), "UTF8")


def read(*blocks: str, lossy: bool = False) -> list[object]:
    reader = BlockReader(SHAPE, Wishes(lossy=lossy), Losses())
    found: list[object] = []
    for block in blocks:
        found += reader.read("".join(f"{line}\n" for line in block.split("|")).encode())[
            0
        ].to_pylist()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,234.50|-$0.05|\\N", ["1234.50", "-0.05", None]),
        ("($1,234.50)|$92,233,720,368,547,758.07", ["-1234.50", "92233720368547758.07"]),
        ("1.234,50 €|-0,05 €", ["1234.50", "-0.05"]),
        ("1 234,50 kr\u2212|5,00 kr", ["-1234.50", "5.00"]),
        ("Fr. 1'234.50", ["1234.50"]),
        ("₹12,34,567.00", ["1234567.00"]),
        ("1$20 esc", ["1.20"]),
        # Without a fraction: one amount without a separator shows it, or two groups.
        ("¥1,234|¥5", ["1234", "5"]),
        ("¥1,234,567|-¥1,234", ["1234567", "-1234"]),
        # A fraction of three digits: a zero before it shows it, or another separator.
        ("KD 0.500|KD 1.250", ["0.500", "1.250"]),
        ("KD 1,234.500", ["1234.500"]),
    ],
)
def test_amounts_that_can_have_one_meaning_only_are_numbers(text: str, expected: list[str]) -> None:
    numbers = [None if one is None else Decimal(one) for one in expected]
    assert list(map(str, read(text))) == list(map(str, numbers))


@pytest.mark.parametrize(
    "text",
    # Thousands or a fraction; fractions of different lengths; a sign that is not known; no amount.
    ["¥1,234", "$1.23|$1.2345", "$1.00|~$2.00", "$1.00|$", "$1,,000.00"],
)
def test_amounts_in_doubt_stay_text(text: str) -> None:
    assert read(text) == text.split("|")


def test_later_amounts_are_written_as_the_first_ones() -> None:
    assert read("\\N", "$1.50", "-$2.50", "$-3.50") == [
        None,
        *map(Decimal, ("1.50", "-2.50", "-3.50")),
    ]
    for later in ("¥5", "~$1.00", "$1.500", "x"):
        with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
            read("$1.50", later)
        assert read("$1.50", later, lossy=True) == [Decimal("1.50"), None]
    # Too large for 64 bits, so no amount.
    with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
        read("$1.50", f"${'9' * 20}.00")


def test_a_table_without_amounts_has_a_column_of_numbers() -> None:
    assert BlockReader(SHAPE, Wishes(), Losses()).schema.field("a").type == pa.decimal128(19, 2)
