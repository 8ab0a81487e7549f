"""Manifests: the encoded form of a snapshot (docs/format.md, "Manifests")."""

from __future__ import annotations

from typing import Any

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import (
    CHECKSUM_BYTES,
    HEAD,
    MANIFEST_VERSION_2,
    VERSION,
    ObjectKind,
    check_head,
    unwrap,
    wrap,
)
from pgsnap.format.origin import decode_origin, decode_system_identifier, encode_origin
from pgsnap.format.recipe import decode_root, encode_root
from pgsnap.format.record import RecordReader, RecordWriter, too_new
from pgsnap.format.remembered import remembered
from pgsnap.format.sections import decode_name, encode_name
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
) = range(1, 20)
_KNOWN = range(DATABASE, STATISTICS_ROOT + 1)

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
    record.raw(ROOT, snapshot.root)
    if snapshot.globals_root is not None:
        record.raw(GLOBALS_ROOT, snapshot.globals_root)
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
    version = VERSION
    for number, root in (
        (EXTENSION_SEQUENCES_ROOT, snapshot.extension_sequences_root),
        (STATISTICS_ROOT, snapshot.statistics_root),
    ):
        if root is not None:
            record.raw(number, root)
            version = MANIFEST_VERSION_2
    return wrap(ObjectKind.MANIFEST, record.to_bytes(), version)


def decode_manifest(
    data: bytes, expected: SnapshotId | None = None, naming: Naming = PLAIN_NAMES
) -> Snapshot:
    """Return the snapshot of a manifest, whose id by *naming* must be *expected* if given."""
    what = f"snapshot {expected.hex()[:12]}" if expected else "a snapshot"
    if expected is not None and snapshot_id(data, naming) != expected:
        raise CorruptionError(f"{what} is damaged", detail="Its bytes do not hash to its name.")
    record = RecordReader(unwrap(ObjectKind.MANIFEST, data, what), what=what, known=_KNOWN)
    return Snapshot(
        **_head_fields(record, what),
        globals_root=record.optional(GLOBALS_ROOT, length=HASH_BYTES),
        section_count=record.count(SECTION_COUNT, most=SECTIONS_MAX),
        origin=decode_origin(record.raw(ORIGIN), what),
        volatile=_decode_all_volatile(record.all(VOLATILE), what),
        wished_tags=tuple(
            value.decode("utf-8", "surrogateescape") for value in record.all(WISHED_TAG)
        ),
        creator=record.plain_text(CREATOR, "", most=MESSAGE_BYTES_MAX),
        extension_sequences_root=record.optional(EXTENSION_SEQUENCES_ROOT, length=HASH_BYTES),
        statistics_root=record.optional(STATISTICS_ROOT, length=HASH_BYTES),
    )


def decode_head(data: bytes, hashed: SnapshotId) -> SnapshotHead:
    """Return the head of the snapshot, without the parts that take most time to decode.

    *hashed* is the `snapshot_id` of *data*: it covers every byte, so the envelope's checksum need
    not be verified.
    """
    what, record = _hashed_record(data, hashed)
    return SnapshotHead(**_head_fields(record, what))


def decode_head_and_server(data: bytes, hashed: SnapshotId) -> tuple[SnapshotHead, str]:
    """Return the same as `decode_head`, and the system identifier in the origin, "" if it has
    none."""
    what, record = _hashed_record(data, hashed)
    server = decode_system_identifier(record.raw(ORIGIN), what)
    return SnapshotHead(**_head_fields(record, what)), server


def _hashed_record(data: bytes, hashed: SnapshotId) -> tuple[str, RecordReader]:
    what = f"snapshot {hashed.hex()[:12]}"
    check_head(ObjectKind.MANIFEST, data, what)
    return what, RecordReader(data[HEAD.size : -CHECKSUM_BYTES], what=what, known=_KNOWN)


def _head_fields(record: RecordReader, what: str) -> dict[str, Any]:
    return {
        "database": record.plain_text(DATABASE, most=MESSAGE_BYTES_MAX),
        "time": from_micros(record.integer(TIME), what),
        "message": record.plain_text(MESSAGE, most=MESSAGE_BYTES_MAX),
        "parent": record.optional(PARENT, length=HASH_BYTES),
        "root": record.raw(ROOT, length=HASH_BYTES),
        "sections_recipe": decode_root(record.raw(SECTIONS_RECIPE), what),
        "table_count": record.count(TABLE_COUNT, most=SECTIONS_MAX),
        "plain_bytes": record.count(PLAIN_BYTES, most=SNAPSHOT_BYTES_MAX),
        "rows": record.count(ROWS, most=SNAPSHOT_BYTES_MAX),
        "stored_bytes": record.count(STORED_BYTES, 0),
        "duration_ms": record.count(DURATION_MS, 0),
    }


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
