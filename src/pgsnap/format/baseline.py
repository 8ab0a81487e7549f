"""What is known of the server at the moment of a snapshot (docs/format.md, "Baselines")."""

from __future__ import annotations

import struct

from pgsnap.errors import CorruptionError
from pgsnap.format.record import RecordReader, RecordWriter
from pgsnap.limits import KIB
from pgsnap.model.baseline import SIGNATURE_BYTES, Baseline, Mark, TableState

SYSTEM_IDENTIFIER, TIMELINE, VERSION, DATABASE_OID, BASE, BOUNDARY = range(1, 7)
MARKS, PROOF, SETTINGS, FINGERPRINT, GLOBALS_FINGERPRINT, TABLE = range(7, 13)
_KNOWN = range(SYSTEM_IDENTIFIER, TABLE + 1)

MARK = struct.Struct("<QQ")
"""A mark: the position in the WAL, the transaction id."""
PROVEN = struct.Struct("<QB")
"""A transaction id, and 1 if it was committed."""
TABLE_HEAD = struct.Struct(f"<IIIQ{SIGNATURE_BYTES}s{SIGNATURE_BYTES}s")
"""A table: OID, file node, tablespace, blocks, signatures of columns and types. Its schema, its
name and the reason why it is always read follow, with a NUL between each."""

_WHAT = "a baseline"
_TEXT_BYTES_MAX = 8 * KIB
_U32_MAX = 2**32 - 1


def encode_baseline(baseline: Baseline) -> bytes:
    record = RecordWriter()
    record.text(SYSTEM_IDENTIFIER, baseline.system_identifier)
    record.integer(TIMELINE, baseline.timeline)
    record.integer(VERSION, baseline.version_num)
    record.integer(DATABASE_OID, baseline.database_oid)
    if baseline.base is not None:
        record.integer(BASE, baseline.base)
    record.integer(BOUNDARY, baseline.boundary)
    record.raw(MARKS, b"".join(MARK.pack(mark.lsn, mark.xid) for mark in baseline.marks))
    record.raw(PROOF, b"".join(PROVEN.pack(xid, done) for xid, done in baseline.proof))
    record.raw(SETTINGS, baseline.settings)
    if baseline.fingerprint is not None:
        record.raw(FINGERPRINT, baseline.fingerprint)
    if baseline.globals_fingerprint is not None:
        record.raw(GLOBALS_FINGERPRINT, baseline.globals_fingerprint)
    for table in baseline.tables:
        record.raw(TABLE, _encode_table(table))
    return record.to_bytes()


def decode_baseline(data: bytes) -> Baseline:
    """Raises CorruptionError, FormatTooNew."""
    record = RecordReader(data, what=_WHAT, known=_KNOWN)
    return Baseline(
        system_identifier=record.plain_text(SYSTEM_IDENTIFIER, most=_TEXT_BYTES_MAX),
        timeline=record.count(TIMELINE, most=_U32_MAX),
        version_num=record.count(VERSION),
        database_oid=record.count(DATABASE_OID, most=_U32_MAX),
        base=record.count(BASE) if record.optional(BASE) is not None else None,
        boundary=record.count(BOUNDARY),
        marks=tuple(Mark(lsn, xid) for lsn, xid in _items(MARK, record.raw(MARKS))),
        proof=tuple((xid, bool(done)) for xid, done in _items(PROVEN, record.raw(PROOF))),
        settings=record.raw(SETTINGS, length=SIGNATURE_BYTES),
        fingerprint=record.optional(FINGERPRINT, length=SIGNATURE_BYTES),
        globals_fingerprint=record.optional(GLOBALS_FINGERPRINT, length=SIGNATURE_BYTES),
        tables=tuple(_decode_table(value) for value in record.all(TABLE)),
    )


def _encode_table(table: TableState) -> bytes:
    head = TABLE_HEAD.pack(
        table.oid, table.relfilenode, table.tablespace, table.blocks, table.columns, table.types
    )
    texts = "\0".join((table.schema, table.name, table.always_read))
    return head + texts.encode("utf-8", "surrogateescape")


def _decode_table(value: bytes) -> TableState:
    if len(value) < TABLE_HEAD.size:
        raise CorruptionError(f"{_WHAT} is damaged", detail="A table in it is cut.")
    oid, relfilenode, tablespace, blocks, columns, types = TABLE_HEAD.unpack_from(value)
    texts = value[TABLE_HEAD.size :].split(b"\0")
    if len(texts) != 3 or any(len(text) > _TEXT_BYTES_MAX for text in texts):
        raise CorruptionError(f"{_WHAT} is damaged", detail="A table in it has no proper name.")
    schema, name, reason = (text.decode("utf-8", "surrogateescape") for text in texts)
    return TableState(oid, schema, name, relfilenode, tablespace, blocks, columns, types, reason)


def _items(layout: struct.Struct, value: bytes) -> list[tuple[int, int]]:
    if len(value) % layout.size:
        raise CorruptionError(f"{_WHAT} is damaged", detail="A list in it is cut.")
    return list(layout.iter_unpack(value))
