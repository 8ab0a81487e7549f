"""The section table of a snapshot, and the root hash (docs/format.md, "Section table")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from sys import intern

from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import PLAIN_ROOT_BYTES, decode_root, encode_root
from pgsnap.format.record import FIELD, RecordReader, RecordWriter, too_new
from pgsnap.format.remembered import remembered
from pgsnap.limits import HELD_BYTES_MAX, KIB, SECTION_TABLE_PIECE_BYTES, SNAPSHOT_BYTES_MAX
from pgsnap.model import (
    HASH_BYTES,
    OUTSIDE_ROOT,
    PLAIN_NAMES,
    Digest,
    Naming,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
)

NAME_KIND, NAME_SCHEMA, NAME_NAME, NAME_PART = range(1, 5)

NAME, PLAIN_BYTES, LINES, DIGEST, SEGMENT, ROWS, HEAD_BYTES, TAIL_BYTES = range(1, 9)
_KNOWN = range(NAME, TAIL_BYTES + 1)

# Most sections are of rows that were read in one go: all that follows their names, as one struct.
_PLAIN_ROWS = struct.Struct(f"<HIqHIqHI{HASH_BYTES}sHI{PLAIN_ROOT_BYTES}sHIqHIqHIq")
_ROWS_FIELDS = (PLAIN_BYTES, LINES, DIGEST, SEGMENT, ROWS, HEAD_BYTES, TAIL_BYTES)
_ROWS_SIZES = (8, 8, HASH_BYTES, PLAIN_ROOT_BYTES, 8, 8, 8)
# Maximum size of a COPY statement and its comment, which readers hold in memory.
_HEAD_BYTES_MAX = 16 * HELD_BYTES_MAX
_LENGTH = struct.Struct("<I")
_WHAT = "a section table"
_ROOT = b"snap root 1\n"
_STATISTICS_ROOT = b"snap statistics root 1\n"
_NAME_BYTES_MAX = 8 * KIB
# Most sections of a snapshot are those of the one before. Larger ones are not cached: snap itself
# writes none.
_REMEMBERED = 10_000
_REMEMBERED_BYTES_MAX = 1 * KIB


def encode_name(name: SectionName) -> bytes:
    is_small = len(name.schema) + len(name.name) <= _REMEMBERED_BYTES_MAX
    return _kept_name(name) if is_small else _encode_name(name)


def _encode_name(name: SectionName) -> bytes:
    record = RecordWriter()
    record.text(NAME_KIND, name.kind)
    if name.schema:
        record.text(NAME_SCHEMA, name.schema)
    if name.name:
        record.text(NAME_NAME, name.name)
    if name.part:
        record.integer(NAME_PART, name.part)
    return record.to_bytes()


_kept_name = lru_cache(maxsize=_REMEMBERED)(_encode_name)


def _decode_name(data: bytes, what: str) -> SectionName:
    record = RecordReader(data, what=what, known=range(NAME_KIND, NAME_PART + 1))
    kind = record.text(NAME_KIND)
    try:
        return SectionName(
            SectionKind(kind),
            # Most tables are in one of a few schemas.
            intern(record.plain_text(NAME_SCHEMA, "", most=_NAME_BYTES_MAX)),
            record.plain_text(NAME_NAME, "", most=_NAME_BYTES_MAX),
            record.count(NAME_PART, 0),
        )
    except ValueError:
        raise too_new(what, f'It has a section of the kind "{kind}".') from None


decode_name = remembered(_decode_name, bytes_max=_REMEMBERED_BYTES_MAX, most=_REMEMBERED)


def encode_section(section: Section) -> bytes:
    """Return the entry of a section: its length, then its record."""
    record = RecordWriter()
    record.raw(NAME, encode_name(section.name))
    record.integer(PLAIN_BYTES, section.plain_bytes)
    record.integer(LINES, section.lines)
    record.raw(DIGEST, section.digest)
    for segment in section.segments:
        record.raw(SEGMENT, encode_root(segment.recipe))
    if section.rows is not None:
        record.integer(ROWS, section.rows)
        record.integer(HEAD_BYTES, section.head_bytes)
        record.integer(TAIL_BYTES, section.tail_bytes)
    data = record.to_bytes()
    return _LENGTH.pack(len(data)) + data


def _decode_section(data: bytes, what: str) -> Section:
    return _plain_rows(data, what) or _any_section(data, what)


def _plain_rows(data: bytes, what: str) -> Section | None:
    """Return a section of rows that were read in one go, as this version writes it; None if it is
    another kind, or anything is wrong with it."""
    start = len(data) - _PLAIN_ROWS.size
    if start < FIELD.size or FIELD.unpack_from(data) != (NAME, start - FIELD.size):
        return None
    fields = _PLAIN_ROWS.unpack_from(data, start)
    if fields[::3] != _ROWS_FIELDS or fields[1::3] != _ROWS_SIZES:
        return None
    plain_bytes, lines, digest, root, rows, head_bytes, tail_bytes = fields[2::3]
    if not (
        0 <= lines <= plain_bytes <= SNAPSHOT_BYTES_MAX
        and 0 <= rows <= plain_bytes
        and 0 <= head_bytes <= min(plain_bytes, _HEAD_BYTES_MAX)
        and 0 <= tail_bytes <= plain_bytes
    ):
        return None
    name = decode_name(data[FIELD.size : start], what)
    recipe = decode_root(root, what)
    # Of a small table, which is one chunk, both are the same: held once, since there may be very
    # many.
    if recipe.chunk == digest:
        digest = recipe.chunk
    if recipe.plain_bytes == plain_bytes:
        plain_bytes = recipe.plain_bytes
    segments = (Segment(recipe),)
    return Section(name, plain_bytes, lines, digest, segments, rows, head_bytes, tail_bytes)


def _any_section(data: bytes, what: str) -> Section:
    record = RecordReader(data, what=what, known=_KNOWN)
    rows = record.optional(ROWS)
    plain_bytes = record.count(PLAIN_BYTES, most=SNAPSHOT_BYTES_MAX)
    return Section(
        name=decode_name(record.raw(NAME), what),
        plain_bytes=plain_bytes,
        lines=record.count(LINES, most=plain_bytes),
        digest=record.raw(DIGEST, length=HASH_BYTES),
        segments=tuple(Segment(decode_root(value, what)) for value in record.all(SEGMENT)),
        rows=None if rows is None else record.count(ROWS, most=plain_bytes),
        head_bytes=record.count(HEAD_BYTES, 0, most=min(plain_bytes, _HEAD_BYTES_MAX)),
        tail_bytes=record.count(TAIL_BYTES, 0, most=plain_bytes),
    )


decode_section = remembered(_decode_section, bytes_max=_REMEMBERED_BYTES_MAX, most=_REMEMBERED)


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
        self._root = blake3(_ROOT)
        self._statistics = blake3(_STATISTICS_ROOT)
        self._outside: dict[SectionKind, Digest] = {}
        self.section_count = 0
        self.table_count = 0
        self.plain_bytes = 0
        self.rows = 0

    def add(self, section: Section) -> None:
        """Add the next section."""
        kind = section.name.kind
        name = encode_name(section.name)
        self.section_count += 1
        # Rows in several parts are still one table.
        self.table_count += kind is SectionKind.DATA and not section.name.part
        self.plain_bytes += section.plain_bytes
        self.rows += section.rows or 0
        if kind not in OUTSIDE_ROOT:
            self._root.update(hashed_part(section))
        elif kind is SectionKind.STATISTICS:
            self._statistics.update(hashed_part(section))
            self._outside[kind] = self._statistics.digest()
        else:
            self._outside.setdefault(kind, section.digest)
        self._buffer += encode_section(section)
        self._in_buffer += 1
        # Where a piece ends is determined by the hash of a section's name, so that a changed
        # section changes only its own piece.
        mark = int.from_bytes(self._naming.name(name)[:4], "little")
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
        if self._buffer:
            self._end_piece()
        return self._pieces

    def __iter__(self) -> Iterator[Section]:
        for piece, _ in self.pieces():
            yield from decode_piece(piece)

    def root(self) -> Digest:
        """Return the hash of the contents, as `root_hash` does."""
        return self._root.digest()

    def outside_root(self, kind: SectionKind) -> Digest | None:
        """Return the root of a kind that the root hash does not cover, as `outside_roots` does."""
        return self._outside.get(kind)


def decode_piece(data: bytes) -> Iterator[Section]:
    """Yield the sections of a piece."""
    return (decode_section(entry, _WHAT) for entry in _entries(data))


def decode_roots(data: bytes) -> Iterator[RecipeRoot]:
    """Yield the recipes of a piece's sections."""
    return (segment.recipe for section in decode_piece(data) for segment in section.segments)


