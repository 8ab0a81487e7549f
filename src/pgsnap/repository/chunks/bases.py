"""Bases for deltas: which stored chunk a new one is most like.

A new chunk is compared with those of the same section in an earlier snapshot, by their sketches;
where none is like it, the one at the same place will do: that which follows the base of the chunk
before it, or holds the same line.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pgsnap.chunking.expected import Expected
from pgsnap.chunking.likeness import Window
from pgsnap.errors import SnapError
from pgsnap.limits import BASES_HELD_MAX, SECTIONS_WITH_BASES_MAX
from pgsnap.model import (
    ChunkId,
    RecipeEntry,
    RecipeRoot,
    SectionName,
    Snapshot,
)
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import node_at, section_pieces, walk

# A smaller section is stored anew for less than what its bases would take of our memory.
_SECTION_BYTES_MIN = 512


class Bases:
    """The chunks of earlier snapshots, by section. Raises nothing: what cannot be read is no base.

    *snapshots* are those to compare with, best first: the parent, or others of the repository.
    """

    def __init__(self, reader: ChunkReader, snapshots: Sequence[Snapshot]) -> None:
        self._reader = reader
        self._roots: dict[SectionName, list[RecipeRoot]] = {}
        self._pieces: dict[SectionName, ChunkId] = {}
        for snapshot in snapshots:
            try:
                self._read(snapshot)
            except SnapError:
                # A damaged snapshot; `snap verify` tells. The commit does not need it.
                continue

    def _read(self, snapshot: Snapshot) -> None:
        for piece, sections in section_pieces(snapshot.sections_recipe, self._reader):
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
        return SectionBases(roots, self._reader) if roots else None

    def expected(self, section: SectionName) -> Expected | None:
        """Return what a section most likely is cut to; None where that is one chunk at most."""
        roots = self._roots.get(section)
        return Expected(self._entries(roots[0])) if roots and roots[0].level else None

    def _entries(self, root: RecipeRoot) -> Iterator[RecipeEntry]:
        with contextlib.suppress(SnapError):
            yield from walk(root, self._reader.read)

    def of_piece(self, first: SectionName) -> ChunkId | None:
        """Return the piece of a section table that begins with the section *first*."""
        return self._pieces.get(first)


class SectionBases:
    """The chunks of one section of earlier snapshots. May be shared by threads.

    It holds BASES_HELD_MAX chunks around the place that was asked for last.
    """

    def __init__(self, roots: Sequence[RecipeRoot], reader: ChunkReader) -> None:
        self._roots = roots
        self._read = reader.read
        self._lock = threading.Lock()
        self._entries: Iterator[RecipeEntry] | None = None
        self._held: Window | None = None

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

    def _window_of(self, line: int) -> Window | None:
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

    def _next_window(self, before: Window | None) -> Window | None:
        assert self._entries is not None
        half = list(islice(self._entries, BASES_HELD_MAX // 2))
        return Window(half, before) if half else None
