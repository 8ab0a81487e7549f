"""CSV as PostgreSQL's COPY writes it: NULL is nothing at all, and what is quoted is never NULL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from pgsnap.dump.definitions.copy_text import without_escapes
from pgsnap.tabular.base import BLOCK_BYTES, Files, Shape, Wishes, unicode_text
from pgsnap.tabular.escapes import escape_starts, has_numbers, meanings

_TAB, _NEWLINE, _COMMA, _QUOTE = b'\t\n,"'
# Encodings whose text is passed on as it is: of SQL_ASCII nobody knows how it is to be converted.
_AS_IT_IS = frozenset(("UTF8", "UNICODE", "SQL_ASCII"))
# How much text is converted at a time: what is known of each of its fields is held meanwhile.
_SLICE_BYTES = 256 * 1024
# Enough to see whether a value is NULL.
_BEGINNING_BYTES = 4096


class CsvTable:
    """Writes the rows of a table as CSV. Takes text that is cut anywhere: a row that is longer than
    a block is written piece by piece."""

    def __init__(self, shape: Shape, files: Files, wishes: Wishes) -> None:
        self.rows = 0
        self._shape = shape
        self._files = files
        self._lossy = wishes.lossy
        self._out: BinaryIO | None = None
        self._written = 0
        self._held = b""
        self._long: _LongRow | None = None

    def write(self, blocks: Iterable[bytes]) -> int:
        written = 0
        for block in blocks:
            written += len(block)
            self._take(block)
        return written

    def _take(self, block: bytes) -> None:
        if self._long is not None:
            rest = self._long.feed(block)
            if rest is None:
                self._put(self._long.written())
                return
            self._put(self._long.written())
            self._long = None
            self.rows += 1
            block = rest
        text = self._held + block
        end = text.rfind(b"\n") + 1
        self._held = text[end:]
        if end:
            self._rows(text[:end])
        if len(self._held) > BLOCK_BYTES and self._can_cut():
            held, self._held = self._held, b""
            self._long = _LongRow()
            self._take(held)

    def close(self) -> None:
        out = self._file()
        if self._held or self._long is not None:
            # Rows end with a line end: the caller counts them.
            self._held = b""
        out.close()
        self._out = None

    def abandon(self) -> None:
        self._held = b""

    def _can_cut(self) -> bool:
        return self._shape.encoding.upper() in _AS_IT_IS

    def _rows(self, text: bytes) -> None:
        if not self._can_cut():
            text = unicode_text(self._shape, text, lossy=self._lossy)
        self.rows += text.count(b"\n")
        has_one_column = len(self._shape.columns) == 1
        start = 0
        while start < len(text):
            end = text.rfind(b"\n", start, start + _SLICE_BYTES) + 1
            end = end or text.find(b"\n", start) + 1
            self._put(csv_of(text[start:end], has_one_column=has_one_column))
            start = end
        limit = self._files.part_bytes
        if limit is not None and self._written >= limit and self._out is not None:
            self._out.close()
            self._out, self._written = None, 0

    def _put(self, data: bytes) -> None:
        self._file().write(data)
        self._written += len(data)

    def _file(self) -> BinaryIO:
        if self._out is None:
            self._out = self._files.open()
            names = [column.name.encode("utf-8") for column in self._shape.columns]
            self._out.write(b",".join(map(_quoted_if_needed, names)) + b"\n")
        return self._out


def csv_of(text: bytes, *, has_one_column: bool) -> bytes:
    """Return whole rows of COPY text as CSV."""
    data = np.frombuffer(text, np.uint8)
    escapes = escape_starts(data)
    if has_numbers(data, escapes):
        rows = text.split(b"\n")[:-1]
        return b"".join(_row(row, has_one_column=has_one_column) for row in rows)
    ends = np.flatnonzero((data == _TAB) | (data == _NEWLINE))
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts
    meant = data[escapes + 1]
    changed = data.copy()
    changed[escapes + 1] = meanings()[meant]
    changed[ends[data[ends] == _TAB]] = _COMMA
    quotes = np.flatnonzero(data == _QUOTE)
    quoting = np.concatenate(
        (
            np.flatnonzero(data == _COMMA),
            quotes,
            escapes[(meant == ord("n")) | (meant == ord("r"))],
        )
    )
    is_quoted = lengths == 0
    is_quoted[np.searchsorted(ends, quoting)] = True
    if has_one_column:
        # The end mark of COPY.
        at = starts[lengths == 3]
        is_mark = (data[at] == ord("\\")) & (data[at + 1] == ord("\\")) & (data[at + 2] == ord("."))
        is_quoted[np.flatnonzero(lengths == 3)[is_mark]] = True
    keep = np.ones(len(data), np.bool_)
    keep[escapes] = False
    keep[escapes[(meant == ord("N")) & (lengths[np.searchsorted(ends, escapes)] == 2)] + 1] = False
    inserted = np.sort(np.concatenate((starts[is_quoted], ends[is_quoted], quotes)))
    before = inserted - np.searchsorted(np.flatnonzero(~keep), inserted)
    return np.insert(changed[keep], before, np.uint8(_QUOTE)).tobytes()


def _row(row: bytes, *, has_one_column: bool) -> bytes:
    values = row.split(b"\t")
    return b",".join(_field(one, has_one_column=has_one_column) for one in values) + b"\n"


def _field(field: bytes, *, has_one_column: bool = False) -> bytes:
    if field == rb"\N":
        return b""
    value = without_escapes(field)
    if not value or (has_one_column and value == rb"\."):
        return b'"' + value + b'"'
    return _quoted_if_needed(value)


def _quoted_if_needed(value: bytes) -> bytes:
    if any(byte in value for byte in b',"\n\r'):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


class _LongRow:
    """Writes one row as its text arrives. A value that is not there as a whole is quoted, needed or
    not: what it is like further on is not known."""

    def __init__(self) -> None:
        self._held = b""
        self._is_inside = False
        self._out: list[bytes] = []

    def written(self) -> bytes:
        """Return what was made of the text, once."""
        out, self._out = b"".join(self._out), []
        return out

    def feed(self, text: bytes) -> bytes | None:
        """Take the next part of the text; return what follows the row's end, None before that."""
        text, self._held = self._held + text, b""
        position = 0
        while position < len(text):
            end = _separator(text, position)
            part = text[position : end if end >= 0 else len(text)]
            if end < 0 and not self._is_inside and len(part) < _BEGINNING_BYTES:
                self._held = part
                return None
            if end < 0:
                self._held = part[len(part) - _open_escape(part) :]
                part = part[: len(part) - len(self._held)]
                self._put_part(part)
                return None
            if self._is_inside:
                self._put_part(part)
                self._out.append(b'"')
                self._is_inside = False
            else:
                self._out.append(_field(part))
            position = end + 1
            if text[end] == _NEWLINE:
                self._out.append(b"\n")
                return text[position:]
            self._out.append(b",")
        return None

    def _put_part(self, part: bytes) -> None:
        if not self._is_inside:
            self._out.append(b'"')
            self._is_inside = True
        self._out.append(without_escapes(part).replace(b'"', b'""'))


def _separator(text: bytes, start: int) -> int:
    """Return where the field ends that begins at *start*, -1 if it goes on."""
    newline = text.find(b"\n", start)
    tab = text.find(b"\t", start, newline if newline >= 0 else len(text))
    return tab if tab >= 0 else newline


def _open_escape(part: bytes) -> int:
    """Return how many bytes at the end are an escape that goes on."""
    slashes = len(part) - len(part.rstrip(b"\\"))
    return slashes % 2
