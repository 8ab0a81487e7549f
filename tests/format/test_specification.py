"""docs/format.md and the code say the same: names, numbers, sizes and codes, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import pytest
from blake3 import blake3

from pgsnap import limits
from pgsnap.errors import CorruptionError, FormatTooNew
from pgsnap.format import envelope, manifest, pack, recipe, record, section_names, sections, small
from pgsnap.format.by_name.origin import decode_origin
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD, ObjectKind
from pgsnap.model import (
    HASH_BYTES,
    ChunkKind,
    Cipher,
    Codec,
    SectionKind,
    VolatileKind,
)
from pgsnap.repository import layout
from pgsnap.repository.log import publications
from support.documents import examples, spec

FIELDS: dict[str, tuple[list[spec.Row], dict[str, int]]] = {
    "pack": (
        spec.fields("Pack table"),
        {
            "count": pack.COUNT,
            "chunks": pack.CHUNKS,
            "frame bytes": pack.FRAME_BYTES,
            "chunk bytes": pack.CHUNK_BYTES,
            "kinds": pack.KINDS,
            "codecs": pack.CODECS,
            "ciphers": pack.CIPHERS,
            "depths": pack.DEPTHS,
            "base of": pack.BASE_OF,
            "bases": pack.BASES,
        },
    ),
    "recipe-root": (
        spec.fields("Recipes", 0),
        {
            "chunk": recipe.ROOT_CHUNK,
            "level": recipe.ROOT_LEVEL,
            "plain bytes": recipe.ROOT_PLAIN_BYTES,
            "lines": recipe.ROOT_LINES,
        },
    ),
    "recipe-node": (
        spec.fields("Recipes", 1),
        {
            "level": recipe.LEVEL,
            "chunks": recipe.CHUNKS,
            "plain bytes": recipe.PLAIN_BYTES,
            "lines": recipe.LINES,
            "sketches": recipe.SKETCHES,
        },
    ),
    "section-3": (
        spec.fields("Section table"),
        {
            "name": sections.NAME,
            "plain bytes": sections.PLAIN_BYTES,
            "lines": sections.LINES,
            "digest": sections.DIGEST,
            "segment": sections.SEGMENT,
            "rows": sections.ROWS,
            "head bytes": sections.HEAD_BYTES,
            "tail bytes": sections.TAIL_BYTES,
            "leaf digest": sections.LEAF_DIGEST,
            "leaves": sections.LEAVES,
            "block map": sections.BLOCK_MAP,
            "baseline": sections.BASELINE,
        },
    ),
    "manifest-stems-from": (
        spec.fields("Manifests"),
        {
            "database": manifest.DATABASE,
            "time": manifest.TIME,
            "message": manifest.MESSAGE,
            "parent": manifest.PARENT,
            "root": manifest.ROOT,
            "globals root": manifest.GLOBALS_ROOT,
            "sections": manifest.SECTIONS_RECIPE,
            "section count": manifest.SECTION_COUNT,
            "table count": manifest.TABLE_COUNT,
            "plain bytes": manifest.PLAIN_BYTES,
            "rows": manifest.ROWS,
            "stored bytes": manifest.STORED_BYTES,
            "duration": manifest.DURATION_MS,
            "origin": manifest.ORIGIN,
            "volatile line": manifest.VOLATILE,
            "wished tag": manifest.WISHED_TAG,
            "creator": manifest.CREATOR,
            "alias": manifest.ALIAS,
            "alias parent": manifest.ALIAS_PARENT,
            "extension sequences root": manifest.EXTENSION_SEQUENCES_ROOT,
            "statistics root": manifest.STATISTICS_ROOT,
            "leaf root": manifest.LEAF_ROOT,
            "reading": manifest.READING,
            "stems from": manifest.STEMS_FROM,
        },
    ),
    "config": (
        spec.listed_fields("Config"),
        {
            "repository id": small.CONFIG_ID,
            "created": small.CONFIG_CREATED,
            "chunk bytes minimum": small.CONFIG_CHUNK_MIN,
            "chunk bytes average": small.CONFIG_CHUNK_AVG,
            "chunk bytes maximum": small.CONFIG_CHUNK_MAX,
            "pack bytes": small.CONFIG_PACK_BYTES,
            "zstd level": small.CONFIG_ZSTD_LEVEL,
        },
    ),
    "config-encrypted": (
        [*spec.listed_fields("Config"), *spec.fields("Encryption")],
        {
            "repository id": small.CONFIG_ID,
            "created": small.CONFIG_CREATED,
            "chunk bytes minimum": small.CONFIG_CHUNK_MIN,
            "chunk bytes average": small.CONFIG_CHUNK_AVG,
            "chunk bytes maximum": small.CONFIG_CHUNK_MAX,
            "pack bytes": small.CONFIG_PACK_BYTES,
            "zstd level": small.CONFIG_ZSTD_LEVEL,
            "cipher": small.CONFIG_CIPHER,
            "fingerprint": small.CONFIG_FINGERPRINT,
        },
    ),
    "tag": (
        spec.listed_fields("Tags"),
        {
            "label": small.TAG_DATABASE,
            "name": small.TAG_NAME,
            "snapshot": small.TAG_SNAPSHOT,
            "time": small.TAG_TIME,
        },
    ),
    "note": (
        spec.listed_fields("Notes"),
        {
            "kind": small.NOTE_KIND,
            "label": small.NOTE_DATABASE,
            "time": small.NOTE_TIME,
            "snapshot": small.NOTE_SNAPSHOT,
            "body": small.NOTE_BODY,
        },
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_field_numbers_are_those_of_the_specification(name: str) -> None:
    rows, code = FIELDS[name]
    assert {row.name: row.number for row in rows} == code


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_uses_every_field_of_the_specification_and_no_other(name: str) -> None:
    used = {number for number, _, _ in examples.record_fields(examples.payload(name))}
    assert used == {row.number for row in FIELDS[name][0]}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_ignorable_where_the_specification_says_so(name: str) -> None:
    ignorable = {row.number for row in FIELDS[name][0] if row.is_ignorable}
    written = examples.record_fields(examples.payload(name))
    assert {number for number, can_skip, _ in written if can_skip} == ignorable


def test_a_manifest_of_version_1_uses_every_field_but_those_of_later_versions() -> None:
    first = {row.number for row in spec.fields("Manifests") if "; version " not in row.value}
    used = {number for number, _, _ in examples.record_fields(examples.payload("manifest"))}
    of_some = {manifest.ALIAS, manifest.ALIAS_PARENT, manifest.STEMS_FROM}
    assert used == first - of_some == set(range(1, 18))


def test_nested_records_have_the_fields_of_the_specification() -> None:
    (name,) = [row for row in spec.fields("Section table") if row.name == "name"]
    assert name.value.startswith("record: 1 kind (text), 2 schema, 3 name, 4 part (integer)")
    assert (
        section_names.NAME_KIND,
        section_names.NAME_SCHEMA,
        section_names.NAME_NAME,
        section_names.NAME_PART,
    ) == (
        1,
        2,
        3,
        4,
    )
    (line,) = [row for row in spec.fields("Manifests") if row.name == "volatile line"]
    assert line.value.startswith("record: 1 section name, 2 offset (integer), 3 kind (text: ")
    assert (
        manifest.VOLATILE_SECTION,
        manifest.VOLATILE_OFFSET,
        manifest.VOLATILE_KIND,
        manifest.VOLATILE_TEXT,
    ) == (1, 2, 3, 4)


CODECS = ("raw", "zstd", "zstd against a base", "edits of a base")
CODES: list[tuple[str, type[IntEnum], dict[str, str]]] = [
    (
        "kinds",
        ChunkKind,
        {"DATA": "data", "RECIPE": "recipe node", "SECTIONS": "piece of a section table"},
    ),
    ("codecs", Codec, dict(zip(Codec.__members__, CODECS, strict=True))),
    ("ciphers", Cipher, {"NONE": "none", "AES_256_GCM": "AES-256-GCM"}),
]


@pytest.mark.parametrize(("column", "enum", "words"), CODES)
def test_codes_are_those_of_the_specification(
    column: str, enum: type[IntEnum], words: dict[str, str]
) -> None:
    assert {int(code): words[code.name] for code in enum} == spec.codes("Pack table", column)


def test_section_kinds_are_those_of_the_specification() -> None:
    assert spec.quoted("Section kinds", until="Which entry") == [str(kind) for kind in SectionKind]


def test_volatile_kinds_are_those_of_the_specification() -> None:
    (line,) = [row for row in spec.fields("Manifests") if row.name == "volatile line"]
    listed = line.value.partition("kind (text: ")[2].partition(")")[0]
    assert listed.split(", ") == [str(kind) for kind in VolatileKind]


def test_an_envelope_is_as_the_specification_says() -> None:
    words = spec.quoted("Envelopes", until="zzz")
    assert bytes.fromhex(words[0]) == envelope.MAGIC
    kinds = {
        "config": ObjectKind.CONFIG,
        "manifest": ObjectKind.MANIFEST,
        "tag": ObjectKind.TAG,
        "note": ObjectKind.NOTE,
        "key-slot": ObjectKind.KEY_SLOT,
        "sealed-tag": ObjectKind.SEALED,
        "gone-tag": ObjectKind.GONE_TAG,
        "announcement": ObjectKind.ANNOUNCEMENT,
        "publication": ObjectKind.PUBLICATION,
        "pack": ObjectKind.PACK,
    }
    assert [word.encode() for word in words[1:]] == [kind.value for kind in kinds.values()]
    assert set(kinds.values()) == set(ObjectKind)
    for name, kind in kinds.items():
        data = examples.stored(name)
        assert data[:8] == envelope.MAGIC + kind.value + bytes([1, kind is ObjectKind.SEALED])
        if kind is not ObjectKind.PACK:
            assert data[-16:] == blake3(data[:-16]).digest()[:16]
    assert (HEAD.size, CHECKSUM_BYTES) == (8, 16)


def test_a_pack_is_as_the_specification_says() -> None:
    rows = spec.tables("Packs")[0]
    assert [row[0] for row in rows] == ["8", "…", "…", "28"]
    assert (HEAD.size, pack.TRAILER.size) == (8, 28)
    data = examples.stored("pack")
    assert data.endswith(b"snapend\n")
    size = int.from_bytes(data[-28:-24], "little")
    table = data[-28 - size : -28]
    assert data[-24:-8] == blake3(data[:8] + table).digest()[:16]
    columns = {number: value for number, _, value in examples.record_fields(table)}
    frame_bytes = [
        int.from_bytes(columns[3][at : at + 4], "little") for at in range(0, len(columns[3]), 4)
    ]
    assert 8 + sum(frame_bytes) + size + 28 == len(data)
    count = int.from_bytes(columns[1], "little", signed=True)
    for row in spec.fields("Pack table"):
        each = {"32 bytes": 32, "u32 each": 4, "u8 each:": 1, "integer:": 8}
        width = next((size for word, size in each.items() if row.value.startswith(word)), None)
        assert width, row
        if row.name not in ("count", "bases"):
            assert len(columns[row.number]) == count * width, row


def test_a_record_is_as_the_specification_says() -> None:
    words = " ".join(spec.section("Records").split())
    assert "number (u16), length of the value (u32), value" in words
    assert record.FIELD.size == 6
    assert record.IGNORABLE == 1 << 15
    writer = record.RecordWriter()
    writer.raw(0x0102, b"abc")
    writer.integer(3, -2, ignorable=True)
    assert writer.to_bytes() == bytes.fromhex("0201 03000000 616263 0380 08000000 feffffffffffffff")


def test_sizes_in_the_specification_are_the_limits() -> None:
    words = " ".join(spec.section("The format of a repository").split())
    for said, value in [
        ("Version of the format: **1**", envelope.VERSION == 1),
        ("BLAKE3 with 32 bytes", HASH_BYTES == 32),
        ("pack size (16 MiB)", limits.PACK_BYTES == 16 << 20),
        ("(128 KiB, 512 KiB on average, 2 MiB)", limits.CHUNK_BYTES_MIN == 128 << 10),
        ("512 KiB on average", limits.CHUNK_BYTES_AVG == 512 << 10),
        ("2 MiB)", limits.CHUNK_BYTES_MAX == 2 << 20),
        ("after 64 to 1,024 children", limits.RECIPE_ENTRIES_MIN == 64),
        ("1,024 children", limits.RECIPE_ENTRIES_MAX == 1024),
        ("modulo 192", limits.RECIPE_ENTRIES_AVG - limits.RECIPE_ENTRIES_MIN == 192),
        ("at most about 64 KiB", limits.SECTION_TABLE_PIECE_BYTES == 64 << 10),
    ]:
        assert said in words, said
        assert value, said


def test_a_recipe_node_ends_where_the_specification_says() -> None:
    at = (192 * 7).to_bytes(4, "little") + bytes(28)
    other = (192 * 7 + 1).to_bytes(4, "little") + bytes(28)
    assert [recipe.ends_node(63, at), recipe.ends_node(64, at), recipe.ends_node(64, other)] == [
        False,
        True,
        False,
    ]
    assert recipe.ends_node(1024, other)
    assert not recipe.ends_node(1023, other)


def test_object_names_are_those_of_the_specification() -> None:
    names = [name for row in spec.tables("Layout")[0] for name in row[0].strip("`").split("`, `")]
    some = bytes(range(32))
    made = {
        "config": layout.CONFIG,
        f"packs/HH/{some.hex()}": layout.pack_name(some).replace("packs/00/", "packs/HH/"),
        f"snapshots/{some.hex()}": layout.snapshot_name(some),
        "tags/LABEL/TAG": layout.tag_name("LABEL", "TAG"),
        f"notes/KIND/{some.hex()}": layout.note_name("KIND", some),
        "log/NNNNNNNNNNNN": publications.entry_name(7).replace("000000000007", "NNNNNNNNNNNN"),
        "index.sqlite": layout.INDEX_FILE,
        "lock": layout.LOCK_FILE,
        ".gitignore": layout.GITIGNORE_FILE,
    }
    for name, found in made.items():
        assert found == name
        assert name.replace(some.hex(), "HASH") in names
    assert layout.tag_name("a b/ü", ".t~_-.%") == "tags/a%20b%2F%C3%BC/%2Et~_-.%25"


ORIGIN_FORMS: list[tuple[bytes, Callable[..., object]]] = [
    (b"[]", CorruptionError),
    (b"{}", CorruptionError),
    (b'{"kind":"file","server":7}', CorruptionError),
    (b'{"kind":"file","properties":{"name":"x"}}', CorruptionError),
    (b"[" * 100_000, CorruptionError),
    (b"\xff", CorruptionError),
    (b'{"kind":["file"]}', FormatTooNew),
    (b'{"kind":"tape"}', FormatTooNew),
]


@pytest.mark.parametrize(("data", "error"), ORIGIN_FORMS, ids=range(len(ORIGIN_FORMS)))
def test_an_origin_that_makes_no_sense_is_told_in_words(
    data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        decode_origin(data, "a snapshot")


def test_unknown_keys_of_an_origin_are_ignored() -> None:
    data = (
        b'{"kind":"file","file_name":"a.sql","colour":"red",'
        b'"server":{"version_num":150000,"version":"15","planet":"earth"}}'
    )
    origin = decode_origin(data, "a snapshot")
    assert origin.file_name == "a.sql"
    assert origin.server is not None
    assert origin.server.major == 15
