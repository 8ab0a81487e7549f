"""Stored names of sections (docs/format.md, "Section table")."""

from __future__ import annotations

from functools import lru_cache
from sys import intern

from pgsnap.format.record import RecordReader, RecordWriter, too_new
from pgsnap.format.remembered import remembered
from pgsnap.limits import KIB
from pgsnap.model import SectionKind, SectionName

NAME_KIND, NAME_SCHEMA, NAME_NAME, NAME_PART = range(1, 5)

_NAME_BYTES_MAX = 8 * KIB
# Most sections of a snapshot are those of the one before. Larger names are not cached: snap itself
# writes none.
REMEMBERED = 10_000
REMEMBERED_BYTES_MAX = 1 * KIB


def encode_name(name: SectionName) -> bytes:
    is_small = len(name.schema) + len(name.name) <= REMEMBERED_BYTES_MAX
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


_kept_name = lru_cache(maxsize=REMEMBERED)(_encode_name)


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


decode_name = remembered(_decode_name, bytes_max=REMEMBERED_BYTES_MAX, most=REMEMBERED)
