"""Composite values, ranges and hstore, taken apart: `(a,"b c")`, `[1,5)`, `"a"=>"1"`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pgsnap.dump.definitions.table_columns import ENUM, RANGE, RECORD, ColumnType
from pgsnap.patterns import regex

MAP = pa.map_(pa.string(), pa.string())
_FIELD = r'(?:"([^"\\]*(?:(?:""|\\.)[^"\\]*)*)"|([^,()"\\]*))'
_QUOTED = regex(r'""|\\(.)', re.S)
_WORD = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_PAIR = regex(rf"{_WORD}=>(?:{_WORD}|NULL)(?:, |\Z)", re.S)
_ESCAPED = regex(r"\\(.)", re.S)
_RANGE = r'^(?P<open>[\[(])"?(?P<lower>[^",]*)"?,"?(?P<upper>[^",]*)"?(?P<close>[\])])$'
_EMPTY = "empty"
# Types whose text has neither quotes nor commas in it.
_BOUNDS = frozenset(
    (
        *("smallint", "integer", "bigint", "numeric", "real", "double precision", "oid", "uuid"),
        *("date", "timestamp without time zone", "timestamp with time zone"),
        "time without time zone",
    )
)


def parts_of_type(column: ColumnType) -> tuple[tuple[str, ColumnType], ...]:
    """Return the names and types that values of a type, of an array its elements, are taken apart
    to; none if they are not."""
    if column.base == RECORD:
        return tuple((name, _inner(type_)) for name, type_ in column.members)
    if column.base == RANGE and column.members:
        [(_, bound)] = column.members
        if bound.base in _BOUNDS and not bound.is_array:
            text = ColumnType("text", "text")
            return ("lower", bound), ("upper", bound), ("bounds", text)
    return ()


def _inner(type_: ColumnType) -> ColumnType:
    """Return the type of a member: enums are texts there, since their dictionaries differ from one
    block to the next."""
    return ColumnType(type_.text, "text", is_array=type_.is_array) if type_.base == ENUM else type_


def taken_apart(strings: pa.Array, column: ColumnType) -> Sequence[pa.Array]:
    """Return the texts of the parts of values. Raises ValueError for one that is no such value."""
    if column.base == RANGE:
        return _ranges(strings)
    width = len(column.members)
    pattern = _row_pattern(width)
    columns: list[list[str | None]] = [[] for _ in range(width)]
    for text in strings.to_pylist():
        if text is None:
            for values in columns:
                values.append(None)
            continue
        match = pattern.fullmatch(text)
        if match is None:
            raise ValueError("no composite value of so many columns")
        fields = match.groups()
        for values, quoted, plain in zip(columns, fields[::2], fields[1::2], strict=True):
            values.append((plain or None) if quoted is None else _unquoted(quoted))
    return [pa.array(values, pa.string()) for values in columns]


@cache
def _row_pattern(width: int) -> re.Pattern[str]:
    return re.compile(rf"\({','.join([_FIELD] * width)}\)", re.S)


def _unquoted(text: str) -> str:
    return _QUOTED.sub(_meant, text) if '"' in text or "\\" in text else text


def _meant(match: re.Match[str]) -> str:
    return match[1] or '"'


def _ranges(strings: pa.Array) -> Sequence[pa.Array]:
    found = pc.extract_regex(strings, _RANGE)
    is_empty = pc.fill_null(pc.equal(strings, _EMPTY), False)
    if len(strings) - found.null_count + pc.sum(is_empty).as_py() + strings.null_count != len(
        strings
    ):
        raise ValueError("no range")
    nothing = pa.scalar(None, pa.string())
    begins, lower, upper, ends = (
        pc.struct_field(found, name) for name in ("open", "lower", "upper", "close")
    )
    bounds = pc.binary_join_element_wise(begins, ends, "")
    bounds = pc.if_else(is_empty, pa.scalar(_EMPTY), bounds)
    # What has no bound there is infinite.
    limits = (pc.if_else(pc.equal(each, ""), nothing, each) for each in (lower, upper))
    return [*limits, bounds]


def maps_of(strings: pa.Array) -> pa.Array:
    """Return the pairs of hstore. Raises ValueError for what is none."""
    keys, items, ends = list[str](), list[str | None](), [0]
    for text in strings.to_pylist():
        position = 0
        while text and position < len(text):
            match = _PAIR.match(text, position)
            if match is None:
                raise ValueError("no hstore")
            keys.append(_unescaped(match[1]))
            items.append(None if match[2] is None else _unescaped(match[2]))
            position = match.end()
        ends.append(len(keys))
    mask = strings.is_null() if strings.null_count else None
    return pa.MapArray.from_arrays(
        pa.array(np.asarray(ends, np.int32)),
        pa.array(keys, pa.string()),
        pa.array(items, pa.string()),
        mask=mask,
    )


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
