"""Marking: what the snapshots of a repository need, and through which frames it is read.

Every list of chunks (a piece of a section table, a recipe node) is walked once, however many
snapshots share it. Of a chunk with several frames one is chosen: the nearest to plain of those that
are sound and whose chain of bases obeys falling ranks to its end; of equals the newest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import islice

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.recipe import decode_children
from pgsnap.format.sections import decode_roots
from pgsnap.limits import DELTA_DEPTH_MAX, RECIPE_LEVELS_MAX
from pgsnap.model import HASH_BYTES, ChunkId, RecipeRoot
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.frame_table import NOBODY, PART, Array, FrameTable

VERIFY_FIRST = "See what is damaged, and what mends it: snap verify"

# Lists under way at once: some 130,000 chunks.
_LISTS_AT_ONCE = 512
_SNAPSHOTS_AT_ONCE = 4096
# What a list is about the size of, so that a batch of reads is no larger than it should be.
_LIST_BYTES = 20_000
# Pieces of section tables have this level, the recipe nodes above them the next ones; recipe nodes
# of sections have levels from 1, data chunks 0.
_PIECE = RECIPE_LEVELS_MAX + 1
NO_RANK = 255
"""Of a chunk that cannot be read: deeper than any."""


class Marker:
    """Walks from snapshots to all that they need. `is_live` tells it for every chunk."""

    def __init__(self, table: FrameTable, chunks: ChunkReader) -> None:
        import numpy as np

        self._table = table
        self._chunks = chunks
        self.is_live = np.zeros(table.chunks, bool)
        # Of what snapshots need whose loss was accepted: it stays where it can be read.
        self.is_left = np.zeros(table.chunks, bool)
        # Bit n: walked as a list of level n. A chunk can be a list and somebody's data.
        self._walked = np.zeros(table.chunks, np.uint32)
        self.lists_read = 0
        self.missing = 0

    def add(self, tables: Iterable[RecipeRoot]) -> None:
        """Mark what the snapshots of these section *tables* need. Chunks that no pack holds are
        counted in `missing`; raises CorruptionError where a list is one of them, or damaged."""
        several = iter(tables)
        while some := list(islice(several, _SNAPSHOTS_AT_ONCE)):
            self._walk(self._reach(_roots(some, _PIECE)))

    def add_lossy(self, tables: Iterable[RecipeRoot]) -> None:
        """Mark in `is_left` what is left of the snapshots of these *tables*: of some of them parts
        are gone, and that is accepted. Comes after all others."""
        marks, missing = self.is_live, self.missing
        self.is_live = self.is_left
        for table in tables:
            waiting = [table]
            with contextlib.suppress(CorruptionError, ObjectNotFound):
                self._walk_lossy(self._reach(_roots(waiting, _PIECE)))
        self.is_live, self.missing = marks, missing

    def _walk_lossy(self, waiting: list[tuple[ChunkId, int]]) -> None:
        """Mark what these lists list, as far as they can be read."""
        while waiting:
            chunk, level = waiting.pop()
            with contextlib.suppress(CorruptionError, ObjectNotFound):
                data = self._chunks.read(chunk)
                if level == 1:
                    self._mark(self._table.numbers_of(decode_children(data, level)))
                    continue
                # One by one: what is missing is left out, and nothing else.
                for listed, below in zip(*_listed(data, level), strict=True):
                    with contextlib.suppress(CorruptionError, ObjectNotFound):
                        waiting += self._reach(([listed], [below]))

    def _walk(self, waiting: list[tuple[ChunkId, int]]) -> None:
        """Mark what these lists list, each a chunk and its level."""
        while waiting:
            batch = waiting[-_LISTS_AT_ONCE:]
            del waiting[-_LISTS_AT_ONCE:]
            wanted = ((level, chunk, _LIST_BYTES) for chunk, level in batch)
            chunks: list[ChunkId] = []
            levels: list[int] = []
            for level, data in self._chunks.read_ahead(wanted):
                self.lists_read += 1
                if level == 1:
                    self._mark(self._table.numbers_of(decode_children(data, level)))
                else:
                    listed, of_levels = _listed(data, level)
                    chunks += listed
                    levels += of_levels
            # Looked up all at once: of a large repository most lists are short.
            waiting += self._reach((chunks, levels))

    def _mark(self, numbers: Array) -> None:
        known = numbers[numbers != NOBODY]
        self.is_live[known] = True
        self.missing += len(numbers) - len(known)

    def _reach(self, found: tuple[list[ChunkId], list[int]]) -> list[tuple[ChunkId, int]]:
        """Mark chunks of the given levels, and return the lists among them that are new."""
        chunks, levels = found
        if not chunks:
            return []
        numbers = self._table.numbers(chunks)
        self._mark(numbers)
        if not any(levels):
            return []
        new = []
        for chunk, level, number in zip(chunks, levels, numbers.tolist(), strict=True):
            if number == NOBODY:
                if level:
                    raise CorruptionError(
                        f"chunk {chunk.hex()[:12]}, a list of chunks, is missing",
                        detail="No sound pack holds it.",
                        hint=VERIFY_FIRST,
                    )
            elif level and not self._walked[number] >> level & 1:
                self._walked[number] |= 1 << level
                new.append((chunk, level))
        return new


def _listed(data: bytes, level: int) -> tuple[list[ChunkId], list[int]]:
    """Return the chunks that a list of *level* lists, and their levels."""
    if level == _PIECE:
        return _roots(decode_roots(data), 0)
    joined = decode_children(data, level - _PIECE if level > _PIECE else level)
    chunks = [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
    return chunks, [level - 1] * len(chunks)


def _roots(roots: Iterable[RecipeRoot], lowest: int) -> tuple[list[ChunkId], list[int]]:
    chunks, levels = [], []
    for root in roots:
        if not 0 <= root.level <= RECIPE_LEVELS_MAX:
            raise CorruptionError("a recipe is damaged", detail=f"It has {root.level} levels.")
        if root.chunk is not None:
            chunks.append(root.chunk)
            levels.append(lowest + root.level)
    return chunks, levels


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
