"""The bytes of every stored form, kept for ever: written the same, read the same, found when
damaged, and met rightly by a version that is older than what wrote them."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from blake3 import blake3

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError, FormatTooNew
from pgsnap.format import pack
from pgsnap.format.envelope import HEAD, ObjectKind, check_head, checksum, head, wrap
from pgsnap.format.manifest import decode_manifest, encode_manifest, snapshot_id
from pgsnap.format.record import IGNORABLE, RecordWriter
from pgsnap.format.small import note_id
from pgsnap.model import Codec
from support.documents import examples, values
from support.documents.examples import EXAMPLES, FOLDER, payload, record_fields, stored

IGNORABLE_FIELD = struct.pack("<HI", 0x7FF0 | IGNORABLE, 3) + b"new"
CRITICAL_FIELD = struct.pack("<HI", 0x7FF0, 3) + b"new"
SECTION_LENGTH = struct.Struct("<I")

# Which field of which form holds a code.
ENVELOPES = {
    "config": ObjectKind.CONFIG,
    "config-encrypted": ObjectKind.CONFIG,
    "config-remote": ObjectKind.CONFIG,
    "config-one-writer": ObjectKind.CONFIG,
    "manifest": ObjectKind.MANIFEST,
    "manifest-2": ObjectKind.MANIFEST,
    "manifest-3": ObjectKind.MANIFEST,
    "manifest-leaf-root": ObjectKind.MANIFEST,
    "manifest-alias": ObjectKind.MANIFEST,
    "manifest-stems-from": ObjectKind.MANIFEST,
    "tag": ObjectKind.TAG,
    "gone-tag": ObjectKind.GONE_TAG,
    "announcement": ObjectKind.ANNOUNCEMENT,
    "publication": ObjectKind.PUBLICATION,
    "note": ObjectKind.NOTE,
}
NEWEST = {
    **dict.fromkeys(
        ("manifest", "manifest-2", "manifest-3", "manifest-alias", "manifest-leaf-root"),
        "manifest-stems-from",
    ),
    "section": "section-3",
    **dict.fromkeys(("config", "config-encrypted", "config-remote"), "config-one-writer"),
}
VERSIONS = {
    **dict.fromkeys(("manifest-2", "manifest-alias"), 2),
    **dict.fromkeys(("manifest-3", "manifest-leaf-root", "manifest-stems-from"), 3),
}
RECORDS = [
    *ENVELOPES,
    *("recipe-root", "recipe-node", "section", "section-3", "baseline", "pack"),
]


def with_payload(name: str, record: bytes) -> bytes:
    """Return the stored form *name* around another record, with a right checksum."""
    if name in ENVELOPES:
        return wrap(ENVELOPES[name], record, VERSIONS.get(name, 1))
    if name in ("section", "section-3"):
        return SECTION_LENGTH.pack(len(record)) + record
    if name == "pack":
        start = head(ObjectKind.PACK)
        data = stored("pack")
        frames = data[HEAD.size : -pack.TRAILER.size - len(payload("pack"))]
        return b"".join(
            [
                start,
                frames,
                record,
                pack.TRAILER.pack(len(record), checksum(start, record), pack.END_MARK),
            ]
        )
    return record


def test_every_stored_form_has_golden_bytes() -> None:
    assert {file.stem for file in FOLDER.glob("*.hex")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_form_is_written_as_it_ever_was(name: str) -> None:
    assert EXAMPLES[name].encode(EXAMPLES[name].value).hex() == stored(name).hex()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_form_is_read_as_it_ever_was(name: str) -> None:
    assert EXAMPLES[name].decode(stored(name)) == EXAMPLES[name].value


def test_names_are_the_hashes_of_the_bytes() -> None:
    assert snapshot_id(stored("manifest")) == blake3(stored("manifest")).digest()
    assert note_id(stored("note")) == blake3(stored("note")).digest()
    assert pack.encode_pack(EXAMPLES["pack"].value)[0] == blake3(stored("pack")).digest()


def test_the_frames_of_the_stored_pack_give_their_chunks() -> None:
    plain = {blake3(text).digest(): text for text in (b"raw", examples.BASE_TEXT)}
    frames = examples.split_pack(stored("pack"))
    assert [frame.codec for frame, _ in frames[:4]] == [
        Codec.RAW,
        Codec.ZSTD,
        Codec.ZSTD_DELTA,
        Codec.ZSTD_DELTA,
    ]
    for frame, data in frames:
        base = None if frame.base is None else plain[frame.base]
        text = decompress(frame.codec, data, frame.chunk_bytes, base)
        assert blake3(text).digest() == frame.chunk
        plain[frame.chunk] = text
    assert plain[frames[2][0].chunk] == examples.DELTA_TEXT
    assert plain[frames[3][0].chunk] == examples.DEEP_TEXT


def test_the_edits_of_the_stored_pack_give_their_chunk() -> None:
    (base, plain), (frame, data) = examples.split_pack(stored("pack-edits"))
    assert (frame.codec, frame.base) == (Codec.EDITS, base.chunk)
    # Three edits, after 88, 184 and 483 bytes; they remove 132, 23 and 0, and add 32, 27 and 36.
    assert data.startswith(bytes.fromhex("03 58 8401 20 b801 17 1b e303 00 24 28b52ffd"))
    base_text = decompress(base.codec, plain, base.chunk_bytes)
    assert decompress(frame.codec, data, frame.chunk_bytes, base_text) == examples.EDITED_TEXT


# -- an older reader ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("at_the_end", [True, False])
def test_a_new_ignorable_field_is_skipped(name: str, at_the_end: bool) -> None:
    record = payload(name)
    record = record + IGNORABLE_FIELD if at_the_end else IGNORABLE_FIELD + record
    changed = EXAMPLES[name].decode(with_payload(name, record))
    original = EXAMPLES[name].decode(with_payload(name, payload(name)))
    assert changed == original


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("at_the_end", [True, False])
def test_a_new_critical_field_is_refused(name: str, at_the_end: bool) -> None:
    record = payload(name)
    record = record + CRITICAL_FIELD if at_the_end else CRITICAL_FIELD + record
    with pytest.raises(FormatTooNew) as caught:
        EXAMPLES[name].decode(with_payload(name, record))
    assert caught.value.exit_code == 13
    assert "snap --version" in caught.value.hint


@pytest.mark.parametrize("name", RECORDS)
def test_every_number_that_the_specification_does_not_list_is_refused(name: str) -> None:
    # A manifest of either version may have the fields of the other.
    known = {number for number, _, _ in record_fields(payload(NEWEST.get(name, name)))}
    for number in {0, *range(1, 40)} - known:
        field = struct.pack("<HI", number, 0)
        with pytest.raises(FormatTooNew):
            EXAMPLES[name].decode(with_payload(name, payload(name) + field))


def changed_field(name: str, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return the form with the first value of a field changed."""
    record = RecordWriter()
    done = False
    for found, ignorable, value in record_fields(payload(name)):
        if found == number and not done:
            value, done = change(value), True
        record.raw(found, value, ignorable=ignorable)
    assert done
    return with_payload(name, record.to_bytes())


