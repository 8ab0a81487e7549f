"""What an earlier version of a segment was cut to, and so most likely is again.

A chunk that is the one expected, known by its hash, need not be searched for its cut: two thirds of
the chunker's work. Its cut is the one that the chunker would have found, unless that was one of
rules 2 to 4 (see `rows`) and what comes after the chunk has changed; then it is as good as another.
The last chunk is never expected: it ended where the segment did, not where its rows chose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from pgsnap.model import ChunkId, RecipeEntry

# After a change, the place where the earlier version goes on is looked for among so many chunks.
_LOOKED_AT = 64
# Without any of them among so many new ones, what is left is cut without expectations.
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
        """The chunk that should come now; None where nothing is known."""
        return self._coming[0] if len(self._coming) > 1 and not self._is_lost else None

    @property
    def wants_names(self) -> bool:
        """Whether `find` should be told which chunks come instead."""
        return self._is_lost and self._others < _PATIENCE and len(self._coming) > 1

    def came(self) -> None:
        """Hear that the next chunk was the expected one."""
        self._coming.popleft()
        self._fill()

    def missed(self) -> None:
        """Hear that it was not."""
        self._is_lost = True
        self._others = 0

    def find(self, chunk: ChunkId) -> None:
        """Go on behind *chunk*, which has come, if the earlier version had it hereabouts."""
        for place, entry in enumerate(self._coming):
            if entry.chunk == chunk:
                self._coming = deque(islice(self._coming, place + 1, None))
                self._is_lost = False
                self._fill()
                return
        self._others += 1

    def _fill(self) -> None:
        self._coming.extend(islice(self._entries, _LOOKED_AT - len(self._coming)))