def changed_entries(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a piece with each entry's record changed."""
    records = map(change, _entries(data))
    return b"".join(_LENGTH.pack(len(record)) + record for record in records)


def _entries(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        if position + _LENGTH.size > len(data):
            raise CorruptionError("a section table is damaged", detail="An entry is cut.")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if position + length > len(data):
            raise CorruptionError("a section table is damaged", detail="An entry is cut.")
        yield data[position : position + length]
        position += length


def root_hash(sections: Iterable[Section]) -> Digest:
    """Return the hash of the contents: of all sections except those in OUTSIDE_ROOT, in order.

    It covers names, sizes and digests, not how the text was cut or stored, so it is the same for
    the same dump in every repository.
    """
    hasher = root_hasher()
    for section in sections:
        if section.name.kind not in OUTSIDE_ROOT:
            hasher.update(hashed_part(section))
    return hasher.digest()


def outside_roots(sections: Iterable[Section]) -> dict[SectionKind, Digest]:
    """Return the roots of what the root hash does not cover, one per kind that exists.

    A kind that occurs once has its digest as root; statistics are in several places in a dump.
    """
    table = SectionTable()
    for section in sections:
        if section.name.kind in OUTSIDE_ROOT:
            table.add(section)
    found = ((kind, table.outside_root(kind)) for kind in OUTSIDE_ROOT)
    return {kind: root for kind, root in found if root is not None}


def root_hasher() -> blake3:
    """Return a hasher for the `root_hash`, to be updated with the `hashed_part` of sections."""
    return blake3(_ROOT)


def hashed_part(section: Section) -> bytes:
    """Return the part of a section that a root hash covers."""
    name = encode_name(section.name)
    sizes = _LENGTH.pack(len(name)), struct.pack("<Q", section.plain_bytes)
    return b"".join((sizes[0], name, sizes[1], section.digest))