def nested(number: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return a change of one field in a record that is itself a value."""

    def change(data: bytes) -> bytes:
        record = RecordWriter()
        for found, ignorable, before in record_fields(data):
            record.raw(found, value if found == number else before, ignorable=ignorable)
        return record.to_bytes()

    return change


@pytest.mark.parametrize(
    ("name", "field", "change"),
    [
        ("pack", pack.KINDS, lambda value: b"\x03" + value[1:]),
        ("pack", pack.CODECS, lambda value: value[:-1] + b"\x04"),
        ("pack", pack.CIPHERS, lambda value: b"\x02" + value[1:]),
        ("section", 1, nested(1, b"weather")),
        ("manifest", 15, nested(3, b"weather")),
        ("manifest", 15, lambda value: value + CRITICAL_FIELD),
        ("manifest", 7, lambda value: value + CRITICAL_FIELD),
        ("section", 1, lambda value: value + CRITICAL_FIELD),
        ("section", 5, lambda value: value + CRITICAL_FIELD),
    ],
    ids=[
        "chunk kind",
        "codec",
        "cipher",
        "section kind",
        "volatile kind",
        "field in a volatile line",
        "field in the manifest's recipe",
        "field in a section's name",
        "field in a segment",
    ],
)
def test_an_unknown_code_is_a_newer_format(
    name: str, field: int, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(FormatTooNew) as caught:
        EXAMPLES[name].decode(changed_field(name, field, change))
    assert caught.value.exit_code == 13


@pytest.mark.parametrize("name", [*ENVELOPES, "pack"])
@pytest.mark.parametrize(("position", "value"), [(6, 4), (7, 2)], ids=["version", "cipher"])
def test_an_unknown_version_or_cipher_of_an_object_is_a_newer_format(
    name: str, position: int, value: int
) -> None:
    data = bytearray(stored(name))
    data[position] = value
    if name == "pack":
        table = payload("pack")
        trailer = pack.TRAILER.pack(len(table), checksum(bytes(data[:8]), table), pack.END_MARK)
        data[-len(trailer) :] = trailer
    else:
        data[-16:] = checksum(bytes(data[:-16]))
    with pytest.raises(FormatTooNew):
        EXAMPLES[name].decode(bytes(data))


@pytest.mark.parametrize("name", ["config", "tag", "note", "pack"])
def test_only_manifests_have_later_versions(name: str) -> None:
    with pytest.raises(FormatTooNew):
        check_head(ENVELOPES.get(name, ObjectKind.PACK), stored(name)[:6] + b"\2\0", "it")


def test_a_manifest_has_a_later_version_only_where_the_first_cannot_tell_what_it_says() -> None:
    names = ("manifest", "manifest-2", "manifest-3", "manifest-leaf-root")
    assert [stored(name)[6] for name in names] == [1, 2, 3, 3]
    for name in ("extension_sequences_root", "statistics_root"):
        assert encode_manifest(replace(values.SNAPSHOT_2, **{name: None}))[6] == 2


# -- damage -------------------------------------------------------------------------------------

FLIPS = (0x01, 0x80, 0xFF)


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_changed_byte_of_an_object_is_found(name: str) -> None:
    data = stored(name)
    for position in range(len(data)):
        for flip in FLIPS:
            damaged = bytearray(data)
            damaged[position] ^= flip
            with pytest.raises(CorruptionError):
                EXAMPLES[name].decode(bytes(damaged))


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_truncation_and_every_extension_of_an_object_is_found(name: str) -> None:
    data = stored(name)
    for size in range(len(data)):
        with pytest.raises(CorruptionError):
            EXAMPLES[name].decode(data[:size])
    with pytest.raises(CorruptionError):
        EXAMPLES[name].decode(data + b"\0")


def test_every_changed_byte_of_a_pack_is_found_or_changes_no_chunk() -> None:
    data = stored("pack")
    frames_end = len(data) - pack.TRAILER.size - len(payload("pack"))
    harmless = 0
    for position in range(len(data)):
        for flip in FLIPS:
            damaged = bytearray(data)
            damaged[position] ^= flip
            if HEAD.size <= position < frames_end:
                # A few bits of a zstd frame mean nothing; then its chunks are what they were.
                harmless += all_chunks_are_sound(bytes(damaged))
                continue
            with pytest.raises(CorruptionError):
                examples.split_pack(bytes(damaged))
    assert harmless < 20


def all_chunks_are_sound(data: bytes) -> bool:
    plain: dict[bytes, bytes] = {}
    for frame, packed in examples.split_pack(data):
        base = None if frame.base is None else plain[frame.base]
        try:
            text = decompress(frame.codec, packed, frame.chunk_bytes, base)
        except CorruptionError:
            return False
        if blake3(text).digest() != frame.chunk:
            return False
        plain[frame.chunk] = text
    return True


def test_every_truncation_of_a_pack_is_found() -> None:
    data = stored("pack")
    for size in range(len(data)):
        with pytest.raises(CorruptionError):
            examples.split_pack(data[:size])
    with pytest.raises(CorruptionError):
        examples.split_pack(data + b"\0")


@pytest.mark.parametrize(
    "name", ["record", "recipe-root", "recipe-node", "section", "baseline", "pack"]
)
def test_damage_without_a_checksum_is_damage_or_another_value_and_never_a_crash(name: str) -> None:
    """What a chunk's name or the table's checksum covers is decoded only after it was compared;
    yet a decoder meets any bytes with words."""
    record = payload(name)
    for position in range(len(record)):
        for flip in FLIPS:
            damaged = bytearray(record)
            damaged[position] ^= flip
            decode_in_words(name, with_payload(name, bytes(damaged)))
        decode_in_words(name, with_payload(name, record[:position]))


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_record_of_any_bytes_under_a_right_checksum_is_met_with_words(name: str) -> None:
    record = payload(name)
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 0xFF
        decode_in_words(name, with_payload(name, bytes(damaged)))
        decode_in_words(name, with_payload(name, record[:position]))


def decode_in_words(name: str, data: bytes) -> None:
    with contextlib.suppress(CorruptionError, FormatTooNew):
        EXAMPLES[name].decode(data)


@pytest.mark.parametrize("field", [4, 5, 6], ids=["parent", "root", "globals root"])
def test_a_hash_of_the_wrong_length_in_a_manifest_is_damage(field: int) -> None:
    with pytest.raises(CorruptionError):
        decode_manifest(changed_field("manifest", field, lambda value: value[:-1]))


def test_a_manifest_under_another_name_is_damage() -> None:
    data = stored("manifest")
    assert decode_manifest(data, snapshot_id(data)) == EXAMPLES["manifest"].value
    with pytest.raises(CorruptionError):
        decode_manifest(data, values.a_hash("another"))


def test_a_config_whose_chunk_sizes_make_no_sense_is_damage() -> None:
    with pytest.raises(CorruptionError):
        EXAMPLES["config"].decode(changed_field("config", 3, lambda value: bytes(8)))


def test_a_pack_table_that_names_a_base_it_does_not_list_is_damage() -> None:
    changed = changed_field("pack", pack.BASE_OF, lambda value: b"\xff" * len(value))
    with pytest.raises(CorruptionError):
        EXAMPLES["pack"].decode(changed)


def test_a_pack_table_with_a_column_too_short_is_damage() -> None:
    for number, _, value in record_fields(payload("pack")):
        if value:
            changed = changed_field("pack", number, lambda before: before[:-1])
            with pytest.raises(CorruptionError):
                EXAMPLES["pack"].decode(changed)
