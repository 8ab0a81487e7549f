"""Manifests: the encoded form of a snapshot (docs/format.md, "Manifests")."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, NamedTuple

from pgsnap.errors import CorruptionError
from pgsnap.format.by_name.origin import decode_origin, decode_system_identifier, encode_origin
from pgsnap.format.by_name.reading import decode_reading, encode_reading
from pgsnap.format.envelope import (
    CHECKSUM_BYTES,
    HEAD,
    MANIFEST_VERSION_2,
    MANIFEST_VERSION_3,
    VERSION,
    ObjectKind,
    check_head,
    refuse_sealed,
    unwrap,
    wrap,
)
from pgsnap.format.recipe import (
    PLAIN_ROOT_BYTES,
    PLAIN_ROOT_HEADERS,
    checked_root,
    decode_root,
    encode_root,
)
from pgsnap.format.record import FIELD, IGNORABLE, RecordReader, RecordWriter, too_new
from pgsnap.format.remembered import remembered
from pgsnap.format.section_names import decode_name, encode_name
from pgsnap.format.times import from_micros, to_micros
from pgsnap.limits import (
    KIB,
    MESSAGE_BYTES_MAX,
    SECTIONS_MAX,
    SNAPSHOT_BYTES_MAX,
    VOLATILE_LINES_MAX,
)
from pgsnap.model import (
    HASH_BYTES,
    PLAIN_NAMES,
    Digest,
    Naming,
    Snapshot,
    SnapshotHead,
    SnapshotId,
    VolatileKind,
    VolatileLine,
)

(
    DATABASE,
    TIME,
    MESSAGE,
    PARENT,
    ROOT,
    GLOBALS_ROOT,
    SECTIONS_RECIPE,
    SECTION_COUNT,
    TABLE_COUNT,
    PLAIN_BYTES,
    ROWS,
    STORED_BYTES,
    DURATION_MS,
    ORIGIN,
    VOLATILE,
    WISHED_TAG,
    CREATOR,
    EXTENSION_SEQUENCES_ROOT,
    STATISTICS_ROOT,
    ALIAS,
    ALIAS_PARENT,
    LEAF_ROOT,
    READING,
    STEMS_FROM,
) = range(1, 25)
_KNOWN = range(DATABASE, STEMS_FROM + 1)

# The fields before the origin as this version writes them, decoded in a few steps: a large
# repository has tens of thousands of manifests.
_TIME_AND_MESSAGE = struct.Struct("<6sqHI")
_PARENT = struct.Struct(f"<6s{HASH_BYTES}s")
_RECIPE_AND_COUNTS = struct.Struct(f"<6s6s{HASH_BYTES}s" + "6sq" * 9)
_TIME_HEADER = FIELD.pack(TIME, 8)
_PARENT_HEADER = FIELD.pack(PARENT, HASH_BYTES)
_ROOT_HEADERS = tuple(FIELD.pack(number, HASH_BYTES) for number in (ROOT, LEAF_ROOT, GLOBALS_ROOT))
_COUNTS_HEADERS = (
    *PLAIN_ROOT_HEADERS,
    *(FIELD.pack(number, 8) for number in (SECTION_COUNT, TABLE_COUNT, PLAIN_BYTES, ROWS)),
    *(FIELD.pack(number | IGNORABLE, 8) for number in (STORED_BYTES, DURATION_MS)),
)
_RECIPE_HEADER = FIELD.pack(SECTIONS_RECIPE, PLAIN_ROOT_BYTES)
_HEAD_NAMES = tuple(field.name for field in dataclasses.fields(SnapshotHead))
_REST = frozenset(
    number | bit
    for number in _KNOWN[ORIGIN - DATABASE :]
    if number != LEAF_ROOT
    for bit in (0, IGNORABLE)
)

VOLATILE_SECTION, VOLATILE_OFFSET, VOLATILE_KIND, VOLATILE_TEXT = range(1, 5)


def snapshot_id(data: bytes, naming: Naming = PLAIN_NAMES) -> SnapshotId:
    """Return the id of the snapshot whose manifest is *data*."""
    return naming.name(data)


def encode_manifest(snapshot: Snapshot) -> bytes:
    """Return the bytes of the snapshot's manifest."""
    record = RecordWriter()
    record.text(DATABASE, snapshot.database)
    record.integer(TIME, to_micros(snapshot.time))
    record.text(MESSAGE, snapshot.message)
    if snapshot.parent is not None:
        record.raw(PARENT, snapshot.parent)
    version = VERSION
    for number, root in (
        (ROOT, snapshot.root),
        (LEAF_ROOT, snapshot.leaf_root),
        (GLOBALS_ROOT, snapshot.globals_root),
    ):
        if root is not None:
            record.raw(number, root)
    record.raw(SECTIONS_RECIPE, encode_root(snapshot.sections_recipe))
    record.integer(SECTION_COUNT, snapshot.section_count)
    record.integer(TABLE_COUNT, snapshot.table_count)
    record.integer(PLAIN_BYTES, snapshot.plain_bytes)
    record.integer(ROWS, snapshot.rows)
    record.integer(STORED_BYTES, snapshot.stored_bytes, ignorable=True)
    record.integer(DURATION_MS, snapshot.duration_ms, ignorable=True)
    record.raw(ORIGIN, encode_origin(snapshot.origin))
    for line in snapshot.volatile:
        record.raw(VOLATILE, _encode_volatile(line))
    for tag in snapshot.wished_tags:
        record.text(WISHED_TAG, tag, ignorable=True)
    record.text(CREATOR, snapshot.creator, ignorable=True)
    for number, root in (
        (EXTENSION_SEQUENCES_ROOT, snapshot.extension_sequences_root),
        (STATISTICS_ROOT, snapshot.statistics_root),
    ):
        if root is not None:
            record.raw(number, root)
            version = MANIFEST_VERSION_2
    for number, other in ((ALIAS, snapshot.alias), (ALIAS_PARENT, snapshot.alias_parent)):
        if other is not None:
            record.raw(number, other, ignorable=True)
    if snapshot.reading is not None:
        record.raw(READING, encode_reading(snapshot.reading), ignorable=True)
    if snapshot.stems_from is not None:
        record.raw(STEMS_FROM, snapshot.stems_from, ignorable=True)
    if snapshot.leaf_root is not None:
        version = MANIFEST_VERSION_3
    return wrap(ObjectKind.MANIFEST, record.to_bytes(), version)


