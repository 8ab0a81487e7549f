"""Is all there that a section needs? Asked before its first byte is given out."""

from __future__ import annotations

from itertools import chain, islice

from pgsnap.errors import CorruptionError
from pgsnap.model import Section
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import check_count, nodes
from pgsnap.repository.index.index import Index

_CHUNKS_AT_ONCE = 10_000


def check_present(section: Section, index: Index, reader: ChunkReader) -> None:
    """Raise CorruptionError unless every chunk of *section* has a frame in a pack that is there, in
    its full size. Reads recipes, not data."""
    for segment in section.segments:
        check_count(segment.recipe, reader.read)
    chunks = chain.from_iterable(nodes(segment.recipe, reader.read) for segment in section.segments)
    count = missing = 0
    # A TiB in one table is four million chunks: never all of them at once.
    while batch := set(islice(chunks, _CHUNKS_AT_ONCE)):
        count += len(batch)
        missing += len(batch) - len(index.present(list(batch)))
    if missing:
        raise CorruptionError(
            f"section {section.name} is damaged",
            detail=f"{missing} of its {count} chunks are in no sound pack.",
            hint="See what else is damaged, and what mends it: snap verify",
        )
