"""The chunks of an earlier version of a segment, which are most likely to come again.

If the hash shows that a chunk is the expected one, its cut need not be searched for, which is two
thirds of the chunker's work. Its cut is the one that the chunker would have found, unless that was
by rules 2 to 4 (see `rows`) and the data after the chunk has changed; then it is as good as any
other. The last chunk is never expected: it ended with the segment, not at a cut chosen by its rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from pgsnap.model import ChunkId, RecipeEntry

# After a change, the point where the earlier version continues is searched for among this many
# chunks.
_LOOKED_AT = 64
# If none of them occurs among this many new chunks, the rest is cut without expectations.
_PATIENCE = 2 * _LOOKED_AT


class Expected:
    """The chunks of the earlier version, *entries*, in order. It reads them a few at a time."""

    def __init__(self, entries: Iterator[RecipeEntry]) -> None:
        self._entries = entries
        self._coming: deque[RecipeEntry] = deque()
        self._is_lost = False
        self._others = 0
        self._fill()

    @property
    def next(self) -> RecipeEntry | None:
        """Return the chunk expected next; None if nothing is known."""
        return self._coming[0] if len(self._coming) > 1 and not self._is_lost else None

    @property
    def wants_names(self) -> bool:
        """Return whether `find` should be called with the chunks that come instead."""
        return self._is_lost and self._others < _PATIENCE and len(self._coming) > 1

    def came(self) -> None:
        """Record that the next chunk was the expected one."""
        self._coming.popleft()
        self._fill()

    def missed(self) -> None:
        """Record that it was not."""
        self._is_lost = True
        self._others = 0

    def find(self, chunk: ChunkId) -> None:
        """Continue after *chunk*, which has just come, if the earlier version had it nearby."""
        for place, entry in enumerate(self._coming):
            if entry.chunk == chunk:
                self._coming = deque(islice(self._coming, place + 1, None))
                self._is_lost = False
                self._fill()
                return
        self._others += 1

    def _fill(self) -> None:
        self._coming.extend(islice(self._entries, _LOOKED_AT - len(self._coming)))
