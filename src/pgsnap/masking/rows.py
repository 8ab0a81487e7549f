"""Masks columns of rows in COPY's text format, in bounded memory.

Only the values of masked columns become objects: where they are is found with NumPy, and the text
between them is passed on in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from pgsnap.errors import CorruptionError
from pgsnap.masking.values import LONG_BYTES, Held, Mask, held
from pgsnap.patterns import regex
from pgsnap.values import dataclass

Places: TypeAlias = "np.ndarray[Any, np.dtype[np.signedinteger[Any]]]"

_TAB, _NEWLINE = 9, 10
_END = b"\\.\n"
_SEPARATOR = regex(rb"[\t\n]")
# So many rows at once that their values take some MB; several tables may be loaded at once.
_SLICE_BYTES = 512 * 1024
# A row that is longer is masked piece by piece, so that it need not be held.
_LONG_ROW_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ColumnMask:
    """The mask of a column; *by* is the column whose values decide. With *is_whole* it gets values
    of any length as they are."""

    mask: Mask
    by: int
    is_whole: bool = False


class RowMasker:
    """Masks the rows of one table, which have *columns* columns; *masks* are by column."""

    def __init__(self, columns: int, masks: Mapping[int, ColumnMask], table: str) -> None:
        self._columns = columns
        self._masks = dict(sorted(masks.items()))
        self._table = table
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._long: _LongRow | None = None
        # What decides must have been seen by then.
        self._may_stream = all(each.by <= column for column, each in masks.items())
        self._is_at_end = False

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Yield what *block* lets be passed on: masked rows, and what follows them."""
        if self._long is not None:
            block = yield from self._continued(block)
        if self._is_at_end:
            yield block
            return
        last = block.rfind(b"\n") + 1
        if last:
            lines = b"".join((*self._rest, block[:last]))
            self._rest, self._rest_bytes = [], 0
            yield from self._lines(lines)
            block = block[last:]
            if self._is_at_end:
                yield block
                return
        if block:
            self._rest.append(block)
            self._rest_bytes += len(block)
        if self._rest_bytes > _LONG_ROW_BYTES and self._may_stream:
            begun = b"".join(self._rest)
            self._rest, self._rest_bytes = [], 0
            self._long = _LongRow(self._columns, self._masks, self._wrong)
            yield from self._continued(begun)

    def finish(self) -> None:
        """Raise CorruptionError if the rows have no end."""
        if not self._is_at_end:
            raise self._wrong()

    def _continued(self, block: bytes) -> Generator[bytes, None, bytes]:
        """Yield what becomes of a long row, and return what comes after it."""
        assert self._long is not None
        used = yield from self._long.feed(block)
        if self._long.is_done:
            self._long = None
        return block[used:]

    def _lines(self, lines: bytes) -> Iterator[bytes]:
        """Yield what becomes of whole *lines*."""
        end = 0 if lines.startswith(_END) else lines.find(b"\n" + _END) + 1
        rows = lines
        if end or lines.startswith(_END):
            self._is_at_end = True
            rows, lines = lines[:end], lines[end:]
        start = 0
        while start < len(rows):
            stop = start + _SLICE_BYTES
            stop = rows.find(b"\n", stop - 1) + 1 if stop < len(rows) else len(rows)
            stop = stop or len(rows)
            yield self._masked(rows[start:stop])
            start = stop
        if self._is_at_end:
            yield lines

    def _masked(self, rows: bytes) -> bytes:
        """Return what becomes of whole rows."""
        if not self._columns:
            if rows.strip(b"\n"):
                raise self._wrong()
            return rows
        data = np.frombuffer(rows, dtype=np.uint8)
        ends = np.flatnonzero((data == _TAB) | (data == _NEWLINE))
        count = len(ends) // self._columns
        is_last = data[ends[self._columns - 1 :: self._columns]] == _NEWLINE
        if count * self._columns != len(ends) or count != rows.count(b"\n") or not is_last.all():
            raise self._wrong()
        starts = np.empty_like(ends)
        starts[0] = 0
        starts[1:] = ends[:-1] + 1
        return self._rebuilt(rows, starts.reshape(count, -1), ends.reshape(count, -1))

    def _rebuilt(self, rows: bytes, starts: Places, ends: Places) -> bytes:
        """Return *rows* with the masked columns replaced; *starts* and *ends* are where each value
        of each row is."""
        count, masked = len(ends), list(self._masks)
        width = len(masked)
        between_starts = np.empty(count * width + 1, dtype=ends.dtype)
        between_starts[0] = 0
        between_starts[1:] = ends[:, masked].ravel()
        between_ends = np.append(starts[:, masked].ravel(), len(rows))
        parts = [b""] * (2 * count * width + 1)
        parts[::2] = [
            rows[start:stop]
            for start, stop in zip(between_starts.tolist(), between_ends.tolist(), strict=True)
        ]
        for number, (column, each) in enumerate(self._masks.items()):
            found = _values(rows, starts[:, column], ends[:, column], is_whole=each.is_whole)
            by = found
            if each.by != column:
                by = _values(rows, starts[:, each.by], ends[:, each.by], is_whole=False)
            parts[2 * number + 1 :: 2 * width] = each.mask.many(found, by)
        return b"".join(parts)

    def _wrong(self) -> CorruptionError:
        return CorruptionError(
            f"the rows of {self._table} are not what their COPY statement says",
            detail=f"It names {self._columns} columns. Nothing of them is passed on unmasked.",
            hint="Look for damage: snap verify --data",
        )


def _values(rows: bytes, starts: Places, ends: Places, *, is_whole: bool) -> list[bytes]:
    found = [rows[start:stop] for start, stop in zip(starts.tolist(), ends.tolist(), strict=True)]
    if not is_whole and len(rows) > LONG_BYTES and int((ends - starts).max()) > LONG_BYTES:
        return list(map(held, found))
    return found


class _LongRow:
    """One row that is too long to be held, but for the values that masks get whole."""

    def __init__(
        self,
        columns: int,
        masks: Mapping[int, ColumnMask],
        wrong: Callable[[], CorruptionError],
    ) -> None:
        self._last = columns - 1
        self._masks = masks
        self._wrong = wrong
        self._deciding = {each.by for each in masks.values()}
        self._seen: dict[int, bytes] = {}
        self._column = 0
        self._held = Held()
        self._whole: list[bytes] = []
        self.is_done = False

    def feed(self, block: bytes) -> Generator[bytes, None, int]:
        """Yield what becomes of the row's next bytes; return how many of *block* are of it."""
        position = 0
        while position < len(block):
            match = _SEPARATOR.search(block, position)
            stop = match.start() if match is not None else len(block)
            piece = block[position:stop]
            each = self._masks.get(self._column)
            is_kept = each is None
            if is_kept and piece:
                yield piece
            if each is not None and each.is_whole:
                self._whole.append(piece)
            if not is_kept or self._column in self._deciding:
                self._held.add(piece)
            if match is None:
                return len(block)
            yield from self._column_ends()
            yield match[0]
            position = match.end()
            if (match[0] == b"\n") != (self._column == self._last):
                raise self._wrong()
            if match[0] == b"\n":
                self.is_done = True
                return position
            self._column += 1
        return position

    def _column_ends(self) -> Iterator[bytes]:
        value = self._held.value()
        self._held = Held()
        if self._column in self._deciding:
            self._seen[self._column] = value
        each = self._masks.get(self._column)
        if each is not None and each.is_whole:
            whole, self._whole = b"".join(self._whole), []
            yield from each.mask.many([whole], [whole])
        elif each is not None:
            yield from each.mask.many([value], [self._seen[each.by]])
