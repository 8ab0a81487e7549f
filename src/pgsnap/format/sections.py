"""The section table of a snapshot (docs/format.md, "Section table")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import PLAIN_ROOT_BYTES, decode_root, encode_root
from pgsnap.format.record import FIELD, RecordReader, RecordWriter
from pgsnap.format.remembered import remembered
from pgsnap.format.roots import Roots
from pgsnap.format.section_names import (
    REMEMBERED,
    REMEMBERED_BYTES_MAX,
    decode_name,
    encode_name,
)
from pgsnap.limits import HELD_BYTES_MAX, SECTION_TABLE_PIECE_BYTES, SNAPSHOT_BYTES_MAX
from pgsnap.model import (
    HASH_BYTES,
    PLAIN_NAMES,
    ChunkId,
    Naming,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
)

(
    NAME,
    PLAIN_BYTES,
    LINES,
    DIGEST,
    SEGMENT,
    ROWS,
    HEAD_BYTES,
    TAIL_BYTES,
    LEAF_DIGEST,
    LEAVES,
    BLOCK_MAP,
    BASELINE,
) = range(1, 13)
_KNOWN = range(NAME, BASELINE + 1)
SIDE_STREAMS = (LEAVES, BLOCK_MAP, BASELINE)
RECIPES = (SEGMENT, *SIDE_STREAMS)
"""The fields that hold recipe roots."""

# Most sections are of rows that were read in one go: all that follows their names, as one struct.
_PLAIN_ROWS = struct.Struct(f"<HIqHIqHI{HASH_BYTES}sHI{PLAIN_ROOT_BYTES}sHIqHIqHIq")
_ROWS_FIELDS = (PLAIN_BYTES, LINES, DIGEST, SEGMENT, ROWS, HEAD_BYTES, TAIL_BYTES)
_ROWS_SIZES = (8, 8, HASH_BYTES, PLAIN_ROOT_BYTES, 8, 8, 8)
_LEAF_DIGEST_IS_DIGEST = FIELD.pack(LEAF_DIGEST, 0)
# Maximum size of a COPY statement and its comment, which readers hold in memory.
_HEAD_BYTES_MAX = 16 * HELD_BYTES_MAX
_LENGTH = struct.Struct("<I")
_WHAT = "a section table"


def encode_section(section: Section) -> bytes:
    """Return the entry of a section: its length, then its record."""
    record = RecordWriter()
    record.raw(NAME, encode_name(section.name))
    record.integer(PLAIN_BYTES, section.plain_bytes)
    record.integer(LINES, section.lines)
    if section.digest is not None:
        record.raw(DIGEST, section.digest)
    for segment in section.segments:
        record.raw(SEGMENT, encode_root(segment.recipe))
    if section.rows is not None:
        record.integer(ROWS, section.rows)
        record.integer(HEAD_BYTES, section.head_bytes)
        record.integer(TAIL_BYTES, section.tail_bytes)
    if section.leaf_digest is not None:
        is_same = section.leaf_digest == section.digest
        record.raw(LEAF_DIGEST, b"" if is_same else section.leaf_digest)
    for number, root in zip(
        SIDE_STREAMS, (section.leaves, section.block_map, section.baseline), strict=True
    ):
        if root is not None:
            record.raw(number, encode_root(root))
    data = record.to_bytes()
    return _LENGTH.pack(len(data)) + data


def _decode_section(data: bytes, what: str) -> Section:
    return _plain_rows(data, what) or _any_section(data, what)


def _plain_rows(data: bytes, what: str) -> Section | None:
    """Return a section of rows that were read in one go, as this version writes it; None if it is
    another kind, or anything is wrong with it."""
    found = _plain_fields(data, what)
    if found is None:
        return None
    name, recipe, fields, has_one_leaf = found
    plain_bytes, lines, digest, _, rows, head_bytes, tail_bytes = fields
    # Of a small table, which is one chunk, both are the same: held once, since there may be very
    # many.
    if recipe.chunk == digest:
        digest = recipe.chunk
    if recipe.plain_bytes == plain_bytes:
        plain_bytes = recipe.plain_bytes
    segments = (Segment(recipe),)
    return Section(
        name,
        plain_bytes,
        lines,
        digest,
        segments,
        rows,
        head_bytes,
        tail_bytes,
        leaf_digest=digest if has_one_leaf else None,
    )


def _plain_fields(
    data: bytes, what: str
) -> tuple[SectionName, RecipeRoot, tuple[Any, ...], bool] | None:
    """Return such a section's name, its recipe, the values of its fields, and whether it is one
    leaf; else None."""
    has_one_leaf = data.endswith(_LEAF_DIGEST_IS_DIGEST)
    start = len(data) - _PLAIN_ROWS.size - len(_LEAF_DIGEST_IS_DIGEST) * has_one_leaf
    if start < FIELD.size or FIELD.unpack_from(data) != (NAME, start - FIELD.size):
        return None
    fields = _PLAIN_ROWS.unpack_from(data, start)
    if fields[::3] != _ROWS_FIELDS or fields[1::3] != _ROWS_SIZES:
        return None
    plain_bytes, lines, _, root, rows, head_bytes, tail_bytes = fields[2::3]
    if not (
        0 <= lines <= plain_bytes <= SNAPSHOT_BYTES_MAX
        and 0 <= rows <= plain_bytes
        and 0 <= head_bytes <= min(plain_bytes, _HEAD_BYTES_MAX)
        and 0 <= tail_bytes <= plain_bytes
    ):
        return None
    name = decode_name(data[FIELD.size : start], what)
    return name, decode_root(root, what), fields[2::3], has_one_leaf


def _any_section(data: bytes, what: str) -> Section:
    record = RecordReader(data, what=what, known=_KNOWN)
    rows = record.optional(ROWS)
    plain_bytes = record.count(PLAIN_BYTES, most=SNAPSHOT_BYTES_MAX)
    name = decode_name(record.raw(NAME), what)
    digest = record.optional(DIGEST, length=HASH_BYTES)
    leaf_digest = record.optional(LEAF_DIGEST)
    if leaf_digest is not None:
        leaf_digest = record.raw(LEAF_DIGEST, length=HASH_BYTES) if leaf_digest else digest
    if digest is None and (leaf_digest is None or rows is None):
        # Only of rows is a part read, and all else is small.
        raise CorruptionError(f"{what} is damaged", detail=f"Section {name} has no digest.")
    leaves, block_map, baseline = (
        decode_root(value, what) if (value := record.optional(number)) is not None else None
        for number in SIDE_STREAMS
    )
    return Section(
        name=name,
        plain_bytes=plain_bytes,
        lines=record.count(LINES, most=plain_bytes),
        digest=digest,
        segments=tuple(Segment(decode_root(value, what)) for value in record.all(SEGMENT)),
        rows=None if rows is None else record.count(ROWS, most=plain_bytes),
        head_bytes=record.count(HEAD_BYTES, 0, most=min(plain_bytes, _HEAD_BYTES_MAX)),
        tail_bytes=record.count(TAIL_BYTES, 0, most=plain_bytes),
        leaf_digest=leaf_digest,
        leaves=leaves,
        block_map=block_map,
        baseline=baseline,
    )


decode_section = remembered(_decode_section, bytes_max=REMEMBERED_BYTES_MAX, most=REMEMBERED)


class SectionChunks(NamedTuple):
    """The chunks at the roots of a section's recipes, and the level of each; and those of its side
    streams."""

    chunks: tuple[ChunkId, ...]
    levels: tuple[int, ...]
    side_chunks: tuple[ChunkId, ...]
    side_levels: tuple[int, ...]


def _decode_chunks(data: bytes, what: str) -> SectionChunks:
    plain = _plain_fields(data, what)
    if plain is not None and (chunk := plain[1].chunk) is not None:
        return SectionChunks((chunk,), (plain[1].level,), (), ())
    section = _decode_section(data, what)
    return SectionChunks(*_chunks(section.recipes), *_chunks(section.side_streams))


def _chunks(roots: Iterable[RecipeRoot]) -> tuple[tuple[ChunkId, ...], tuple[int, ...]]:
    some = [(root.chunk, root.level) for root in roots if root.chunk is not None]
    return tuple(chunk for chunk, _ in some), tuple(level for _, level in some)


_section_chunks = remembered(_decode_chunks, bytes_max=REMEMBERED_BYTES_MAX, most=REMEMBERED)


def pieces(sections: Iterable[Section]) -> Iterator[tuple[bytes, int]]:
    """Yield the pieces of a section table, each with its number of sections."""
    table = SectionTable()
    for section in sections:
        table.add(section)
    yield from table.pieces()


class SectionTable:
    """The sections of a new snapshot, added one by one, and the totals for its manifest.

    It holds the encoded table: some 200 bytes per section. As objects the sections of 200,000
    tables would take 240 MB. *naming* hashes the sections' names, which decide where pieces end.
    """

    def __init__(self, naming: Naming = PLAIN_NAMES) -> None:
        self._naming = naming
        self._pieces: list[tuple[bytes, int]] = []
        self._buffer = bytearray()
        self._in_buffer = 0
        # Encoded when the next one comes, or none will: the last one can be given the baseline.
        self._waiting: Section | None = None
        self.roots = Roots()
        self.section_count = 0
        self.table_count = 0
        self.plain_bytes = 0
        self.rows = 0

    def add(self, section: Section) -> None:
        """Add the next section."""
        kind = section.name.kind
        self.section_count += 1
        # Rows in several parts are still one table.
        self.table_count += kind is SectionKind.DATA and not section.name.part
        self.plain_bytes += section.plain_bytes
        self.rows += section.rows or 0
        self.roots.add(section)
        self._encode_waiting()
        self._waiting = section

    @property
    def last_name(self) -> SectionName:
        """The name of the section that was added last."""
        assert self._waiting is not None
        return self._waiting.name

    def attach_baseline(self, baseline: RecipeRoot) -> None:
        """Attach the side stream that belongs to the snapshot to the last section."""
        assert self._waiting is not None
        self._waiting = replace(self._waiting, baseline=baseline)

    def _encode_waiting(self) -> None:
        section, self._waiting = self._waiting, None
        if section is None:
            return
        self._buffer += encode_section(section)
        self._in_buffer += 1
        # Where a piece ends is determined by the hash of a section's name, so that a changed
        # section changes only its own piece.
        mark = int.from_bytes(self._naming.name(encode_name(section.name))[:4], "little")
        if len(self._buffer) >= SECTION_TABLE_PIECE_BYTES or (
            len(self._buffer) >= SECTION_TABLE_PIECE_BYTES // 8 and mark % 64 == 0
        ):
            self._end_piece()

    def _end_piece(self) -> None:
        self._pieces.append((bytes(self._buffer), self._in_buffer))
        self._buffer.clear()
        self._in_buffer = 0

    def pieces(self) -> Sequence[tuple[bytes, int]]:
        """Return the pieces of the table, each with its number of sections, and complete it."""
        self._encode_waiting()
        if self._buffer:
            self._end_piece()
        return self._pieces

    def __iter__(self) -> Iterator[Section]:
        for piece, _ in self.pieces():
            yield from decode_piece(piece)


def decode_piece(data: bytes) -> Iterator[Section]:
    """Yield the sections of a piece."""
    return (decode_section(entry, _WHAT) for entry in _entries(data))


def decode_roots(data: bytes) -> Iterator[RecipeRoot]:
    """Yield all recipes of a piece's sections, those of side streams included."""
    for section in decode_piece(data):
        yield from section.recipes
        yield from section.side_streams


def piece_chunks(data: bytes) -> Iterator[SectionChunks]:
    """Yield what the sections of a piece list, for code that walks tens of thousands of pieces."""
    return (_section_chunks(entry, _WHAT) for entry in _entries(data))


def changed_entries(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a piece with each entry's record changed."""
    records = map(change, _entries(data))
    return b"".join(_LENGTH.pack(len(record)) + record for record in records)


def _entries(data: bytes) -> Iterator[bytes]:
    unpack, size, end = _LENGTH.unpack_from, _LENGTH.size, len(data)
    position = 0
    while position < end:
        start = position + size
        if start > end:
            raise CorruptionError("a section table is damaged", detail="An entry is cut.")
        position = start + unpack(data, position)[0]
        if position > end:
            raise CorruptionError("a section table is damaged", detail="An entry is cut.")
        yield data[start:position]
