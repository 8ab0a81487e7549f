"""The small objects: config, tags and notes (docs/format.md, "Config", "Tags", "Notes")."""

from __future__ import annotations

import struct

from pgsnap.errors import CorruptionError
from pgsnap.format.by_name.forms import load_json
from pgsnap.format.by_name.origin import canonical_json
from pgsnap.format.envelope import (
    CHECKSUM_BYTES,
    ObjectKind,
    checksum,
    head,
    refuse_sealed,
    unwrap,
    wrap,
)
from pgsnap.format.record import FIELD, RecordReader, RecordWriter, too_new
from pgsnap.format.times import from_micros, to_micros
from pgsnap.limits import MESSAGE_BYTES_MAX, PACK_BYTES_MAX, PLAIN_BYTES_MAX
from pgsnap.model import (
    HASH_BYTES,
    PLAIN_NAMES,
    ChunkerParams,
    Cipher,
    Encryption,
    Naming,
    Note,
    RepositoryConfig,
    Tag,
)
from pgsnap.patterns import regex

(
    CONFIG_ID,
    CONFIG_CREATED,
    CONFIG_CHUNK_MIN,
    CONFIG_CHUNK_AVG,
    CONFIG_CHUNK_MAX,
    CONFIG_PACK_BYTES,
    CONFIG_ZSTD_LEVEL,
) = range(1, 8)
CONFIG_TAG_GENERATIONS, CONFIG_CIPHER, CONFIG_FINGERPRINT, CONFIG_ONE_WRITER = range(8, 12)

TAG_DATABASE, TAG_NAME, TAG_SNAPSHOT, TAG_TIME = range(1, 5)

NOTE_KIND, NOTE_DATABASE, NOTE_TIME, NOTE_SNAPSHOT, NOTE_BODY = range(1, 6)

# How a tag begins, and what follows its names.
_TAG_HEAD = head(ObjectKind.TAG)
_SNAPSHOT_AND_TIME = struct.Struct(f"<6s{HASH_BYTES}s6sq")
_USUAL_HEADERS = FIELD.pack(TAG_SNAPSHOT, HASH_BYTES), FIELD.pack(TAG_TIME, 8)

_REPOSITORY_ID = regex(r"[0-9A-Za-z]{1,64}")


def encode_config(config: RepositoryConfig) -> bytes:
    record = RecordWriter()
    record.text(CONFIG_ID, config.repository_id)
    record.integer(CONFIG_CREATED, to_micros(config.created))
    record.integer(CONFIG_CHUNK_MIN, config.chunker.min_bytes)
    record.integer(CONFIG_CHUNK_AVG, config.chunker.avg_bytes)
    record.integer(CONFIG_CHUNK_MAX, config.chunker.max_bytes)
    record.integer(CONFIG_PACK_BYTES, config.pack_bytes)
    record.integer(CONFIG_ZSTD_LEVEL, config.zstd_level, ignorable=True)
    if config.tag_generations:
        record.integer(CONFIG_TAG_GENERATIONS, 1)
    if config.encryption is not None:
        record.integer(CONFIG_CIPHER, config.encryption.cipher)
        record.raw(CONFIG_FINGERPRINT, config.encryption.fingerprint)
    if config.one_writer:
        record.integer(CONFIG_ONE_WRITER, 1)
    return wrap(ObjectKind.CONFIG, record.to_bytes())


def decode_config(data: bytes) -> RepositoryConfig:
    what = "the repository's config"
    payload = unwrap(ObjectKind.CONFIG, data, what)
    record = RecordReader(payload, what=what, known=range(CONFIG_ID, CONFIG_ONE_WRITER + 1))
    chunker = ChunkerParams(
        record.integer(CONFIG_CHUNK_MIN),
        record.integer(CONFIG_CHUNK_AVG),
        record.integer(CONFIG_CHUNK_MAX),
    )
    least, mean, most = chunker.min_bytes, chunker.avg_bytes, chunker.max_bytes
    if not 0 < least < mean < most <= PLAIN_BYTES_MAX or most - least < 2 * (mean - least):
        raise CorruptionError(f"{what} is damaged", detail="Its chunk sizes make no sense.")
    pack_bytes = record.count(CONFIG_PACK_BYTES, most=PACK_BYTES_MAX)
    repository_id = record.text(CONFIG_ID)
    # It becomes part of a file name: that of the index in the user's cache folder.
    if not _REPOSITORY_ID.fullmatch(repository_id):
        raise CorruptionError(f"{what} is damaged", detail="Its identity makes no sense.")
    return RepositoryConfig(
        repository_id=repository_id,
        created=from_micros(record.integer(CONFIG_CREATED), what),
        chunker=chunker,
        pack_bytes=pack_bytes,
        zstd_level=record.count(CONFIG_ZSTD_LEVEL, 3, most=22),
        tag_generations=record.count(CONFIG_TAG_GENERATIONS, 0, most=1) == 1,
        one_writer=record.count(CONFIG_ONE_WRITER, 0, most=1) == 1,
        encryption=_encryption(record, what),
    )


