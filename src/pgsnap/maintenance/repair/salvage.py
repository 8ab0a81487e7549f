"""Salvaging frames from a damaged pack: by its table, by the index, and by searching for frames.

A zstd frame contains where it ends and how large its content is, so frames can be found without a
table; the hash of the content is the chunk's name. What is between two such frames may be chunks
that were stored raw.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard
from blake3 import blake3

from pgsnap.errors import CorruptionError, FormatTooNew
from pgsnap.format.envelope import HEAD
from pgsnap.format.recipe import LEVEL, SKETCHES_FIELD, decode_node
from pgsnap.format.record import FIELD
from pgsnap.format.sections import decode_piece
from pgsnap.limits import MIB, PLAIN_BYTES_MAX, RECIPE_LEVELS_MAX
from pgsnap.model import HASH_BYTES, ChunkId, ChunkKind, Cipher, Codec, Frame, Location
from pgsnap.repository.chunks.chunks import ChunkReader

_HELD_BYTES_MAX = 32 * MIB
# Every position is tried if that hashes no more than this.
_TRIED_BYTES_MAX = 16 * MIB
_NODE_START = FIELD.pack(LEVEL, 8)
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Gaps:
    """The gaps between the zstd frames of damaged packs: raw chunks, one after another, with
    unknown ends. A chunk is found by its name, and by its size if that is known."""

    def __init__(self) -> None:
        self._parts: list[tuple[bytes, set[int]]] = []
        self._held_bytes = 0

    def add(self, data: bytes) -> None:
        if data and self._held_bytes + len(data) <= _HELD_BYTES_MAX:
            self._held_bytes += len(data)
            self._parts.append((data, {0, len(data)}))

    def find(self, chunk: ChunkId, size: int | None) -> bytes | None:
        """Return the chunk, or None; one of unknown *size* is searched for as a recipe node.

        In a large gap, only positions next to what was found before, and the gap's ends, are tried.
        """
        for data, bounds in self._parts:
            windows = _nodes(data) if size is None else _windows(len(data), bounds, size)
            for start, end in windows:
                plain = data[start:end]
                if blake3(plain).digest() == chunk:
                    bounds.update((start, end))
                    return plain
        return None


def _windows(length: int, bounds: set[int], size: int) -> Iterator[tuple[int, int]]:
    starts = set(bounds) | {bound - size for bound in bounds}
    if (length - size) * size <= _TRIED_BYTES_MAX:
        starts |= set(range(length - size + 1))
    for start in sorted(starts):
        if 0 <= start <= length - size:
            yield start, start + size


def _nodes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where recipe nodes may be: they begin with their level, then the list of chunks."""
    start = data.find(_NODE_START)
    while start >= 0:
        list_at = start + FIELD.size + 8
        if list_at + FIELD.size > len(data):
            return
        _, list_bytes = FIELD.unpack_from(data, list_at)
        # Followed by their bytes and lines, 8 bytes each.
        end = list_at + 3 * FIELD.size + list_bytes + 2 * 8 * (list_bytes // HASH_BYTES)
        if end <= len(data):
            yield start, end
        if end + FIELD.size <= len(data):
            field, sketches_bytes = FIELD.unpack_from(data, end)
            end += FIELD.size + sketches_bytes
            if field == SKETCHES_FIELD and end <= len(data):
                yield start, end
        start = data.find(_NODE_START, start + 1)


def salvage(
    data: bytes, listed: list[Location], chunks: ChunkReader, gaps: Gaps
) -> Iterator[tuple[Frame, bytes]]:
    """Yield the intact frames in *data*, the bytes of a damaged pack, each with its bytes.

    *listed* are the locations of frames according to its table or the index; others are searched
    for, and what is in between is added to *gaps*. A frame may be yielded twice.
    """
    for location in listed:
        frame = location.frame
        packed = data[location.offset : location.offset + frame.frame_bytes]
        if len(packed) != frame.frame_bytes or frame.chunk_bytes > PLAIN_BYTES_MAX:
            continue
        try:
            found = chunks.check_frame(location, packed)
        except CorruptionError:
            continue
        yield found
    if chunks.scheme.packs is not None:
        # Nothing can be found in sealed bytes without their table.
        return
    gap_start = HEAD.size
    for start, end, plain in _zstd_frames(data):
        gaps.add(data[gap_start:start])
        chunk = blake3(plain).digest()
        kind = _kind(plain)
        frame = Frame(chunk, kind, Codec.ZSTD, Cipher.NONE, 0, None, end - start, len(plain))
        yield frame, data[start:end]
        gap_start = end
    gaps.add(data[gap_start:])


def _zstd_frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and content of every intact zstd frame."""
    start = data.find(_ZSTD_MAGIC)
    while start >= 0:
        found = _decompressed(data, start)
        if found is not None:
            end, plain = found
            yield start, end, plain
        else:
            end = start + 1
        start = data.find(_ZSTD_MAGIC, end)


def _decompressed(data: bytes, start: int) -> tuple[int, bytes] | None:
    window = data[start : start + PLAIN_BYTES_MAX]
    try:
        size = zstandard.get_frame_parameters(window).content_size
        if not 0 < size <= PLAIN_BYTES_MAX:
            return None
        context = zstandard.ZstdDecompressor().decompressobj()
        plain = context.decompress(window)
    except zstandard.ZstdError:
        return None
    if not context.eof or len(plain) != size:
        return None
    return start + len(window) - len(context.unused_data), plain


def _kind(plain: bytes) -> ChunkKind:
    """Return a chunk's kind, judged by its form: data is unlikely to begin like the others."""
    for level in range(1, RECIPE_LEVELS_MAX + 1):
        try:
            decode_node(plain, level)
            return ChunkKind.RECIPE
        except (CorruptionError, FormatTooNew):
            continue
    try:
        if any(decode_piece(plain)):
            return ChunkKind.SECTIONS
    except (CorruptionError, FormatTooNew):
        pass
    return ChunkKind.DATA
