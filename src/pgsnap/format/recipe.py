"""Recipe nodes: lists of chunks, stored as chunks themselves (docs/format.md, "Recipes")."""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence

from pgsnap.errors import CorruptionError
from pgsnap.format.record import FIELD, IGNORABLE, RecordReader, RecordWriter
from pgsnap.limits import (
    NODE_BYTES_MAX,
    RECIPE_ENTRIES_AVG,
    RECIPE_ENTRIES_MAX,
    RECIPE_ENTRIES_MIN,
    RECIPE_LEVELS_MAX,
    SNAPSHOT_BYTES_MAX,
)
from pgsnap.model import HASH_BYTES, ChunkId, RecipeEntry, RecipeRoot

LEVEL, CHUNKS, PLAIN_BYTES, LINES, SKETCHES = range(1, 6)
_KNOWN = range(LEVEL, SKETCHES + 1)
SKETCHES_FIELD = SKETCHES | IGNORABLE

ROOT_CHUNK, ROOT_LEVEL, ROOT_PLAIN_BYTES, ROOT_LINES = range(1, 5)
# A root as this version writes it, decoded in one step: there are hundreds of thousands of them.
_PLAIN_ROOT = struct.Struct(f"<HI{HASH_BYTES}sHIqHIqHIq")
PLAIN_ROOT_BYTES = _PLAIN_ROOT.size
_ROOT_FIELDS = (ROOT_CHUNK, ROOT_LEVEL, ROOT_PLAIN_BYTES, ROOT_LINES)
_ROOT_SIZES = (HASH_BYTES, 8, 8, 8)
PLAIN_ROOT_HEADERS = tuple(map(FIELD.pack, _ROOT_FIELDS, _ROOT_SIZES))


def ends_node(entries_in_node: int, last: ChunkId) -> bool:
    """Return whether a node ends after the entry *last*.

    This depends on the entry's own id, so a changed chunk changes its own node but not the nodes
    after it.
    """
    if entries_in_node < RECIPE_ENTRIES_MIN:
        return False
    if entries_in_node >= RECIPE_ENTRIES_MAX:
        return True
    return int.from_bytes(last[:4], "little") % (RECIPE_ENTRIES_AVG - RECIPE_ENTRIES_MIN) == 0


def encode_node(level: int, entries: Sequence[RecipeEntry]) -> bytes:
    """Return the chunk of a node at *level* (1 lists data chunks)."""
    count = len(entries)
    record = RecordWriter()
    record.integer(LEVEL, level)
    record.raw(CHUNKS, b"".join(entry.chunk for entry in entries))
    record.raw(PLAIN_BYTES, struct.pack(f"<{count}Q", *(entry.plain_bytes for entry in entries)))
    record.raw(LINES, struct.pack(f"<{count}Q", *(entry.lines for entry in entries)))
    width = max(len(entry.sketch) for entry in entries)
    if width:
        sketches = b"".join(entry.sketch.ljust(width, b"\0") for entry in entries)
        record.raw(SKETCHES, sketches, ignorable=True)
    return record.to_bytes()


def decode_node(data: bytes, level: int) -> list[RecipeEntry]:
    """Return the entries of a node that must be at *level*."""
    record = _node(data)
    chunks = _chunks(record, level)
    count = len(chunks) // HASH_BYTES
    plain_bytes = struct.unpack(f"<{count}Q", record.raw(PLAIN_BYTES, length=count * 8))
    lines = struct.unpack(f"<{count}Q", record.raw(LINES, length=count * 8))
    # An empty chunk would only cost readers time, and no writer makes one.
    if min(plain_bytes) < 1 or any(map(operator.gt, lines, plain_bytes)):
        raise CorruptionError("a recipe node is damaged", detail="Its sizes make no sense.")
    if sum(plain_bytes) > SNAPSHOT_BYTES_MAX:
        raise CorruptionError("a recipe node is damaged", detail="It claims too many bytes.")
    sketches = record.optional(SKETCHES) or b""
    width = len(sketches) // count
    if width * count != len(sketches):
        raise CorruptionError("a recipe node is damaged", detail="Its sketches do not fit.")
    return [
        RecipeEntry(
            chunks[i * HASH_BYTES : (i + 1) * HASH_BYTES],
            plain_bytes[i],
            lines[i],
            sketches[i * width : (i + 1) * width],
        )
        for i in range(count)
    ]


def decode_children(data: bytes, level: int) -> bytes:
    """Return the ids of a node's children, one after another: much faster than `decode_node`."""
    return _chunks(_node(data), level)


def _node(data: bytes) -> RecordReader:
    if len(data) > NODE_BYTES_MAX:
        raise CorruptionError("a recipe node is damaged", detail=f"It has {len(data)} bytes.")
    return RecordReader(data, what="a recipe node", known=_KNOWN)


def _chunks(record: RecordReader, level: int) -> bytes:
    chunks = record.raw(CHUNKS)
    if record.integer(LEVEL) != level or len(chunks) % HASH_BYTES or not chunks:
        raise CorruptionError("a recipe node is damaged", detail="It is not of the level expected.")
    if len(chunks) > RECIPE_ENTRIES_MAX * HASH_BYTES:
        raise CorruptionError("a recipe node is damaged", detail="It has too many entries.")
    return chunks


def encode_root(root: RecipeRoot) -> bytes:
    record = RecordWriter()
    if root.chunk is not None:
        record.raw(ROOT_CHUNK, root.chunk)
    record.integer(ROOT_LEVEL, root.level)
    record.integer(ROOT_PLAIN_BYTES, root.plain_bytes)
    record.integer(ROOT_LINES, root.lines)
    return record.to_bytes()


def decode_root(data: bytes, what: str) -> RecipeRoot:
    if len(data) == _PLAIN_ROOT.size:
        fields = _PLAIN_ROOT.unpack(data)
        if fields[::3] == _ROOT_FIELDS and fields[1::3] == _ROOT_SIZES:
            chunk, level, plain_bytes, lines = fields[2::3]
            return checked_root(chunk, level, plain_bytes, lines, what)
    record = RecordReader(data, what=what, known=range(ROOT_CHUNK, ROOT_LINES + 1))
    return checked_root(
        record.optional(ROOT_CHUNK, length=HASH_BYTES),
        record.integer(ROOT_LEVEL),
        record.integer(ROOT_PLAIN_BYTES),
        record.integer(ROOT_LINES),
        what,
    )


def checked_root(
    chunk: ChunkId | None, level: int, plain_bytes: int, lines: int, what: str
) -> RecipeRoot:
    """Return a root of these fields. Raises CorruptionError if they do not fit together."""
    if not 0 <= level <= RECIPE_LEVELS_MAX:
        raise CorruptionError(f"{what} is damaged", detail=f"A recipe has {level} levels.")
    if not 0 <= lines <= plain_bytes <= SNAPSHOT_BYTES_MAX:
        raise CorruptionError(f"{what} is damaged", detail="A recipe's sizes make no sense.")
    if (chunk is None) != (plain_bytes == 0) or (chunk is None and level):
        raise CorruptionError(f"{what} is damaged", detail="A recipe of nothing lists something.")
    return RecipeRoot(chunk, level, plain_bytes, lines)
