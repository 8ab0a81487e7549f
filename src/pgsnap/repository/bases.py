"""Bases for deltas: which stored chunk a new one is most like.

A new chunk is compared with those of the same section in an earlier snapshot, by their sketches;
where none is like it, the one at the same place will do: that which follows the base of the chunk
before it, or holds the same line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.sketch import NO_SKETCH, Values
from pgsnap.errors import SnapError
from pgsnap.limits import BASES_HELD_MAX, SECTIONS_WITH_BASES_MAX
from pgsnap.model import (
    HASH_BYTES,
    ChunkId,
    RecipeEntry,
    RecipeRoot,
    SectionName,
    Snapshot,
)
from pgsnap.repository.recipes import node_at, walk
from pgsnap.repository.repository import Repository

# Of a value that many chunks share (rows that begin alike), those nearest to the place expected.
_LOOKED_AT_MAX = 8
# A smaller section is stored anew for less than what its bases would take of our memory.
_SECTION_BYTES_MIN = 512


class Bases:
    """The chunks of earlier snapshots, by section. Raises nothing: what cannot be read is no base.

    *snapshots* are those to compare with, best first: the parent, or others of the repository.
    """

    def __init__(self, repo: Repository, snapshots: Sequence[Snapshot]) -> None:
        self._repo = repo
        self._roots: dict[SectionName, list[RecipeRoot]] = {}
        self._pieces: dict[SectionName, ChunkId] = {}
        for snapshot in snapshots:
            try:
                self._read(snapshot)
            except SnapError:
                # A damaged snapshot; `snap verify` tells. The commit does not need it.
                continue

    def _read(self, snapshot: Snapshot) -> None:
        for piece, sections in self._repo.section_pieces(snapshot):
            for number, section in enumerate(sections):
                if not number:
                    self._pieces.setdefault(section.name, piece)
                if (
                    section.plain_bytes >= _SECTION_BYTES_MIN
                    and len(self._roots) < SECTIONS_WITH_BASES_MAX
                ):
                    roots = self._roots.setdefault(section.name, [])
                    roots += (segment.recipe for segment in section.segments)

    def of(self, section: SectionName) -> SectionBases | None:
        """Return the bases for a section; None where no snapshot had it."""
        roots = self._roots.get(section)
        return SectionBases(roots, self._repo) if roots else None

    def of_piece(self, first: SectionName) -> ChunkId | None:
        """Return the piece of a section table that begins with the section *first*."""
        return self._pieces.get(first)


class SectionBases:
    """The chunks of one section of earlier snapshots. May be shared by threads.

    It holds BASES_HELD_MAX chunks around the place that was asked for last, 80 bytes each.
    """

    def __init__(self, roots: Sequence[RecipeRoot], repo: Repository) -> None:
        self._roots = roots
        self._read = repo.chunks.read
        self._lock = threading.Lock()
        self._entries: Iterator[RecipeEntry] | None = None
        self._held: _Window | None = None

    def find(self, chunks: Iterable[tuple[ChunkId, bytes, int]]) -> dict[ChunkId, ChunkId]:
        """Return a base for each of *chunks* (id, sketch, the lines before it in the section),
        which follow each other. Those that the earlier section has itself are left out."""
        found: dict[ChunkId, ChunkId] = {}
        with self._lock:
            expected: int | None = None
            for chunk, sketch, first_line in chunks:
                window = self._window_of(first_line)
                if window is None:
                    return found
                if expected is None or not 0 <= expected < len(window):
                    expected = window.at_line(first_line)
                same = window.number_of(chunk)
                if same is not None:
                    expected = same + 1
                    continue
                number = window.most_like(sketch, expected)
                found[chunk] = window.chunk(number)
                expected = number + 1
        return found

    def node(self, level: int, first_line: int) -> ChunkId | None:
        """Return the recipe node at a place."""
        try:
            return node_at(self._roots[0], level, first_line, self._read)
        except SnapError:
            return None

    def _window_of(self, line: int) -> _Window | None:
        """Return the chunks around *line*. A section's chunks are asked for in order."""
        try:
            if self._entries is None:
                self._entries = (entry for root in self._roots for entry in walk(root, self._read))
                self._held = self._next_window(None)
            while self._held is not None and line >= self._held.end_line:
                following = self._next_window(self._held)
                if following is None:
                    break
                self._held = following
        except SnapError:
            # A damaged recipe: what was read of it will do.
            self._entries = iter(())
        return self._held

    def _next_window(self, before: _Window | None) -> _Window | None:
        assert self._entries is not None
        half = list(islice(self._entries, BASES_HELD_MAX // 2))
        return _Window(half, before) if half else None


class _Window:
    """Some chunks of a section that follow each other, made ready for look-ups."""

    def __init__(self, entries: list[RecipeEntry], before: _Window | None) -> None:
        """Hold *entries* and, so that none lies at an edge, those that came last into the window
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
        """Return the number of the chunk that holds a line."""
        number = int(np.searchsorted(self._starts, line, side="right")) - 1
        return min(max(number, 0), len(self) - 1)

    def number_of(self, chunk: ChunkId) -> int | None:
        for number in self._names.places(int.from_bytes(chunk[:8], "little"), 0):
            if self.chunk(int(number)) == chunk:
                return int(number)
        return None

    def most_like(self, sketch: bytes, expected: int) -> int:
        """Return the chunk that shares most values with *sketch*, of equals the one nearest to the
        place *expected*; that one itself where nothing is shared."""
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
    """A column of numbers, to be asked where a value stands."""

    def __init__(self, values: NDArray[np.uint64] | Values) -> None:
        self._order = np.argsort(values, kind="stable")
        self._sorted = values[self._order]

    def places(self, value: int, near: int) -> NDArray[np.int64]:
        """Return where *value* stands; of many places those nearest to *near*."""
        key = self._sorted.dtype.type(value)
        first = int(np.searchsorted(self._sorted, key, side="left"))
        last = int(np.searchsorted(self._sorted, key, side="right"))
        places = self._order[first:last]
        if len(places) > _LOOKED_AT_MAX:
            middle = int(np.searchsorted(places, near))
            places = places[max(0, middle - _LOOKED_AT_MAX // 2) :][:_LOOKED_AT_MAX]
        return places
