"""Side streams: what belongs to sections and is not part of the dump (docs/format.md).

Losing one is no loss for a restore: whoever reads one gets None, and does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import SIDE_BYTES_MAX
from pgsnap.model import BlockMap, ChunkId, RecipeEntry, RecipeRoot, Section, Snapshot
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import section_pieces, walk


def read_block_map(reader: ChunkReader, section: Section) -> BlockMap | None:
    """Return the block map of a section, None if it has none or it cannot be read."""
    data = _read(reader, section.block_map)
    if data is None or len(data) % 8:
        return None
    return BlockMap(data[: len(data) // 2], data[len(data) // 2 :])


def read_baseline(reader: ChunkReader, snapshot: Snapshot) -> bytes | None:
    """Return the encoded baseline of a snapshot, None if it has none or it cannot be read."""
    last: Section | None = None
    try:
        for _, sections in section_pieces(snapshot.sections_recipe, reader):
            for section in sections:
                last = section
    except (CorruptionError, ObjectNotFound):
        return None
    return _read(reader, last.baseline) if last is not None else None


def _read(reader: ChunkReader, root: RecipeRoot | None) -> bytes | None:
    if root is None or root.plain_bytes > SIDE_BYTES_MAX:
        return None
    parts = []
    try:
        for entry in walk(root, reader.read):
            parts.append(reader.read(entry.chunk, entry.plain_bytes))
    except (CorruptionError, ObjectNotFound):
        return None
    data = b"".join(parts)
    return data if len(data) == root.plain_bytes else None


def nearest(entries: Iterator[RecipeEntry]) -> Callable[[int], ChunkId | None]:
    """Return a function that returns the chunk of *entries* at a place; places only grow."""
    current = next(entries, None)
    end = current.plain_bytes if current is not None else 0

    def chunk_at(place: int) -> ChunkId | None:
        nonlocal current, end
        while current is not None and place >= end and (following := next(entries, None)):
            current = following
            end += following.plain_bytes
        return current.chunk if current is not None else None

    return chunk_at
