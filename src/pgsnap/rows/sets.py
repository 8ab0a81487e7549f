"""Rows of COPY text as arrays: their starts and ends, their keys, and which rows of two lists have
no equal in the other.

A *record* stands for a row: (digest, digest, key, place, size), five numbers of 64 bits. *key* is a
hash of the primary key's fields, *place* is the position of the row's text (`Texts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import Hashes, Offsets
from pgsnap.rows.digest import MARGIN_BYTES, Digests, RowDigest

Records: TypeAlias = NDArray[np.uint64]
"""Records, of shape (rows, 5)."""

FIRST, SECOND, KEY, PLACE, SIZE = range(5)
COLUMNS = 5
_LINE_END, _TAB = 10, 9
_KEY_STEP = np.uint64(0x9E3779B97F4A7C15)


class Key:
    """The primary key of a table's rows: the numbers of its *fields*, out of *columns*."""

    def __init__(self, fields: Sequence[int], columns: int) -> None:
        self.fields = tuple(fields)
        self.columns = columns


class Rows:
    """Complete rows, one after another, each with its line end."""

    def __init__(self, text: Sequence[bytes]) -> None:
        self._text = b"".join((*text, bytes(MARGIN_BYTES)))
        self.buffer: NDArray[np.uint8] = np.frombuffer(self._text, np.uint8)
        self.size = len(self.buffer) - MARGIN_BYTES
        self.stops: Offsets = np.flatnonzero(self.buffer[: self.size] == _LINE_END)
        self.starts: Offsets = np.empty_like(self.stops)
        if len(self.stops):
            self.starts[0] = 0
            self.starts[1:] = self.stops[:-1] + 1

    def __len__(self) -> int:
        return len(self.stops)

    def chosen(self, which: Offsets) -> Rows:
        """Return some of the rows, by their numbers."""
        if len(which) == len(self):
            return self
        bounds = zip(self.starts[which].tolist(), self.stops[which].tolist(), strict=True)
        return Rows([self._text[start : stop + 1] for start, stop in bounds])

    def text(self) -> bytes:
        return self._text[: self.size]

    def digests(self, digest: RowDigest) -> Digests:
        return digest.digest(self.buffer, self.starts, self.stops)

    def keys(self, digest: RowDigest, key: Key) -> Hashes | None:
        """Return a hash of each row's key, None if the rows do not have as many fields as the key's
        table (SQL that pg_dump did not write may use other delimiters)."""
        text = self.buffer[: self.size]
        marks = np.flatnonzero((text == _TAB) | (text == _LINE_END))
        if len(marks) != len(self) * key.columns:
            return None
        ends: NDArray[np.int64] = marks.reshape(-1, key.columns)
        if not np.array_equal(ends[:, -1], self.stops):
            return None
        keys = np.zeros(len(self), np.uint64)
        for field in key.fields:
            starts = ends[:, field - 1] + 1 if field else self.starts
            found = digest.digest(self.buffer, starts, np.ascontiguousarray(ends[:, field]))
            keys = joined_key(keys, found)
        return keys


def joined_key(keys: Hashes, fields: Digests) -> Hashes:
    """Return the hashes of keys extended by one more field."""
    more: Hashes = keys * _KEY_STEP + fields[:, 0]
    return more


def records(digests: Digests, keys: Hashes | None, places: Offsets, sizes: Offsets) -> Records:
    """Return the records of rows. Without keys each row is its own key."""
    made = np.empty((len(digests), COLUMNS), np.uint64)
    made[:, FIRST], made[:, SECOND] = digests[:, 0], digests[:, 1]
    made[:, KEY] = digests[:, 0] if keys is None else keys
    made[:, PLACE], made[:, SIZE] = places, sizes
    return made


def unmatched(a: Digests, b: Digests) -> tuple[Offsets, Offsets]:
    """Return which rows of *a* and of *b* are left after removing equal rows in pairs, one of each:
    the multiset differences. Only the first two columns are compared."""
    if not len(a) or not len(b):
        return np.arange(len(a)), np.arange(len(b))
    if len(a) == len(b) and np.array_equal(a[:, :2], b[:, :2]):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order, begins = _grouped(np.concatenate((a[:, :2], b[:, :2])))
    is_a = order < len(a)
    counted = np.concatenate(([0], np.cumsum(is_a)))
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(order))
    of_a = counted[lasts] - counted[firsts]
    pairs = np.minimum(of_a, lasts - firsts - of_a)
    group = np.cumsum(begins) - 1
    # The ordinal of each row among those of its side in its group.
    number = counted[:-1] - counted[firsts][group]
    number = np.where(is_a, number, np.arange(len(order)) - firsts[group] - number)
    left = number >= pairs[group]
    return np.sort(order[left & is_a]), np.sort(order[left & ~is_a]) - len(a)


def _grouped(digests: Digests) -> tuple[Offsets, NDArray[np.bool_]]:
    """Return an order in which equal digests are adjacent, and where each new one begins."""
    order = np.argsort(digests[:, 0])
    first, second = digests[order, 0], digests[order, 1]
    same = first[1:] == first[:-1]
    if (same & (second[1:] != second[:-1])).any():
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        first, second = digests[order, 0], digests[order, 1]
        same = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    return order, np.concatenate(([True], ~same))
