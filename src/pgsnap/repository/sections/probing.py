"""Whether blocks of a table that are taken for unchanged hold what is stored of them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.recipe import decode_node
from pgsnap.model import BlockMap, ChangedBlocks, RecipeEntry, Section
from pgsnap.model.block_map import COUNT_BYTES
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.sections.side_streams import read_block_map


def still_holds(reader: ChunkReader, section: Section, read: Iterable[ChangedBlocks]) -> bool:
    """Return whether the blocks that were *read* have the rows that a table's *section* has of
    them. *read* is iterated to its end. What cannot be read of the section holds: that is damage,
    and no change."""
    block_map = read_block_map(reader, section)
    holds = True
    for piece in read:
        if block_map is None or not holds:
            continue
        try:
            holds = _is_stored(reader, section, block_map, piece)
        except (CorruptionError, ObjectNotFound):
            continue
    return holds


def _is_stored(
    reader: ChunkReader, section: Section, block_map: BlockMap, piece: ChangedBlocks
) -> bool:
    first, last = piece.blocks[0], piece.blocks[-1] + 1
    if last > block_map.blocks:
        return False
    counts = slice(COUNT_BYTES * first, COUNT_BYTES * last)
    known = block_map.byte_counts[counts], block_map.row_counts[counts]
    if known != (piece.byte_counts, piece.row_counts):
        return False
    before = array("I", block_map.byte_counts[: counts.start])
    if sys.byteorder == "big":
        before.byteswap()
    start = section.head_bytes + sum(before)
    return text_between(reader, section, start, start + len(piece.text)) == piece.text


def text_between(reader: ChunkReader, section: Section, start: int, stop: int) -> bytes:
    """Return the bytes of a section from *start* to before *stop*; only the chunks and nodes that
    hold them are read. Raises CorruptionError, ObjectNotFound."""
    parts: list[bytes] = []
    place = 0
    for segment in section.segments:
        root = segment.recipe
        if root.chunk is not None:
            top = RecipeEntry(root.chunk, root.plain_bytes, root.lines)
            parts += _between(reader, top, root.level, place, start, stop)
        place += root.plain_bytes
    return b"".join(parts)


def _between(
    reader: ChunkReader, entry: RecipeEntry, level: int, place: int, start: int, stop: int
) -> Iterator[bytes]:
    if place >= stop or place + entry.plain_bytes <= start:
        return
    if not level:
        data = reader.read(entry.chunk, entry.plain_bytes)
        yield data[max(start - place, 0) : stop - place]
        return
    for child in decode_node(reader.read(entry.chunk), level):
        yield from _between(reader, child, level - 1, place, start, stop)
        place += child.plain_bytes
