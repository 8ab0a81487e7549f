"""PostgreSQL's arrays, as `{1,NULL,3}`, to lists of Arrow."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pgsnap.patterns import regex
from pgsnap.tabular.arrow.buffers import parts_of, strings_of
from pgsnap.tabular.arrow.kinds import Convert
from pgsnap.tabular.escapes import BACKSLASH

_TOKEN = regex(r'[{},]|"((?:[^"\\]|\\.)*)"|[^{},"]+', re.S)
_ESCAPED = regex(r"\\(.)", re.S)
_BOUNDS = regex(r"\[[-\d]+:[-\d]+\](?:\[[-\d]+:[-\d]+\])*=")
_QUOTE, _COMMA, _OPEN, _CLOSE = ord('"'), ord(","), ord("{"), ord("}")


def depth_of(strings: pa.Array) -> int:
    """Return how many dimensions the arrays of a column have, by the first ones."""
    depth = 1
    for text in strings.to_pylist():
        if text is not None:
            inner = _BOUNDS.sub("", text, count=1)
            depth = max(depth, len(inner) - len(inner.lstrip("{")))
    return depth


def without_bounds(text: str) -> str:
    """Return an array's text without the numbers of its elements: they begin with 1 then."""
    return _BOUNDS.sub("", text, count=1)


def obstacle(text: str, depth: int) -> str:
    """Return why an array is no list of *depth* levels, "" if it is."""
    if _BOUNDS.match(text):
        return "a list has no lower bound of its own"
    found = len(text) - len(text.lstrip("{"))
    if text != "{}" and found != depth:
        return f"it has {found} dimensions, and the first arrays of the column {depth}"
    return ""


def lists_of(strings: pa.Array, convert: Convert, depth: int) -> pa.Array:
    """Return lists of the elements, as *convert* reads them. There is an `obstacle` to none."""
    if depth == 1 and (found := _simple(strings, convert)) is not None:
        return found

    nested = pa.string()
    for _ in range(depth):
        nested = pa.list_(nested)
    values = [None if text is None else _parsed(text) for text in strings.to_pylist()]
    return _with_leaves(pa.array(values, nested), convert, depth)


def _simple(strings: pa.Array, convert: Convert) -> pa.Array | None:
    """Return `lists_of` if no element is in quotes, else None."""
    data, offsets = parts_of(strings)
    there = len(strings) - strings.null_count
    is_open, is_close = data == _OPEN, data == _CLOSE
    if (data == _QUOTE).any() or (data == BACKSLASH).any() or is_open.sum() != there:
        return None
    ends = np.flatnonzero((data == _COMMA) | is_close)
    is_empty = is_close[ends] & is_open[ends - 1]
    between = is_open | is_close | (data == _COMMA)
    ends = ends[~is_empty]
    limits = np.concatenate(([0], ends - np.searchsorted(np.flatnonzero(between), ends)))
    like = pa.nulls(len(ends), pa.null()).is_null()
    texts = strings_of(data[~between], limits, like, pa.string())
    elements = pc.if_else(pc.equal(texts, "NULL"), pa.scalar(None, pa.string()), texts)
    begins = np.searchsorted(ends, offsets, "left")
    return _list(begins, convert(elements), strings)


def _list(begins: Any, elements: pa.Array, like: pa.Array) -> pa.Array:

    mask = like.is_null() if like.null_count else None
    offsets = pa.array(np.asarray(begins, np.int32))
    return pa.ListArray.from_arrays(offsets, elements, mask=mask)


def _with_leaves(lists: pa.Array, convert: Convert, depth: int) -> pa.Array:
    if depth == 0:
        return convert(lists)
    inner = _with_leaves(lists.values, convert, depth - 1)
    return _list(lists.offsets, inner, lists)


def _parsed(text: str) -> list[Any]:
    """Return nested lists of the elements' texts, None for NULL."""
    outer: list[Any] = []
    opened = [outer]
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word == "{":
            inner: list[Any] = []
            opened[-1].append(inner)
            opened.append(inner)
        elif word == "}":
            opened.pop()
        elif match[1] is not None:
            opened[-1].append(_ESCAPED.sub(r"\1", match[1]))
        elif word != ",":
            opened[-1].append(None if word == "NULL" else word)
    found: list[Any] = outer[0]
    return found
