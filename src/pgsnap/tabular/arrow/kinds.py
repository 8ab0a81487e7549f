"""What each type of PostgreSQL becomes in Arrow (docs/export.md), and how its text is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pgsnap.dump.definitions.copy_text import without_escapes
from pgsnap.dump.definitions.table_columns import ENUM, UNKNOWN, ColumnType
from pgsnap.tabular.arrow import odd_values
from pgsnap.tabular.arrow.buffers import byte_strings, meant_strings, uuids
from pgsnap.tabular.arrow.intervals import INTERVAL, REGULAR, intervals_of
from pgsnap.tabular.arrow.money import Spelling, spelling_of
from pgsnap.values import dataclass

Convert = Callable[[pa.Array], pa.Array]

_DIGITS_128 = 38
_DIGITS_256 = 76
# Elements of arrays of this type are separated by semicolons.
_NOT_BY_COMMAS = "box"
_INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of a type are written: as *arrow*. If *reads*, the reader of the text converts
    them itself; *convert* takes strings without escapes, and raises ArrowInvalid or ValueError if
    one of them is not *regular* (a pattern). Where there is *convert_escaped*, it takes strings as
    they are in COPY text. What *odd* returns for a value that is not regular is stored in its
    place, as a number; None if it does not fit, for the reason *why*. Where there is *settled*, the
    first values say which kind it is: it returns that for them."""

    arrow: pa.DataType
    convert: Convert
    convert_escaped: Convert | None = None
    reads: bool = False
    regular: str = ""
    odd: Callable[[str], int | None] = lambda _: None
    why: str = ""
    bits: int = 64
    settled: Callable[[pa.Array], Kind] | None = None


def kind_of(column: ColumnType, numeric: tuple[int, int] | None) -> Kind:
    """Return the kind of a column's values, of an array's elements."""
    plain = _plain_types().get(column.base)
    if plain is not None:
        return Kind(plain, _cast(plain), reads=True)
    if column.base == "numeric":
        return _numeric(column, numeric)
    special = {
        "boolean": _boolean,
        "date": _date,
        "timestamp without time zone": lambda: _timestamp(None),
        "timestamp with time zone": lambda: _timestamp("UTC"),
        "time without time zone": _time,
        _INTERVAL: _interval,
        "money": lambda: _money(Spelling(), is_settled=False),
        "uuid": _uuid,
        "bytea": _bytea,
        "json": _json,
        "jsonb": _json,
        ENUM: _enum,
    }
    # As in interval day to second.
    base = _INTERVAL if column.base.startswith(f"{_INTERVAL} ") else column.base
    made = special.get(base)
    return made() if made is not None else Kind(pa.string(), _same)


def has_elements(column: ColumnType) -> bool:
    """Return whether arrays of the type are read element by element."""
    return column.is_array and column.base not in (UNKNOWN, _NOT_BY_COMMAS)


def text_kind() -> Kind:

    return Kind(pa.string(), _same)


def _plain_types() -> dict[str, pa.DataType]:

    return {
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "oid": pa.uint32(),
        "real": pa.float32(),
        "double precision": pa.float64(),
    }


def _same(strings: pa.Array) -> pa.Array:
    return strings


def _cast(arrow: pa.DataType) -> Convert:

    return lambda strings: pc.cast(strings, arrow)


def _numeric(column: ColumnType, asked: tuple[int, int] | None) -> Kind:

    if not all(word.isdigit() for word in column.modifiers):
        # A negative scale.
        return text_kind()
    numbers = tuple(map(int, column.modifiers))
    if not numbers and asked is None:
        return text_kind()
    precision, scale = (*numbers, 0)[:2] if numbers else asked or (0, 0)
    if precision > _DIGITS_256 or scale > precision:
        return text_kind()
    is_small = precision <= _DIGITS_128
    arrow = pa.decimal128(precision, scale) if is_small else pa.decimal256(precision, scale)
    why = "a decimal is no infinity and always a number"
    if not numbers:
        why = f"it does not fit --numeric {precision},{scale}"
    return Kind(
        arrow,
        _cast(arrow),
        # The reader knows no larger ones, and rounds.
        reads=is_small and bool(numbers),
        regular=rf"^-?\d{{1,{precision - scale or 1}}}(\.\d{{1,{scale or 1}}})?$",
        why=why,
    )


def _boolean() -> Kind:

    def convert(strings: pa.Array) -> pa.Array:
        return pc.equal(strings, "t")

    # "true" and others can be read by COPY, but are never written by it.
    return Kind(pa.bool_(), convert, reads=True, regular="^[tf]$", why="it is neither t nor f")


def _date() -> Kind:

    arrow = pa.date32()
    return Kind(
        arrow,
        _cast(arrow),
        reads=True,
        regular=r"^\d{4}-\d\d-\d\d$",
        odd=odd_values.days,
        why="a date is not infinite there",
        bits=32,
    )


def _timestamp(zone: str | None) -> Kind:

    arrow = pa.timestamp("us", zone)
    return Kind(
        arrow,
        _cast(arrow),
        reads=True,
        regular=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?"
        + (r"[-+]\d\d(:\d\d)?$" if zone else "$"),
        odd=odd_values.microseconds,
        why="a time stamp is not infinite there, and within 292,000 years of 1970",
    )


def _time() -> Kind:

    def convert(strings: pa.Array) -> pa.Array:
        days = pc.binary_join_element_wise("1970-01-01", strings, " ")
        return pc.cast(pc.cast(days, pa.timestamp("us")), pa.time64("us"))

    return Kind(
        pa.time64("us"),
        convert,
        reads=True,
        regular=r"^([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?$",
        why="the last time of a day is before 24:00:00 there",
    )


def _interval() -> Kind:

    return Kind(INTERVAL, intervals_of, regular=REGULAR, why="an interval is not infinite there")


def _money(spelling: Spelling, *, is_settled: bool) -> Kind:

    def settled(first: pa.Array) -> Kind:
        found = spelling_of(first)
        return text_kind() if found is None else _money(found, is_settled=True)

    return Kind(
        spelling.arrow,
        spelling.amounts,
        regular=spelling.regular,
        why="it is written otherwise than the first amounts",
        settled=None if is_settled else settled,
    )


def _uuid() -> Kind:

    return Kind(pa.uuid(), uuids)


def _bytea() -> Kind:
    def convert(strings: pa.Array) -> pa.Array:
        try:
            return byte_strings(strings, rb"\x")
        except ValueError:
            # A dump of a server with bytea_output = escape.
            values: list[Any] = strings.cast(pa.binary()).to_pylist()
            return pa.array([v if v is None else _bytes_of(v) for v in values], pa.binary())

    def convert_escaped(strings: pa.Array) -> pa.Array:
        try:
            return byte_strings(strings, rb"\\x")
        except ValueError:
            return convert(meant_strings(strings))

    return Kind(pa.binary(), convert, convert_escaped)


def _bytes_of(value: bytes) -> bytes:
    if value.startswith(rb"\x"):
        return bytes.fromhex(value[2:].decode("ascii"))
    return without_escapes(value)


def _json() -> Kind:

    arrow = pa.json_(pa.string())
    return Kind(arrow, lambda strings: pa.ExtensionArray.from_storage(arrow, strings))


def _enum() -> Kind:

    return Kind(pa.dictionary(pa.int32(), pa.string()), lambda strings: strings.dictionary_encode())
