"""One fixed example of every stored form. `tests/data/format` keeps their bytes for ever.

`PYTHONPATH=src:tests python -m support.documents.examples` writes the files that are not there yet;
it never changes one, because what was stored once must be read for ever.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from blake3 import blake3

from pgsnap.format.baseline import decode_baseline, encode_baseline
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD
from pgsnap.format.manifest import decode_manifest, encode_manifest
from pgsnap.format.pack import TRAILER
from pgsnap.format.recipe import decode_node, decode_root, encode_node, encode_root
from pgsnap.format.record import IGNORABLE, RecordReader, RecordWriter
from pgsnap.format.remote import (
    Announcement,
    Phase,
    Publication,
    decode_announcement,
    decode_gone_tag,
    decode_publication,
    encode_announcement,
    encode_gone_tag,
    encode_publication,
)
from pgsnap.format.sections import decode_piece, encode_section
from pgsnap.format.small import (
    decode_config,
    decode_note,
    decode_tag,
    encode_config,
    encode_note,
    encode_tag,
)
from pgsnap.model import (
    ChunkerParams,
    ChunkKind,
    Cipher,
    Encryption,
    Frame,
    Note,
    RecipeEntry,
    RecipeRoot,
    RepositoryConfig,
    Tag,
)
from pgsnap.sealing.objects import open_object, seal_object
from pgsnap.sealing.slots import Slot, decode_slot, encode_slot, new_slot
from pgsnap.sealing.wrapping_keys import Passphrase
from support.documents.packs import (
    BASE_TEXT,
    DEEP_TEXT,
    DELTA_TEXT,
    delta_frame,
    edits_frame,
    join_pack,
    join_sealed_pack,
    plain_frame,
    split_pack,
    split_sealed_pack,
)
from support.documents.values import (
    BASELINE,
    PRE_DATA,
    SECTION,
    SECTION_3,
    SNAPSHOT,
    SNAPSHOT_2,
    SNAPSHOT_3,
    SNAPSHOT_STEMS,
    TIME,
    a_hash,
)
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND, keys

FOLDER = Path(__file__).resolve().parents[2] / "data" / "format"


@dataclass(frozen=True)
class Example:
    """*value* is *encode*d to the bytes in the file of the same name, and *decode*d from them.

    *has_checksum* tells whether any changed byte must be found by *decode* itself; where it is
    false, what holds the form (a chunk's name, the table's checksum) finds it.
    """

    value: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    has_checksum: bool = False


CONFIG = RepositoryConfig(
    repository_id="00112233445566778899aabbccddeeff",
    created=TIME,
    chunker=ChunkerParams(65_536, 262_144, 1_048_576),
    pack_bytes=16_777_216,
    zstd_level=3,
)


def _pack_value() -> list[tuple[Frame, bytes]]:
    # The frames' bytes come from the file: another zstd may compress otherwise, and may.
    file = FOLDER / "pack.hex"
    if file.exists():
        return split_pack(read_hex(file))
    return [
        plain_frame(b"raw", raw=True),
        plain_frame(BASE_TEXT),
        delta_frame(DELTA_TEXT, BASE_TEXT, 1),
        delta_frame(DEEP_TEXT, DELTA_TEXT, 2),
        plain_frame(
            encode_node(1, [RecipeEntry(blake3(BASE_TEXT).digest(), len(BASE_TEXT), 40)] * 2),
            ChunkKind.RECIPE,
        ),
        plain_frame(encode_section(SECTION), ChunkKind.SECTIONS),
    ]


def _encode_record(value: tuple[int, str, bytes]) -> bytes:
    record = RecordWriter()
    record.integer(1, value[0])
    record.text(2, value[1])
    record.raw(0x1234, value[2], ignorable=True)
    return record.to_bytes()


def _decode_record(data: bytes) -> tuple[int, str, bytes]:
    record = RecordReader(data, what="an example", known=(1, 2, 0x1234))
    return record.integer(1), record.text(2), record.raw(0x1234)


EDITED_TEXT = (BASE_TEXT[:100] + BASE_TEXT[200:]).replace(b"8", b"eight", 1) + b"new\n" * 9


def _edits_value() -> list[tuple[Frame, bytes]]:
    file = FOLDER / "pack-edits.hex"
    if file.exists():
        return split_pack(read_hex(file))
    return [plain_frame(BASE_TEXT), edits_frame(EDITED_TEXT, BASE_TEXT, 1)]


def read_hex(file: Path) -> bytes:
    return bytes.fromhex(file.read_text("ascii"))


def write_hex(file: Path, data: bytes) -> None:
    file.write_text("\n".join(textwrap.wrap(data.hex(), 96)) + "\n", "ascii")


def stored(name: str) -> bytes:
    """Return the bytes of an example as they were stored once."""
    return read_hex(FOLDER / f"{name}.hex")


# As they were before there were sketches, and as they are where no chunk has one.
BARE_NODE = [RecipeEntry(a_hash("a"), 262_144, 3_000), RecipeEntry(a_hash("b"), 2**33, 7)]
NODE = [replace(BARE_NODE[0], sketch=bytes(range(1, 17))), replace(BARE_NODE[1], sketch=bytes(16))]


ENCRYPTED = replace(CONFIG, encryption=Encryption(Cipher.AES_256_GCM, keys().fingerprint))
PASSPHRASE = Passphrase("größe".encode())
SEALED_NAME = "tags/label/tag"


def _slot() -> Slot:
    # Made with random bytes, which come from the file.
    file = FOLDER / "key-slot.hex"
    if file.exists():
        return decode_slot(read_hex(file), "a slot")
    return new_slot([FIRST, SECOND], REPOSITORY_ID, PASSPHRASE, name="Größe")


def _seal(data: bytes) -> bytes:
    with mock.patch("pgsnap.sealing.keys.os.urandom", return_value=a_hash("salt")[:24]):
        return seal_object(keys(FIRST, SECOND), SEALED_NAME, data)


ENVELOPED = (
    *("config", "config-encrypted", "config-remote", "config-one-writer"),
    *(
        "manifest",
        "manifest-2",
        "manifest-3",
        "manifest-alias",
        "manifest-leaf-root",
        "manifest-stems-from",
        "tag",
        "gone-tag",
        "announcement",
        "publication",
        "note",
    ),
)

EXAMPLES: dict[str, Example] = {
    "record": Example((-5, "text \udce9", b"\0value"), _encode_record, _decode_record),
    "config": Example(CONFIG, encode_config, decode_config, True),
    "config-encrypted": Example(ENCRYPTED, encode_config, decode_config, True),
    "key-slot": Example(_slot(), encode_slot, lambda data: decode_slot(data, "a slot"), True),
    "sealed-tag": Example(
        stored("tag"), _seal, lambda data: open_object(keys(FIRST, SECOND), SEALED_NAME, data), True
    ),
    "config-remote": Example(
        replace(ENCRYPTED, tag_generations=True), encode_config, decode_config, True
    ),
    "config-one-writer": Example(
        replace(ENCRYPTED, tag_generations=True, one_writer=True),
        encode_config,
        decode_config,
        True,
    ),
    "manifest": Example(SNAPSHOT, encode_manifest, decode_manifest, True),
    "manifest-2": Example(SNAPSHOT_2, encode_manifest, decode_manifest, True),
    "manifest-3": Example(SNAPSHOT_3, encode_manifest, decode_manifest, True),
    "manifest-stems-from": Example(SNAPSHOT_STEMS, encode_manifest, decode_manifest, True),
    "manifest-leaf-root": Example(
        replace(SNAPSHOT_3, root=None, reading=None), encode_manifest, decode_manifest, True
    ),
    "manifest-alias": Example(
        replace(SNAPSHOT_2, alias=a_hash("alias"), alias_parent=a_hash("its parent")),
        encode_manifest,
        decode_manifest,
        True,
    ),
    "tag": Example(
        Tag("shop", "größe/1", a_hash("snapshot"), TIME),
        encode_tag,
        lambda data: decode_tag(data, "a tag"),
        True,
    ),
    "gone-tag": Example(
        b"sixteen random b",
        encode_gone_tag,
        lambda data: decode_gone_tag(data, "a deleted tag"),
        True,
    ),
    "announcement": Example(
        Announcement(
            Phase.MARKED, TIME, (a_hash("pack"), a_hash("another pack")), b"sixteen random b"
        ),
        encode_announcement,
        lambda data: decode_announcement(data, "an announcement"),
        True,
    ),
    "publication": Example(
        Publication(
            7,
            a_hash("entry 6"),
            TIME,
            (a_hash("snapshot"), a_hash("another snapshot")),
            (
                "tags/shop/gr%C3%B6%C3%9Fe%2F1/00000002",
                f"gc/notes/forgotten/{a_hash('note').hex()}",
            ),
            True,
            b"sixteen random b",
        ),
        encode_publication,
        lambda data: decode_publication(data, 7),
        True,
    ),
    "note": Example(
        Note("swapped", "shop", TIME, a_hash("snapshot"), {"kept": "shop__kept", "n": 1}),
        encode_note,
        lambda data: decode_note(data, "a note"),
        True,
    ),
    "recipe-root": Example(
        RecipeRoot(a_hash("top"), 2, 10**12, 10**9),
        encode_root,
        lambda data: decode_root(data, "a root"),
    ),
    "recipe-node-bare": Example(
        BARE_NODE, lambda value: encode_node(2, value), lambda data: decode_node(data, 2)
    ),
    "recipe-node": Example(
        NODE, lambda value: encode_node(2, value), lambda data: decode_node(data, 2)
    ),
    "section": Example(
        [SECTION, PRE_DATA],
        lambda value: b"".join(map(encode_section, value)),
        lambda data: list(decode_piece(data)),
    ),
    "baseline": Example(BASELINE, encode_baseline, decode_baseline),
    "section-3": Example(
        [
            SECTION_3,
            replace(SECTION_3, digest=None, baseline=None),
            replace(SECTION, segments=SECTION.segments[:1], leaf_digest=SECTION.digest),
        ],
        lambda value: b"".join(map(encode_section, value)),
        lambda data: list(decode_piece(data)),
    ),
    "pack": Example(_pack_value(), join_pack, split_pack),
    "pack-edits": Example(_edits_value(), join_pack, split_pack),
    "pack-sealed": Example(_pack_value(), join_sealed_pack, split_sealed_pack),
}


def payload(name: str) -> bytes:
    """Return the record in the stored example *name*."""
    data = stored(name)
    if name == "pack":
        size = TRAILER.unpack(data[-TRAILER.size :])[0]
        return data[-TRAILER.size - size : -TRAILER.size]
    if name in ("section", "section-3"):
        return data[4 : 4 + int.from_bytes(data[:4], "little")]
    if name in ENVELOPED:
        return data[HEAD.size : -CHECKSUM_BYTES]
    return data


def record_fields(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Return the fields of a record as the specification says: number, ignorable, value."""
    found = []
    while data:
        number, size = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:6], "little")
        found.append((number & ~IGNORABLE, bool(number & IGNORABLE), data[6 : 6 + size]))
        assert len(found[-1][2]) == size
        data = data[6 + size :]
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, example in EXAMPLES.items():
        if not (FOLDER / f"{name}.hex").exists():
            write_hex(FOLDER / f"{name}.hex", example.encode(example.value))