def decode_manifest(
    data: bytes, expected: SnapshotId | None = None, naming: Naming = PLAIN_NAMES
) -> Snapshot:
    """Return the snapshot of a manifest, whose id by *naming* must be *expected* if given."""
    what = f"snapshot {expected.hex()[:12]}" if expected else "a snapshot"
    refuse_sealed(what, data)
    if expected is not None and snapshot_id(data, naming) != expected:
        raise CorruptionError(f"{what} is damaged", detail="Its bytes do not hash to its name.")
    unwrap(ObjectKind.MANIFEST, data, what)
    head, globals_root, section_count, rest = _fields(data, what)
    reading = rest.optional(READING)
    return Snapshot(
        **dict(zip(_HEAD_NAMES, head, strict=True)),
        globals_root=globals_root,
        section_count=section_count,
        origin=decode_origin(rest.raw(ORIGIN), what),
        volatile=_decode_all_volatile(rest.all(VOLATILE), what),
        wished_tags=tuple(
            value.decode("utf-8", "surrogateescape") for value in rest.all(WISHED_TAG)
        ),
        creator=rest.plain_text(CREATOR, "", most=MESSAGE_BYTES_MAX),
        extension_sequences_root=rest.optional(EXTENSION_SEQUENCES_ROOT, length=HASH_BYTES),
        statistics_root=rest.optional(STATISTICS_ROOT, length=HASH_BYTES),
        alias=rest.optional(ALIAS, length=HASH_BYTES),
        alias_parent=rest.optional(ALIAS_PARENT, length=HASH_BYTES),
        reading=decode_reading(reading, what) if reading is not None else None,
    )


