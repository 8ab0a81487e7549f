"""Putting rows together from blocks of text, in bounded memory: complete ones many at a time, and
of a row too long to be held only what identifies each of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from blake3 import blake3

from pgsnap.limits import KIB, MIB
from pgsnap.values import dataclass

ROW_HELD_BYTES = 16 * MIB
"""A longer row is not held."""
_HEAD_BYTES = 64 * KIB
# PostgreSQL's tables have 1,600 columns at most. Text with more fields is none of pg_dump's.
_FIELDS_MAX = 2000


@dataclass(frozen=True, slots=True)
class LongField:
    """A field of a row too long to be held: its size and BLAKE3 as it is in the text, and its
    beginning."""

    size: int
    digest: bytes
    head: bytes


LongRow: TypeAlias = "tuple[LongField, ...]"
"""A row that is longer than ROW_HELD_BYTES."""
Field: TypeAlias = "bytes | LongField"
"""A field as it is in the text, with its escapes."""


def same_field(one: Field, other: Field) -> bool:
    """Return whether two fields are the same bytes."""
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one == other
    first, second = (
        (len(each), blake3(each).digest()) if isinstance(each, bytes) else (each.size, each.digest)
        for each in (one, other)
    )
    return first == second


class RowAssembly:
    """Takes blocks of COPY text, of at most ROW_HELD_BYTES; gives complete rows, each with its line
    end, and long rows."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._passing: _PassingRow | None = None

    @property
    def is_in_row(self) -> bool:
        """Whether the last row still lacks its line end."""
        return self._begun_bytes > 0 or self._passing is not None

    def feed(self, block: bytes) -> Iterator[bytes | LongRow]:
        """Yield the rows that are complete with *block*, in order; consume all of them."""
        if self._passing is None:
            end = block.find(b"\n")
            self._let_pass(len(block) if end < 0 else end)
        if self._passing is not None:
            rest, line_end, block = block.partition(b"\n")
            self._passing.feed(rest)
            if not line_end:
                return
            yield self._passing.finish()
            self._passing = None
        end_of_rows = block.rfind(b"\n") + 1
        if end_of_rows:
            if self._begun:
                yield b"".join((*self._begun, block[:end_of_rows]))
                self._begun, self._begun_bytes = [], 0
            else:
                yield block[:end_of_rows]
            block = block[end_of_rows:]
        if block:
            self._begun.append(block)
            self._begun_bytes += len(block)

    def _let_pass(self, more_bytes: int) -> None:
        """Hold the begun row no longer if it is too long with as many more bytes: so its length
        decides, and not where blocks end in it, which two snapshots may differ in."""
        if self._begun and self._begun_bytes + more_bytes > ROW_HELD_BYTES:
            self._passing = _PassingRow()
            for part in self._begun:
                self._passing.feed(part)
            self._begun, self._begun_bytes = [], 0

    def finish(self) -> Iterator[bytes | LongRow]:
        """Yield the last row if it has no line end: it is complete nevertheless."""
        if self.is_in_row:
            yield from self.feed(b"\n")


class _PassingRow:
    """A row too long to be held, while it passes."""

    def __init__(self) -> None:
        self._done: list[LongField] = []
        self._begin()

    def _begin(self) -> None:
        self._hasher = blake3()
        self._size = 0
        self._head = b""

    def feed(self, block: bytes) -> None:
        for number, part in enumerate(block.split(b"\t", _FIELDS_MAX - len(self._done))):
            if number:
                self._end()
            self._hasher.update(part)
            self._size += len(part)
            if len(self._head) < _HEAD_BYTES:
                self._head += part[: _HEAD_BYTES - len(self._head)]

    def finish(self) -> LongRow:
        self._end()
        return tuple(self._done)

    def _end(self) -> None:
        self._done.append(LongField(self._size, self._hasher.digest(), self._head))
        self._begin()
