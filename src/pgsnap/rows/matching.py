"""Finding the few rows of a text in which given fields have given values.

What is searched for is the value between two separators, in the whole text at once, so that a text
without it costs no more than reading it; only where that occurs often for other reasons are the
fields of all rows compared, as arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pgsnap.rows.assembled import Field, LongField, LongRow
from pgsnap.values import dataclass

# After so many places in one text that are no match all its rows are compared instead.
_MISSES_MAX = 200
_LINE_END, _TAB = 10, 9


@dataclass(frozen=True, slots=True)
class FieldTest:
    """What a field, as it is in the text, must be: all of *text*, or what fully matches *pattern*
    and begins with *text*. *field* is its number, None means any field."""

    field: int | None
    text: bytes
    pattern: re.Pattern[bytes] | None = None
    is_part: bool = False
    """The field need only contain *text*."""

    def passes(self, fields: Sequence[Field]) -> bool:
        """Return whether the fields of a row pass the test."""
        if self.field is None:
            return any(map(self._fits, fields))
        return self.field < len(fields) and self._fits(fields[self.field])

    def _fits(self, found: Field) -> bool:
        if isinstance(found, LongField):
            # A longer field than that is no key, and of a part only the beginning is searched.
            is_held = found.size == len(found.head)
            if not is_held and not self.is_part:
                return False
            found = found.head
        if self.is_part:
            return self.text in found
        return found == self.text if self.pattern is None else bool(self.pattern.fullmatch(found))


class RowMatcher:
    """Finds the rows that pass all *tests*; their texts have *columns* fields."""

    def __init__(self, tests: Sequence[FieldTest], columns: int) -> None:
        self._tests = tuple(tests)
        self._columns = columns
        # The longest is the rarest.
        self._needle = max((self._searched(test) for test in tests), key=len, default=b"\n")
        # A single byte occurs everywhere: then what a pattern says is searched for as well.
        self._scanned = self._pattern() if len(self._needle) == 1 else None
        self._whole = all(t.pattern is None and not t.is_part for t in tests) and bool(tests)

    def matches(self, fields: Sequence[Field]) -> bool:
        return all(test.passes(fields) for test in self._tests)

    def find(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield the bounds of the matching rows in a *text* of complete rows, without their line
        ends."""
        needle, misses = self._needle, 0
        start = 0
        while start < len(text):
            # A row's first field has no separator before it at the start of the text.
            if start == 0 and needle[:1] == b"\n" and text.startswith(needle[1:]):
                place = 0
            elif (place := self._place(text, max(start - 1, 0))) < 0:
                return
            elif needle[:1] == b"\n":
                place += 1
            first = text.rfind(b"\n", 0, place) + 1
            last = text.find(b"\n", place)
            if first >= len(text):
                return
            if self.matches(text[first:last].split(b"\t")):
                yield first, last
            else:
                misses += 1
                if misses > _MISSES_MAX and self._whole:
                    yield from self._by_arrays(text, last + 1)
                    return
            start = last + 1

    def _place(self, text: bytes, start: int) -> int:
        if self._scanned is None:
            return text.find(self._needle, start)
        match = self._scanned.search(text, start)
        return match.start() if match is not None else -1

    def _pattern(self) -> re.Pattern[bytes] | None:
        """Return what finds the separator before the field of a test that only has a pattern, and
        let that separator be the needle."""
        for test in self._tests:
            if test.pattern is not None and test.field is not None:
                self._needle = b"\n" if test.field == 0 else b"\t"
                return re.compile(self._needle + b"(?:%b)" % test.pattern.pattern)
        return None

    def matches_long(self, row: LongRow) -> bool:
        return self.matches(row)

    def _searched(self, test: FieldTest) -> bytes:
        """Return what occurs in the text of each row that passes a test, except for the first
        row if it begins with a line end."""
        if test.is_part or test.field is None:
            return test.text or b"\n"
        before = b"\n" if test.field == 0 else b"\t"
        if test.pattern is not None:
            return before + test.text
        return before + test.text + (b"\n" if test.field == self._columns - 1 else b"\t")

    def _by_arrays(self, text: bytes, start: int) -> Iterator[tuple[int, int]]:
        """Yield what `find` does, of the rows from *start* on."""
        buffer = np.frombuffer(text, np.uint8)[start:]
        marks = np.flatnonzero((buffer == _TAB) | (buffer == _LINE_END))
        stops = np.flatnonzero(buffer == _LINE_END)
        if len(marks) != len(stops) * self._columns:
            # Not one of pg_dump's texts.
            yield from self._one_by_one(text, start)
            return
        ends = marks.reshape(-1, self._columns)
        firsts = np.concatenate(([0], stops[:-1] + 1))
        chosen = np.arange(len(stops))
        for test in self._tests:
            assert test.field is not None
            begins = ends[chosen, test.field - 1] + 1 if test.field else firsts[chosen]
            chosen = chosen[_equal(buffer, begins, ends[chosen, test.field], test.text)]
        bounds = zip(firsts[chosen].tolist(), stops[chosen].tolist(), strict=True)
        for first, last in bounds:
            yield start + first, start + last

    def _one_by_one(self, text: bytes, start: int) -> Iterator[tuple[int, int]]:
        while start < len(text):
            last = text.index(b"\n", start)
            if self.matches(text[start:last].split(b"\t")):
                yield start, last
            start = last + 1


def _equal(
    buffer: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64], value: bytes
) -> NDArray[np.bool_]:
    """Return which of the parts of *buffer* are *value*."""
    same: NDArray[np.bool_] = ends - begins == len(value)
    for number, byte in enumerate(value):
        left = np.flatnonzero(same)
        if not len(left):
            break
        same[left] = buffer[begins[left] + number] == byte
    return same