def decode_head(data: bytes, hashed: SnapshotId) -> SnapshotHead:
    """Return the head of the snapshot, without the parts that take most time to decode.

    *hashed* is the `snapshot_id` of *data*: it covers every byte, so the envelope's checksum need
    not be verified.
    """
    what = f"snapshot {hashed.hex()[:12]}"
    check_head(ObjectKind.MANIFEST, data, what)
    return _head((_usual(data, what) or _any(data, what)).head)


def quick_message(data: bytes) -> str | None:
    """Return the message of a manifest of which nothing else is looked at, its hash neither; None
    if it does not begin as this version writes it."""
    try:
        number, length = FIELD.unpack_from(data, HEAD.size)
        place = HEAD.size + FIELD.size + length
        time, _, text, length = _TIME_AND_MESSAGE.unpack_from(data, place)
    except struct.error:
        return None
    start = place + _TIME_AND_MESSAGE.size
    if (number, time, text) != (DATABASE, _TIME_HEADER, MESSAGE) or start + length > len(data):
        return None
    return data[start : start + length].decode("utf-8", "surrogateescape")


def decode_indexed(data: bytes, hashed: SnapshotId) -> tuple[SnapshotHead, str, SnapshotId | None]:
    """Return what the index has of a manifest: the same as `decode_head`, the system identifier in
    the origin ("" if it has none), and the alias."""
    what = f"snapshot {hashed.hex()[:12]}"
    check_head(ObjectKind.MANIFEST, data, what)
    head, _, _, rest = _fields(data, what)
    server = decode_system_identifier(rest.raw(ORIGIN), what)
    return _head(head), server, rest.optional(ALIAS, length=HASH_BYTES)


def _head(fields: tuple[Any, ...]) -> SnapshotHead:
    *first, stems_from = fields
    return SnapshotHead(*first, stems_from=stems_from)


class _Fields(NamedTuple):
    """The fields of a `SnapshotHead` in their order, those between them, and the *rest*."""

    head: tuple[Any, ...]
    globals_root: Digest | None
    section_count: int
    rest: RecordReader


class _Usual(NamedTuple):
    """The same; *end* is where the rest begins."""

    head: tuple[Any, ...]
    globals_root: Digest | None
    section_count: int
    end: int


def _fields(data: bytes, what: str) -> _Fields:
    usual = _usual(data, what)
    if usual is not None:
        rest = RecordReader(data[usual.end : -CHECKSUM_BYTES], what=what, known=_KNOWN)
        return _Fields(*usual[:3], rest)
    return _any(data, what)


def _usual(data: bytes, what: str) -> _Usual | None:
    """Return the first fields of a snapshot with a parent as this version writes them; None if they
    are others, or anything is wrong with the record."""
    try:
        number, length = FIELD.unpack_from(data, HEAD.size)
        place = HEAD.size + FIELD.size + length
        label = data[HEAD.size + FIELD.size : place]
        time, micros, text, length = _TIME_AND_MESSAGE.unpack_from(data, place)
        start = place + _TIME_AND_MESSAGE.size
        place = start + length
        message = data[start:place]
        above, parent = _PARENT.unpack_from(data, place)
        place += _PARENT.size
        roots: list[Digest | None] = []
        for header in _ROOT_HEADERS:
            found = None
            if data.startswith(header, place):
                start = place + FIELD.size
                place = start + HASH_BYTES
                found = data[start:place]
            roots.append(found)
        recipe, *fields = _RECIPE_AND_COUNTS.unpack_from(data, place)
    except struct.error:
        return None
    end = place + _RECIPE_AND_COUNTS.size
    chunk, level, all_bytes, lines, sections, tables, plain_bytes, rows, new, took = fields[1::2]
    if not (
        (number, text, time) == (DATABASE, MESSAGE, _TIME_HEADER)
        and above == _PARENT_HEADER
        and roots[:2] != [None, None]
        and recipe == _RECIPE_HEADER
        and tuple(fields[::2]) == _COUNTS_HEADERS
        and len(label) <= MESSAGE_BYTES_MAX
        and length <= MESSAGE_BYTES_MAX
        and b"\0" not in label
        and b"\0" not in message
        and 0 <= sections <= SECTIONS_MAX
        and 0 <= tables <= SECTIONS_MAX
        and 0 <= plain_bytes <= SNAPSHOT_BYTES_MAX
        and 0 <= rows <= SNAPSHOT_BYTES_MAX
        and new >= 0
        and took >= 0
        and (stems_from := _stems_from(data, end)) is not None
    ):
        return None
    head = (
        label.decode("utf-8", "surrogateescape"),
        from_micros(micros, what),
        message.decode("utf-8", "surrogateescape"),
        parent,
        *roots[:2],
        checked_root(chunk, level, all_bytes, lines, what),
        *(tables, plain_bytes, rows, new, took),
        stems_from or None,
    )
    return _Usual(head, roots[2], sections, end)


