"""Finding the chunk of an earlier snapshot that a new one is most similar to, by their sketches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.sketch import NO_SKETCH, Values
from pgsnap.model import HASH_BYTES, ChunkId, RecipeEntry

# If many chunks share a value (rows that begin alike), only those nearest to the expected place are
# considered.
_LOOKED_AT_MAX = 8


class Window:
    """Consecutive chunks of a section, in which the one most similar to a new chunk can be looked
    up.

    It takes some 150 bytes per chunk.
    """

    def __init__(self, entries: list[RecipeEntry], before: Window | None) -> None:
        """Hold *entries* and, so that none is at an edge, the last ones added to the window
        *before*, which they follow."""
        self._new = len(entries)
        self._ids = b"".join(entry.chunk for entry in entries)
        self._lines = np.fromiter((entry.lines for entry in entries), np.int64, len(entries))
        self._sketches: Values = np.frombuffer(
            b"".join(
                entry.sketch if len(entry.sketch) == len(NO_SKETCH) else NO_SKETCH
                for entry in entries
            ),
            "<u4",
        ).reshape(len(entries), -1)
        first_line = 0
        if before is not None:
            kept = slice(-before._new, None)
            first_line = int(before._starts[kept][0])
            self._ids = before._ids[-before._new * HASH_BYTES :] + self._ids
            self._lines = np.concatenate((before._lines[kept], self._lines))
            self._sketches = np.concatenate((before._sketches[kept], self._sketches))
        self._starts: NDArray[np.int64] = first_line + np.cumsum(self._lines) - self._lines
        self.end_line = first_line + int(self._lines.sum())
        names = np.frombuffer(self._ids, "<u8").reshape(len(self._lines), -1)[:, 0]
        self._names = _Column(names)
        self._columns = [_Column(column) for column in self._sketches.T]

    def __len__(self) -> int:
        return len(self._starts)

    def chunk(self, number: int) -> ChunkId:
        return self._ids[number * HASH_BYTES : (number + 1) * HASH_BYTES]

    def at_line(self, line: int) -> int:
        """Return the number of the chunk that contains a line."""
        number = int(np.searchsorted(self._starts, line, side="right")) - 1
        return min(max(number, 0), len(self) - 1)

    def number_of(self, chunk: ChunkId) -> int | None:
        for number in self._names.places(int.from_bytes(chunk[:8], "little"), 0):
            if self.chunk(int(number)) == chunk:
                return int(number)
        return None

    def most_like(self, sketch: bytes, expected: int) -> int:
        """Return the number of the chunk that shares most values with *sketch*, of equals the one
        nearest to *expected*; *expected* itself if nothing is shared."""
        expected = min(expected, len(self) - 1)
        votes: dict[int, int] = {}
        for column, value in zip(self._columns, np.frombuffer(sketch, "<u4"), strict=True):
            if value:
                for number in column.places(int(value), expected):
                    votes[int(number)] = votes.get(int(number), 0) + 1
        if not votes:
            return expected
        return min(votes, key=lambda number: (-votes[number], abs(number - expected)))


class _Column:
    """A column of numbers, indexed to look up the positions of a value."""

    def __init__(self, values: NDArray[np.uint64] | Values) -> None:
        self._order = np.argsort(values, kind="stable")
        self._sorted = values[self._order]

    def places(self, value: int, near: int) -> NDArray[np.int64]:
        """Return the positions of *value*; if there are many, those nearest to *near*."""
        key = self._sorted.dtype.type(value)
        first = int(np.searchsorted(self._sorted, key, side="left"))
        last = int(np.searchsorted(self._sorted, key, side="right"))
        places = self._order[first:last]
        if len(places) > _LOOKED_AT_MAX:
            middle = int(np.searchsorted(places, near))
            places = places[max(0, middle - _LOOKED_AT_MAX // 2) :][:_LOOKED_AT_MAX]
        return places
