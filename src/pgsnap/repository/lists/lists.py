"""Lists of chunks (section tables, their pieces, recipe nodes), read many at a time, as numbers.

For code that walks all snapshots of a repository: the entries of a list are returned as arrays of
the numbers that a frame table assigns to chunks. For single recipes use a `RecipeWalk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.recipe import decode_children
from pgsnap.format.sections import piece_chunks
from pgsnap.limits import RECIPE_LEVELS_MAX
from pgsnap.model import HASH_BYTES, ChunkId, RecipeRoot
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.frame_table import NOBODY, Array, FrameTable
from pgsnap.values import dataclass

PIECE = RECIPE_LEVELS_MAX + 1
"""The level of a piece of a section table; the recipe nodes above it have the next ones. So a level
tells what a chunk is: recipe nodes of sections have levels from 1, data chunks 0."""

# Some 130,000 chunks.
_LISTS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Listed:
    """The entries of lists: the *children* of the first one, then of the next, with their *levels*;
    *counts* gives the number of each list's. *lists* are those that were read, in that order."""

    lists: list[int]
    counts: list[int]
    children: Array
    levels: Array


class Lists:
    """Reads lists. Chunks that no pack holds are left out of the results and counted in *missing*;
    a missing list is damage. If *is_lossy*, all damage is skipped."""

    def __init__(self, table: FrameTable, chunks: ChunkReader, *, is_lossy: bool = False) -> None:
        self._table = table
        self._chunks = chunks
        self._is_lossy = is_lossy
        self.missing = 0
        self.lists_read = 0

    def tables(self, roots: Iterable[RecipeRoot]) -> tuple[Array, Array, Array]:
        """Return the numbers and levels of the section tables' lists at *roots*, and which of these
        (without empty ones) they are. Raises CorruptionError."""
        some = [(root.chunk, PIECE + root.level) for root in roots if root.chunk is not None]
        return self.known([chunk for chunk, _ in some], [level for _, level in some])

    def under(self, numbers: Array, levels: Array) -> Listed:
        """Return the entries of these lists. Raises CorruptionError."""
        found = self._listed(self._read(numbers.tolist(), levels.tolist()))
        self.lists_read += len(found.lists)
        return found

    def known(self, chunks: Sequence[bytes], levels: list[int]) -> tuple[Array, Array, Array]:
        """Return the numbers of those of *chunks* (ids, or many ids joined) that some pack holds,
        their levels, and which they are. Raises CorruptionError if a list is missing."""
        import numpy as np

        numbers = self._table.numbers(chunks)
        of_levels = np.array(levels, np.int8)
        found = numbers != NOBODY
        if not found.all():
            self.missing += int((~found).sum())
            if not self._is_lossy and (of_levels[~found] > 0).any():
                raise CorruptionError(
                    "a list of chunks is missing",
                    detail="No sound pack holds it.",
                    hint="See what else is damaged, and what mends it: snap verify",
                )
        return numbers[found], of_levels[found], found

    def _read(self, numbers: list[int], levels: list[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number, level and bytes of each list."""
        some = list(zip(numbers, levels, self._table.ids(numbers), strict=True))
        if self._is_lossy:
            for number, level, chunk in some:
                with suppress(CorruptionError, ObjectNotFound):
                    yield number, level, self._chunks.read(chunk)
            return
        sizes = self._table.chunk_bytes
        wanted = (((number, level), chunk, int(sizes[number])) for number, level, chunk in some)
        for (number, level), data in self._chunks.read_ahead(wanted):
            yield number, level, data

    def _entries(self, data: bytes, level: int) -> tuple[list[ChunkId], list[int]]:
        return listed(data, level)

    def _listed(self, read: Iterable[tuple[int, int, bytes]]) -> Listed:
        """Return the entries of lists; their chunks are looked up all at once."""
        import numpy as np

        lists: list[int] = []
        counts: list[int] = []
        chunks: list[bytes] = []
        levels: list[int] = []
        for number, level, data in read:
            try:
                ids, of_levels = self._entries(data, level)
            except CorruptionError:
                if not self._is_lossy:
                    raise
                continue
            lists.append(number)
            counts.append(len(of_levels))
            chunks += ids
            levels += of_levels
        children, child_levels, found = self.known(chunks, levels)
        ends = np.cumsum(np.append(0, found))[np.cumsum([0, *counts])]
        return Listed(lists, np.diff(ends).tolist(), children, child_levels)


def listed(data: bytes, level: int) -> tuple[list[ChunkId], list[int]]:
    """Return the entries of a list of *level*, as ids or many ids joined, and the level of each."""
    if level == PIECE:
        chunks: list[ChunkId] = []
        levels: list[int] = []
        for section in piece_chunks(data):
            chunks += section.chunks + section.side_chunks
            levels += section.levels + section.side_levels
        return chunks, levels
    ids = decode_children(data, own_level(level))
    return [ids], [level - 1] * (len(ids) // HASH_BYTES)


def own_level(level: int) -> int:
    """Return the level of a list of chunks within its own tree."""
    return level - PIECE if level > PIECE else level


def parts(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield *arrays* of lists in parts of as many as are read at once, the last ones first: a
    caller that pushes them on a stack pops the first."""
    for start in range((len(arrays[0]) - 1) // _LISTS_AT_ONCE, -1, -1):
        part = slice(start * _LISTS_AT_ONCE, (start + 1) * _LISTS_AT_ONCE)
        yield tuple(array[part] for array in arrays)
