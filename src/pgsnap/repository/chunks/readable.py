"""Finds which of very many chunks are readable according to the index, visiting each only once.

`Index.known` follows the chain of each chunk to its end. Chunks of consecutive snapshots are in the
same chains.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import ChunkId
from pgsnap.repository.index.index import Index

# Some 150 bytes each: 15 MB.
_REMEMBERED_MAX = 100_000
# The ranks of a plain frame and of an unreadable chunk.
_PLAIN = -1
_UNREADABLE = DELTA_DEPTH_MAX


class ReadableChunks:
    """The ranks of chunks: the depth of the shallowest frame from which a chunk can be read. That
    takes a sound frame which is plain, or deeper than the rank of its base."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._ranks: dict[ChunkId, int] = {}

    def known(self, chunks: Iterable[ChunkId]) -> set[ChunkId]:
        """Return the same as `Index.known` for *chunks*."""
        wanted = set(chunks)
        new = wanted - self._ranks.keys()
        if new and len(self._ranks) >= _REMEMBERED_MAX:
            self._ranks.clear()
            new = wanted
        if new:
            self._take(new)
        return {chunk for chunk in wanted if self._ranks[chunk] < _UNREADABLE}

    def forget(self) -> None:
        """Clear the cache, since new damage was found."""
        self._ranks.clear()

    def _take(self, chunks: Collection[ChunkId]) -> None:
        """Determine the ranks of *chunks* and of the bases in their chains."""
        ranks = self._ranks
        found: list[tuple[int, ChunkId, ChunkId | None]] = []
        waiting: Collection[ChunkId] = chunks
        while waiting:
            ranks.update(dict.fromkeys(waiting, _UNREADABLE))
            rows = self._index.sound_frames(list(waiting))
            found += rows
            waiting = {base for _, _, base in rows if base is not None and base not in ranks}
        # Shallowest first: a frame's base is less deep, so its rank is known by then.
        for depth, chunk, base in sorted(found, key=_depth):
            if base is None or ranks[base] < depth < ranks[chunk]:
                ranks[chunk] = min(ranks[chunk], depth if base is not None else _PLAIN)


def _depth(frame: tuple[int, ChunkId, ChunkId | None]) -> int:
    depth, _, base = frame
    return _PLAIN if base is None else depth
