"""Marking: which chunks the snapshots of a repository need, and through which frames to read them.

Every list of chunks (a piece of a section table, a recipe node) is walked once, however many
snapshots share it. Of a chunk with several frames one is chosen: the one of least rank that is
sound and whose chain of bases has decreasing ranks to its end; of equals the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from pgsnap.errors import CorruptionError
from pgsnap.format.sections import piece_chunks
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import ChunkId, RecipeRoot
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.frame_table import NOBODY, PART, Array, FrameTable
from pgsnap.repository.lists.lists import PIECE, Lists, listed, parts

VERIFY_FIRST = "See what is damaged, and what mends it: snap verify"

_SNAPSHOTS_AT_ONCE = 4096
NO_RANK = 255
"""The rank of an unreadable chunk: greater than any other."""


class _NeededLists(Lists):
    """Lists without the side streams of sections, which no snapshot needs to be restored: they are
    collected in *sides*, numbers and levels, if some pack holds them."""

    def __init__(self, table: FrameTable, chunks: ChunkReader, *, is_lossy: bool = False) -> None:
        super().__init__(table, chunks, is_lossy=is_lossy)
        self.sides: list[tuple[Array, Array]] = []

    def _entries(self, data: bytes, level: int) -> tuple[list[ChunkId], list[int]]:
        if level != PIECE:
            return listed(data, level)
        chunks: list[ChunkId] = []
        levels: list[int] = []
        side_chunks: list[ChunkId] = []
        side_levels: list[int] = []
        for section in piece_chunks(data):
            chunks += section.chunks
            levels += section.levels
            side_chunks += section.side_chunks
            side_levels += section.side_levels
        if side_chunks:
            self._set_aside(side_chunks, side_levels)
        return chunks, levels

    def _set_aside(self, chunks: list[ChunkId], levels: list[int]) -> None:
        import numpy as np

        numbers = self._table.numbers(chunks)
        found = numbers != NOBODY
        self.sides.append((numbers[found], np.array(levels, np.int8)[found]))


class Marker:
    """Walks from snapshots to everything they need; `is_live` has the result for every chunk."""

    def __init__(self, table: FrameTable, chunks: ChunkReader) -> None:
        import numpy as np

        self._table = table
        self._chunks = chunks
        self._lists = _NeededLists(table, chunks)
        self.is_live = np.zeros(table.chunks, bool)
        # What snapshots with an accepted loss need, and side streams: it stays if it can be read.
        self.is_left = np.zeros(table.chunks, bool)
        # Bit n: walked as a list of level n. A chunk can be both a list and data.
        self._walked = np.zeros(table.chunks, np.uint32)

    @property
    def missing(self) -> int:
        """Return how many chunks no pack holds."""
        return self._lists.missing

    @property
    def is_list(self) -> Array:
        """Return which chunks were walked as lists."""
        return self._walked != 0

    def add(self, tables: Iterable[RecipeRoot]) -> None:
        """Mark what the snapshots of these section *tables* need. Chunks that no pack holds are
        counted in `missing`; raises CorruptionError if a list is missing or damaged."""
        several = iter(tables)
        while some := list(islice(several, _SNAPSHOTS_AT_ONCE)):
            self._walk(self._lists, some, self.is_live)

    def add_lossy(self, tables: Iterable[RecipeRoot] = ()) -> None:
        """Mark in `is_left` what is left of the snapshots of these *tables*, which may have
        accepted losses, and of all side streams. To be called once, after all calls of `add`."""
        lists = _NeededLists(self._table, self._chunks, is_lossy=True)
        self._walk(lists, tables, self.is_left)
        for numbers, levels in self._lists.sides + lists.sides:
            self._walk_from(lists, numbers, levels, self.is_left)

    def _walk(self, lists: Lists, tables: Iterable[RecipeRoot], marks: Array) -> None:
        numbers, levels, _ = lists.tables(tables)
        self._walk_from(lists, numbers, levels, marks)

    def _walk_from(self, lists: Lists, numbers: Array, levels: Array, marks: Array) -> None:
        waiting = self._reach(numbers, levels, marks)
        while waiting:
            found = lists.under(*waiting.pop())
            waiting += self._reach(found.children, found.levels, marks)

    def _reach(self, numbers: Array, levels: Array, marks: Array) -> list[tuple[Array, ...]]:
        """Mark chunks of the given levels, and return the new lists among them, in parts."""
        import numpy as np

        marks[numbers] = True
        of_lists = levels > 0
        numbers, levels = numbers[of_lists], levels[of_lists].astype(np.uint32)
        # Deduplicated: a number has 31 bits, a level five.
        new = np.unique(numbers.astype(np.int64) << 5 | levels)
        numbers, bits = new >> 5, np.uint32(1) << (new & 31).astype(np.uint32)
        is_new = self._walked[numbers] & bits == 0
        numbers, bits, new = numbers[is_new], bits[is_new], new[is_new]
        np.bitwise_or.at(self._walked, numbers, bits)
        order = self._table.in_place_order(numbers)
        return [*parts(numbers[order], (new & 31)[order])]


class Choice:
    """The chosen frame of each needed chunk.

    For chunk c: `frame[c]` (NOBODY if none can be read), `rank[c]` (NO_RANK then),
    `is_needed[c]`: live, or a base of a needed chunk.
    """

    def __init__(self, table: FrameTable, is_live: Array, is_left: Array | None = None) -> None:
        """Chunks in *is_left* count as live if they can be read. Raises CorruptionError if a live
        chunk cannot be read."""
        import numpy as np

        self._table = table
        self.is_live = is_live
        self.frame = np.full(table.chunks, NOBODY, np.int32)
        self.rank = np.full(table.chunks, NO_RANK, np.uint8)
        for rank, frames in _by_rank(table):
            bases = table.base[frames]
            whole = bases == NOBODY
            with_base = np.flatnonzero(bases >= 0)
            # A base has a smaller rank; one of equal rank must not count.
            whole[with_base] = self.rank[bases[with_base]] < rank
            frames = frames[whole]
            frames = frames[self.rank[table.chunk[frames]] >= rank]
            # Of several frames of a chunk the last assignment wins: that of the newest pack.
            self.frame[table.chunk[frames]] = frames
            self.rank[table.chunk[frames]] = rank
        unread = int((is_live & (self.frame == NOBODY)).sum())
        if unread:
            raise CorruptionError(
                f"{unread} chunks that snapshots need are damaged or missing",
                detail="Nothing was deleted: what mends them may be among what is not needed.",
                hint=VERIFY_FIRST,
            )
        if is_left is not None:
            is_live |= is_left & (self.frame != NOBODY)
        self.is_needed = is_live.copy()
        for rank in range(int(self.rank[is_live].max(initial=0)), 0, -1):
            bases = self.bases(np.flatnonzero(self.is_needed & (self.rank == rank)))
            self.is_needed[bases] = True

    def bases(self, deltas: Array) -> Array:
        """Return the bases of these *deltas* (chunks whose rank is neither 0 nor NO_RANK)."""
        return self._table.base[self.frame[deltas]]

    def frame_bytes(self, chunks: Array) -> Array:
        """Return the sizes in bytes of the frames of *chunks*, all of which have one."""
        return self._table.frame_bytes[self.frame[chunks]]

    def carried(self) -> Array:
        """Return which chunks are needed only as bases."""
        return self.is_needed & ~self.is_live


def _by_rank(table: FrameTable) -> Iterable[tuple[int, Array]]:
    """Yield the sound frames of each rank in order, lowest rank first, some at a time."""
    import numpy as np

    # Readers do not follow deeper frames.
    for rank in range(min(int(table.rank.max(initial=0)) + 1, DELTA_DEPTH_MAX)):
        for start in range(0, len(table), PART):
            part = slice(start, start + PART)
            frames = np.flatnonzero(table.is_sound[part] & (table.rank[part] == rank))
            if len(frames):
                yield rank, frames + start
