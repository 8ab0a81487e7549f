"""Checks that all chunks of sections exist, before their first byte is output, and before a later
snapshot takes them over unread."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.model import ChunkId, Section, SectionName
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


def lost_sections(
    index: Index, reader: ChunkReader, sections: Sequence[Section]
) -> frozenset[SectionName]:
    """Return which of *sections* have chunks, those of side streams too, that cannot be read, as
    far as is known."""
    if _are_present(index, reader, sections):
        return frozenset()
    # Each by itself: several may share what is lost.
    return frozenset(
        section.name for section in sections if not _are_present(index, reader, [section])
    )


def _are_present(index: Index, reader: ChunkReader, sections: Sequence[Section]) -> bool:
    missing = 0

    def look(batch: set[ChunkId]) -> None:
        nonlocal missing
        missing += len(batch) - len(index.present(list(batch)))

    roots = (root for section in sections for root in (*section.recipes, *section.side_streams))
    try:
        ChunkBatches(reader.read, look, _CHUNKS_AT_ONCE).of(roots)
    except (CorruptionError, ObjectNotFound):
        return False
    return not missing
