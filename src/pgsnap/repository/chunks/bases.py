"""Bases for deltas: the stored chunk that a new one is most similar to.

A new chunk is compared with those of the same section in an earlier snapshot, by their sketches; if
none is similar, the one at the same place is used: the one after the base of the preceding chunk,
or the one with the same line.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pgsnap.chunking.expected import Expected
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

if TYPE_CHECKING:
    from pgsnap.chunking.likeness import Window

Sides: TypeAlias = "tuple[RecipeRoot | None, RecipeRoot | None, RecipeRoot | None]"

# A smaller section takes fewer bytes to store again than its bases would take of memory.
_SECTION_BYTES_MIN = 512


class Bases:
    """The chunks of earlier snapshots, by section. Never raises: what cannot be read is not a base.

    *snapshots* are those to compare with, best first: the parent, or others in the repository.
    """

    def __init__(self, reader: ChunkReader, snapshots: Sequence[Snapshot]) -> None:
        self._reader = reader
        self._roots: dict[SectionName, list[RecipeRoot]] = {}
        self._pieces: dict[SectionName, ChunkId] = {}
        # The side streams of the first snapshot that has the section.
        self._sides: dict[SectionName, Sides] = {}
        for snapshot in snapshots:
            try:
                self._read(snapshot)
            except SnapError:
                # A damaged snapshot; `snap verify` reports it. The commit does not need it.
                continue

    def _read(self, snapshot: Snapshot) -> None:
        for piece, sections in section_pieces(snapshot.sections_recipe, self._reader):
            for number, section in enumerate(sections):
                if not number:
                    self._pieces.setdefault(section.name, piece)
                if section.side_streams:
                    sides = section.leaves, section.block_map, section.baseline
                    self._sides.setdefault(section.name, sides)
                if (
                    section.plain_bytes >= _SECTION_BYTES_MIN
                    and len(self._roots) < SECTIONS_WITH_BASES_MAX
                ):
                    roots = self._roots.setdefault(section.name, [])
                    roots += section.recipes

    def of(self, section: SectionName) -> SectionBases | None:
        """Return the bases for a section; None if no snapshot has it."""
        roots = self._roots.get(section)
        return SectionBases(roots, self._reader) if roots else None

    def sides(self, section: SectionName) -> Sides:
        """Return the side streams of an earlier version of a section: leaves, block map,
        baseline."""
        return self._sides.get(section, (None, None, None))

    def entries(self, root: RecipeRoot | None) -> Iterator[RecipeEntry]:
        """Yield the chunks of a recipe, as far as it can be read."""
        return self._entries(root) if root is not None else iter(())

    def expected(self, section: SectionName) -> Expected | None:
        """Return the chunks that a section will most likely be cut into; None if that is at most
        one."""
        roots = self._roots.get(section)
        return Expected(self._entries(roots[0])) if roots and roots[0].level else None

    def _entries(self, root: RecipeRoot) -> Iterator[RecipeEntry]:
        with contextlib.suppress(SnapError):
            yield from walk(root, self._reader.read)

    def of_piece(self, first: SectionName) -> ChunkId | None:
        """Return the section-table piece that begins with the section *first*."""
        return self._pieces.get(first)


class SectionBases:
    """The chunks of one section of earlier snapshots. May be shared by threads.

    It holds BASES_HELD_MAX chunks around the place of the last request.
    """

    def __init__(self, roots: Sequence[RecipeRoot], reader: ChunkReader) -> None:
        self._roots = roots
        self._read = reader.read
        self._lock = threading.Lock()
        self._entries: Iterator[RecipeEntry] | None = None
        self._held: Window | None = None

    def find(self, chunks: Iterable[tuple[ChunkId, bytes, int]]) -> dict[ChunkId, ChunkId]:
        """Return a base for each of *chunks* (id, sketch, number of lines before it in the
        section), which are consecutive. Those that the earlier section contains itself are left
        out."""
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
        """Return the recipe node of *level* at the given line."""
        try:
            return node_at(self._roots[0], level, first_line, self._read)
        except SnapError:
            return None

    def _window_of(self, line: int) -> Window | None:
        """Return the chunks around *line*. A section's chunks are requested in order."""
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
            # A damaged recipe: what was read so far has to do.
            self._entries = iter(())
        return self._held

    def _next_window(self, before: Window | None) -> Window | None:
        # Late: NumPy is slow to import.
        from pgsnap.chunking.likeness import Window

        assert self._entries is not None
        half = list(islice(self._entries, BASES_HELD_MAX // 2))
        return Window(half, before) if half else None