def _encryption(record: RecordReader, what: str) -> Encryption | None:
    cipher = record.count(CONFIG_CIPHER, Cipher.NONE)
    if cipher not in (Cipher.NONE, Cipher.AES_256_GCM):
        raise too_new(what, f"Its cipher is number {cipher}.")
    fingerprint = record.optional(CONFIG_FINGERPRINT, length=HASH_BYTES)
    if (cipher == Cipher.NONE) != (fingerprint is None):
        raise CorruptionError(f"{what} is damaged", detail="Cipher and fingerprint go together.")
    return None if fingerprint is None else Encryption(Cipher(cipher), fingerprint)


def encode_tag(tag: Tag) -> bytes:
    record = RecordWriter()
    record.text(TAG_DATABASE, tag.database)
    record.text(TAG_NAME, tag.name)
    record.raw(TAG_SNAPSHOT, tag.snapshot)
    record.integer(TAG_TIME, to_micros(tag.time))
    return wrap(ObjectKind.TAG, record.to_bytes())


def usual_tag(data: bytes, database: str, name: str, what: str) -> Tag | None:
    """Return the tag of this name if *data* is what `encode_tag` writes for it, without looking at
    each field; None if it is anything else: then `decode_tag` says what. There may be thousands."""
    end = len(data) - CHECKSUM_BYTES
    start = end - _SNAPSHOT_AND_TIME.size
    if start < 0 or data[end:] != checksum(data[:end]):
        return None
    label = database.encode("utf-8", "surrogateescape")
    tag = name.encode("utf-8", "surrogateescape")
    if max(len(label), len(tag)) > MESSAGE_BYTES_MAX or b"\0" in label + tag:
        return None
    names = (FIELD.pack(TAG_DATABASE, len(label)), label, FIELD.pack(TAG_NAME, len(tag)), tag)
    of_snapshot, snapshot, of_time, micros = _SNAPSHOT_AND_TIME.unpack_from(data, start)
    headers = _TAG_HEAD + b"".join(names), of_snapshot, of_time
    if headers != (data[:start], *_USUAL_HEADERS):
        return None
    return Tag(database, name, snapshot, from_micros(micros, what))


def decode_tag(data: bytes, what: str) -> Tag:
    refuse_sealed(what, data)
    payload = unwrap(ObjectKind.TAG, data, what)
    record = RecordReader(payload, what=what, known=range(TAG_DATABASE, TAG_TIME + 1))
    return Tag(
        record.plain_text(TAG_DATABASE, most=MESSAGE_BYTES_MAX),
        record.plain_text(TAG_NAME, most=MESSAGE_BYTES_MAX),
        record.raw(TAG_SNAPSHOT, length=HASH_BYTES),
        from_micros(record.integer(TAG_TIME), what),
    )


def encode_note(note: Note) -> bytes:
    record = RecordWriter()
    record.text(NOTE_KIND, note.kind)
    record.text(NOTE_DATABASE, note.database)
    record.integer(NOTE_TIME, to_micros(note.time))
    if note.snapshot is not None:
        record.raw(NOTE_SNAPSHOT, note.snapshot)
    record.raw(NOTE_BODY, canonical_json(note.body))
    return wrap(ObjectKind.NOTE, record.to_bytes())


def note_id(data: bytes, naming: Naming = PLAIN_NAMES) -> bytes:
    return naming.name(data)


def decode_note(data: bytes, what: str) -> Note:
    refuse_sealed(what, data)
    payload = unwrap(ObjectKind.NOTE, data, what)
    record = RecordReader(payload, what=what, known=range(NOTE_KIND, NOTE_BODY + 1))
    try:
        body = load_json(record.raw(NOTE_BODY))
    except ValueError as error:
        raise CorruptionError(f"{what} is damaged", detail=f"Its body: {error}.") from None
    if not isinstance(body, dict):
        raise CorruptionError(f"{what} is damaged", detail="Its body is no JSON object.")
    return Note(
        record.plain_text(NOTE_KIND, most=MESSAGE_BYTES_MAX),
        record.plain_text(NOTE_DATABASE, most=MESSAGE_BYTES_MAX),
        from_micros(record.integer(NOTE_TIME), what),
        record.optional(NOTE_SNAPSHOT, length=HASH_BYTES),
        body,
    )
