"""Marking: what the snapshots of a repository need, and through which frames it is read.

Every list of chunks (a piece of a section table, a recipe node) is walked once, however many
snapshots share it. Of a chunk with several frames one is chosen: the nearest to plain of those that
are sound and whose chain of bases obeys falling ranks to its end; of equals the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from pgsnap.errors import CorruptionError
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import RecipeRoot
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.frame_table import NOBODY, PART, Array, FrameTable
from pgsnap.repository.lists.lists import Lists, parts

VERIFY_FIRST = "See what is damaged, and what mends it: snap verify"

_SNAPSHOTS_AT_ONCE = 4096
NO_RANK = 255
"""Of a chunk that cannot be read: deeper than any."""


class Marker:
    """Walks from snapshots to all that they need. `is_live` tells it for every chunk."""

    def __init__(self, table: FrameTable, chunks: ChunkReader) -> None:
        import numpy as np

        self._table = table
        self._chunks = chunks
        self._lists = Lists(table, chunks)
        self.is_live = np.zeros(table.chunks, bool)
        # Of what snapshots need whose loss was accepted: it stays where it can be read.
        self.is_left = np.zeros(table.chunks, bool)
        # Bit n: walked as a list of level n. A chunk can be a list and somebody's data.
        self._walked = np.zeros(table.chunks, np.uint32)

    @property
    def missing(self) -> int:
        """How many chunks no pack holds."""
        return self._lists.missing

    def add(self, tables: Iterable[RecipeRoot]) -> None:
        """Mark what the snapshots of these section *tables* need. Chunks that no pack holds are
        counted in `missing`; raises CorruptionError where a list is one of them, or damaged."""
        several = iter(tables)
        while some := list(islice(several, _SNAPSHOTS_AT_ONCE)):
            self._walk(self._lists, some, self.is_live)

    def add_lossy(self, tables: Iterable[RecipeRoot]) -> None:
        """Mark in `is_left` what is left of the snapshots of these *tables*: of some of them parts
        are gone, and that is accepted. Comes after all others."""
        self._walk(Lists(self._table, self._chunks, is_lossy=True), tables, self.is_left)

    def _walk(self, lists: Lists, tables: Iterable[RecipeRoot], marks: Array) -> None:
        numbers, levels, _ = lists.tables(tables)
        waiting = self._reach(numbers, levels, marks)
        while waiting:
            found = lists.under(*waiting.pop())
            waiting += self._reach(found.children, found.levels, marks)

    def _reach(self, numbers: Array, levels: Array, marks: Array) -> list[tuple[Array, ...]]:
        """Mark chunks of the given levels, and return the lists among them that are new, in
        parts."""
        import numpy as np

        marks[numbers] = True
        of_lists = levels > 0
        numbers, levels = numbers[of_lists], levels[of_lists].astype(np.uint32)
        # Each once: a number has 31 bits, a level five.
        new = np.unique(numbers.astype(np.int64) << 5 | levels)
        numbers, bits = new >> 5, np.uint32(1) << (new & 31).astype(np.uint32)
        is_new = self._walked[numbers] & bits == 0
        numbers, bits, new = numbers[is_new], bits[is_new], new[is_new]
        np.bitwise_or.at(self._walked, numbers, bits)
        return [*parts(numbers, new & 31)]


class Choice:
    """One frame for each chunk that is needed.

    Of chunk c: `frame[c]` (NOBODY where none can be read), `rank[c]` (NO_RANK then),
    `is_needed[c]`: live, or a base of what is needed.
    """

    def __init__(self, table: FrameTable, is_live: Array, is_left: Array | None = None) -> None:
        """What *is_left* counts as live where it can be read. Raises CorruptionError where a live
        chunk cannot be."""
        import numpy as np

        self._table = table
        self.is_live = is_live
        self.frame = np.full(table.chunks, NOBODY, np.int32)
        self.rank = np.full(table.chunks, NO_RANK, np.uint8)
        for rank, frames in _by_rank(table):
            bases = table.base[frames]
            whole = bases == NOBODY
            with_base = np.flatnonzero(bases >= 0)
            # A base is less deep; what is equally deep must not count.
            whole[with_base] = self.rank[bases[with_base]] < rank
            frames = frames[whole]
            frames = frames[self.rank[table.chunk[frames]] >= rank]
            # Of frames of the same chunk the last assigned stays: that of the newest pack.
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
        """Return what these *deltas* (chunks whose rank is neither 0 nor NO_RANK) stand on."""
        return self._table.base[self.frame[deltas]]

    def frame_bytes(self, chunks: Array) -> Array:
        """Return the bytes of the frames of *chunks*, all of which have one."""
        return self._table.frame_bytes[self.frame[chunks]]

    def carried(self) -> Array:
        """Return which chunks are needed only as bases."""
        return self.is_needed & ~self.is_live


def _by_rank(table: FrameTable) -> Iterable[tuple[int, Array]]:
    """Yield the sound frames of each rank, in their order, lowest rank first, some at a time."""
    import numpy as np

    # Readers follow no frame that is deeper.
    for rank in range(min(int(table.rank.max(initial=0)) + 1, DELTA_DEPTH_MAX)):
        for start in range(0, len(table), PART):
            part = slice(start, start + PART)
            frames = np.flatnonzero(table.is_sound[part] & (table.rank[part] == rank))
            if len(frames):
                yield rank, frames + start
