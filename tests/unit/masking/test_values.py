from __future__ import annotations

import re
from uuid import UUID

import pytest

from pgsnap.masking.catalog import ColumnType, Family
from pgsnap.masking.masks import FAKES, Kind, Rule
from pgsnap.masking.values import mask_of

KEY = b"k" * 32
TEXT = ColumnType(Family.TEXT)


def one(rule: Rule, value: bytes, column: ColumnType = TEXT, by: bytes | None = None) -> bytes:
    mask = mask_of(rule, column, KEY, "UTF8")
    assert mask is not None
    (found,) = mask.many([value], [value if by is None else by])
    return found


def test_a_hash_depends_on_the_value_the_domain_and_the_key_and_fits_its_column() -> None:
    rule = Rule(Kind.HASH)
    found = one(rule, b"ann")
    assert re.fullmatch(b"[0-9a-f]{32}", found)
    assert found == one(rule, b"ann")
    mask = mask_of(rule, TEXT, b"other" * 8, "UTF8")
    assert mask is not None
    others = (one(rule, b"bob"), one(Rule(Kind.HASH, domain="x"), b"ann"), *mask.many([b"ann"], []))
    assert len({found, *others}) == 4
    assert re.fullmatch(b"[a-z2-7]{10}", one(rule, b"ann", ColumnType(Family.TEXT, width=10)))
    folded = ColumnType(Family.TEXT, folds_case=True)
    assert one(rule, "ÄNN".encode(), folded) == one(rule, "änn".encode(), folded)
    padded = ColumnType(Family.TEXT, width=40, is_padded=True)
    assert one(rule, b"ann    ", padded) == found
    made = UUID(
        one(rule, b"5c0b1a0e-0000-0000-0000-000000000001", ColumnType(Family.UUID)).decode()
    )
    assert made.version == 4
    assert one(rule, rb"\N") == rb"\N"


@pytest.mark.parametrize("sort", FAKES)
def test_what_is_made_up_is_the_same_for_the_same_value_and_ascii(sort: str) -> None:
    rule = Rule(Kind.FAKE, sort)
    found = one(rule, b"ann")
    assert found == one(rule, b"ann")
    assert found.isascii()
    assert b"\t" not in found
    many = {one(rule, b"%d" % number) for number in range(200)}
    assert len(many) > (199 if sort in ("email", "username", "phone") else 10)
    assert one(Rule(Kind.FAKE, sort, by="id"), b"ann", by=b"7") == one(rule, b"7")
    if sort == "email":
        assert re.fullmatch(rb"[a-z.0-9]+@example\.(com|net|org)", found)


@pytest.mark.parametrize(
    "value",
    [
        b"2024-02-29",
        b"0001-01-01",
        b"0044-03-15 BC",
        b"12024-01-01 10:00:00+00",
        b"9999-12-31 23:59:59.999999",
        b"4713-01-05 10:00:00.5 BC",
    ],
)
def test_dates_move_by_days_and_keep_their_time(value: bytes) -> None:
    column = ColumnType(Family.TIMESTAMP)
    found = one(Rule(Kind.SHIFT, number=300, by="id"), value, column, by=b"7")
    assert found != value
    assert found == one(Rule(Kind.SHIFT, number=300), value, column, by=b"7")
    clock = value[value.index(b" ") :] if b" " in value else b""
    assert clock.removesuffix(b" BC") in found
    assert found.count(b"-") >= 2
    assert one(Rule(Kind.SHIFT, number=300, by="id"), b"infinity", column) == b"infinity"


def test_values_are_cut_by_characters_and_moments_by_units() -> None:
    assert one(Rule(Kind.TRUNCATE, number=3), rb"a\tb\\c") == rb"a\tb"
    assert one(Rule(Kind.TRUNCATE, number=2), "éàü".encode()) == "éà".encode()
    column = ColumnType(Family.TIMESTAMP)
    moment = b"2024-05-17 13:45:59.25+05:30"
    assert [one(Rule(Kind.TRUNCATE, unit), moment, column) for unit in ("year", "hour")] == [
        b"2024-01-01 00:00:00+05:30",
        b"2024-05-17 13:00:00+05:30",
    ]
    day = one(Rule(Kind.TRUNCATE, "month"), b"0044-03-15 BC", ColumnType(Family.DATE))
    assert day == b"0044-03-01 BC"
    assert one(Rule(Kind.FIXED, "a\tb\\N"), b"x") == rb"a\tb\\N"