def _stems_from(data: bytes, place: int) -> bytes | None:
    """Return the value of that field, b"" if there is none. None unless from *place* to the
    checksum there are only whole fields, of the origin and those after it, this one not twice."""
    unpack, size, end = FIELD.unpack_from, FIELD.size, len(data) - CHECKSUM_BYTES
    found = b""
    while place + size <= end:
        number, length = unpack(data, place)
        if number not in _REST:
            return None
        place += size + length
        if number & ~IGNORABLE == STEMS_FROM:
            if found or length != HASH_BYTES:
                return None
            found = data[place - length : place]
    return found if place == end else None


def _any(data: bytes, what: str) -> _Fields:
    record = RecordReader(data[HEAD.size : -CHECKSUM_BYTES], what=what, known=_KNOWN)
    root, leaf_root = (record.optional(number, length=HASH_BYTES) for number in (ROOT, LEAF_ROOT))
    head = (
        record.plain_text(DATABASE, most=MESSAGE_BYTES_MAX),
        from_micros(record.integer(TIME), what),
        record.plain_text(MESSAGE, most=MESSAGE_BYTES_MAX),
        record.optional(PARENT, length=HASH_BYTES),
        # One of them is there.
        root if leaf_root is not None else record.raw(ROOT, length=HASH_BYTES),
        leaf_root,
        decode_root(record.raw(SECTIONS_RECIPE), what),
        record.count(TABLE_COUNT, most=SECTIONS_MAX),
        record.count(PLAIN_BYTES, most=SNAPSHOT_BYTES_MAX),
        record.count(ROWS, most=SNAPSHOT_BYTES_MAX),
        record.count(STORED_BYTES, 0),
        record.count(DURATION_MS, 0),
        record.optional(STEMS_FROM, length=HASH_BYTES),
    )
    globals_root = record.optional(GLOBALS_ROOT, length=HASH_BYTES)
    return _Fields(head, globals_root, record.count(SECTION_COUNT, most=SECTIONS_MAX), record)


def _encode_volatile(line: VolatileLine) -> bytes:
    record = RecordWriter()
    record.raw(VOLATILE_SECTION, encode_name(line.section))
    record.integer(VOLATILE_OFFSET, line.offset)
    record.text(VOLATILE_KIND, line.kind)
    record.raw(VOLATILE_TEXT, line.text)
    return record.to_bytes()


def _decode_all_volatile(values: list[bytes], what: str) -> tuple[VolatileLine, ...]:
    if len(values) > VOLATILE_LINES_MAX or max(map(len, values), default=0) > 64 * KIB:
        raise CorruptionError(f"{what} is damaged", detail="Its volatile lines make no sense.")
    return tuple(_volatile(value, what) for value in values)


def _decode_volatile(data: bytes, what: str) -> VolatileLine:
    record = RecordReader(data, what=what, known=range(VOLATILE_SECTION, VOLATILE_TEXT + 1))
    text = record.text(VOLATILE_KIND)
    try:
        kind = VolatileKind(text)
    except ValueError:
        raise too_new(what, f'It has a volatile line of the kind "{text}".') from None
    return VolatileLine(
        decode_name(record.raw(VOLATILE_SECTION), what),
        record.count(VOLATILE_OFFSET, most=SNAPSHOT_BYTES_MAX),
        kind,
        record.raw(VOLATILE_TEXT),
    )


_volatile = remembered(_decode_volatile, bytes_max=1 * KIB, most=1000)
