"""Checks that all chunks of sections exist, before their first byte is output."""

from __future__ import annotations

from pgsnap.errors import CorruptionError
from pgsnap.model import ChunkId, Section
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import ChunkBatches
from pgsnap.repository.index.index import Index

_CHUNKS_AT_ONCE = 10_000


class Presence:
    """Checks that chunks have frames in packs that exist in their full size. Reads recipes, not
    data; what sections share is checked once."""

    def __init__(self, index: Index, reader: ChunkReader) -> None:
        self._index = index
        self._chunks = ChunkBatches(reader.read, self._look, _CHUNKS_AT_ONCE)
        self._count = self._missing = 0

    def check(self, section: Section) -> None:
        """Raise CorruptionError unless every chunk of *section* exists."""
        self._count = self._missing = 0
        self._chunks.of(section.recipes)
        if self._missing:
            raise CorruptionError(
                f"section {section.name} is damaged",
                detail=f"{self._missing} of its {self._count} chunks are in no sound pack.",
                hint="See what else is damaged, and what mends it: snap verify",
            )

    def _look(self, batch: set[ChunkId]) -> None:
        self._count += len(batch)
        self._missing += len(batch) - len(self._index.present(list(batch)))
