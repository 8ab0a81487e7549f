"""Conditions on the rows of a table of a snapshot, and how their values are spelled in its text."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from pgsnap.dump.definitions.copy_text import escaped
from pgsnap.dump.entries import encode
from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.rows.matching import FieldTest
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean

_INTEGERS = frozenset(("smallint", "integer", "bigint", "oid"))
_NUMERIC = regex(r"numeric(?:\((\d+)(?:,(-?\d+))?\))?")
_CHARACTER = regex(r"character\((\d+)\)|character")
_TRUE, _FALSE = frozenset(("t", "true", "yes", "on", "1")), frozenset(("f", "false", "no", "off"))
_PART = regex(r"([^=~]+)([=~])(.*)", re.S)


@dataclass(frozen=True, slots=True)
class Condition:
    """The value of *column* is *text* (None: NULL), or contains it if *is_part*; with None as the
    column, the value of any column contains it."""

    column: str | None
    text: str | None
    is_part: bool = False


def parse_condition(text: str, columns: Sequence[str]) -> Condition:
    """Return what a reader typed to search: ``column=value``, ``column~part``, or a part of any
    value."""
    match = _PART.fullmatch(text)
    if match is not None and match[1].strip() in columns:
        return Condition(match[1].strip(), match[3], is_part=match[2] == "~")
    return Condition(None, text, is_part=True)


def tests_of(
    conditions: Sequence[Condition],
    columns: Sequence[str],
    types: Sequence[str],
    encoding: str,
) -> list[FieldTest]:
    """Return what tests the fields of rows with these *columns* of these *types*. Raises UsageError
    for a column that is not among them, and for a value that its type cannot have."""
    found = []
    for condition in conditions:
        if condition.column is None or condition.is_part:
            text = escaped(encode(condition.text or "", encoding))
            field = None if condition.column is None else _place(condition.column, columns)
            found.append(FieldTest(field, text, is_part=True))
            continue
        place = _place(condition.column, columns)
        found.append(equality(place, condition, types[place], encoding))
    return found


def _place(column: str, columns: Sequence[str]) -> int:
    if column not in columns:
        raise UsageError(
            f'the table has no column "{column}"',
            detail=f"It has {', '.join(columns)}." if columns else "",
            hint=did_you_mean(column, columns, "Name one of its columns."),
        )
    return columns.index(column)


def equality(field: int, condition: Condition, type_name: str, encoding: str) -> FieldTest:
    """Return the test that a field has the value of *condition*, as PostgreSQL spells it in a
    column of this type. Raises UsageError for what is no value of the type."""
    if condition.text is None:
        return FieldTest(field, escaped(None))
    try:
        number = _NUMERIC.fullmatch(type_name)
        if number is not None and number[1] is None:
            return _any_scale(field, Decimal(condition.text))
        if type_name.rpartition(".")[2] == "citext":
            return _any_case(field, condition.text, encoding)
        text = _spelled(condition.text, type_name)
    except (ValueError, InvalidOperation):
        raise UsageError(
            f'"{condition.text}" is no value of {condition.column}',
            detail=f"The type of the column is {type_name}.",
        ) from None
    return FieldTest(field, escaped(encode(text, encoding)))


def _any_scale(field: int, value: Decimal) -> FieldTest:
    """Return the test for a number that is equal whatever zeros follow: a column without a scale
    keeps those that were typed."""
    if not value.is_finite():
        return FieldTest(field, {"n": b"NaN", "i": b"Infinity"}.get(str(value).lower()[0], b""))
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    text = "0" if text == "-0" else text
    zeros = r"0*" if "." in text else r"(?:\.0*)?"
    return FieldTest(field, text.encode(), re.compile((re.escape(text) + zeros).encode()))


def _any_case(field: int, text: str, encoding: str) -> FieldTest:
    """Return the test for a text that is equal whatever the case of its letters."""
    parts = []
    for letter in text:
        cases = sorted({letter, letter.lower(), letter.upper()})
        parts.append(b"|".join(re.escape(escaped(encode(one, encoding))) for one in cases))
    return FieldTest(field, b"", re.compile(b"".join(b"(?:%b)" % part for part in parts)))


def _spelled(text: str, type_name: str) -> str:
    """Return *text* as PostgreSQL writes such a value of a type; as it is for types that are not
    known here. Raises ValueError, InvalidOperation."""
    if type_name in _INTEGERS:
        return str(int(text))
    if (number := _NUMERIC.fullmatch(type_name)) is not None:
        value = Decimal(text)
        scale = int(number[2] or 0)
        return f"{value:.{max(scale, 0)}f}" if value.is_finite() else str(value)
    if type_name == "uuid":
        return str(uuid.UUID(text))
    if type_name == "boolean":
        return _truth(text.lower())
    if (characters := _CHARACTER.fullmatch(type_name)) is not None:
        return text.ljust(int(characters[1] or 1))
    if type_name == "date" and text[:1].isdigit():
        return date.fromisoformat(text).isoformat() if len(text) <= 10 else text
    if type_name.startswith("timestamp") and text[:1].isdigit() and not text.endswith("BC"):
        return _moment(text, with_zone=type_name.endswith("with time zone"))
    return text


def _truth(text: str) -> str:
    if text in _TRUE or text in _FALSE or text == "0":
        return "t" if text in _TRUE else "f"
    raise ValueError


def _moment(text: str, *, with_zone: bool) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        # Dumps are made with the time zone UTC.
        moment = moment.astimezone(UTC) if with_zone else moment
        moment = moment.replace(tzinfo=None)
    shown = moment.isoformat(" ")
    if "." in shown:
        shown = shown.rstrip("0")
    return f"{shown}+00" if with_zone else shown
