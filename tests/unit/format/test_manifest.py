"""Manifests whose first fields are decoded in a few steps: what any manifest is decoded to."""

from __future__ import annotations

import random
import struct
from dataclasses import fields, replace

import pytest

from pgsnap.errors import SnapError
from pgsnap.format import manifest
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD, ObjectKind, wrap
from pgsnap.format.manifest import (
    decode_head,
    decode_indexed,
    decode_manifest,
    encode_manifest,
)
from pgsnap.model import EMPTY_RECIPE, Snapshot, SnapshotHead
from support.documents.values import SNAPSHOT, SNAPSHOT_3, SNAPSHOT_STEMS

USUAL = [
    SNAPSHOT,
    replace(SNAPSHOT, globals_root=None),
    replace(SNAPSHOT, database="", message=""),
    replace(SNAPSHOT, message="größer \udcff", wished_tags=(), volatile=()),
    replace(SNAPSHOT, statistics_root=bytes(32), extension_sequences_root=bytes(32)),
    SNAPSHOT_3,
    SNAPSHOT_STEMS,
    replace(SNAPSHOT_3, root=None),
    replace(SNAPSHOT_3, root=None, globals_root=None),
]
OTHERS = [
    replace(SNAPSHOT, parent=None),
    replace(SNAPSHOT, sections_recipe=EMPTY_RECIPE),
]
ID = bytes(range(32))


def head_of(snapshot: Snapshot) -> SnapshotHead:
    names = [field.name for field in fields(SnapshotHead)]
    return SnapshotHead(**{name: getattr(snapshot, name) for name in names})


def record_of(data: bytes) -> list[bytes]:
    """Return the fields of a manifest, each with its header."""
    found, place = [], HEAD.size
    while place < len(data) - CHECKSUM_BYTES:
        _, length = struct.unpack_from("<HI", data, place)
        found.append(data[place : place + 6 + length])
        place += 6 + length
    return found


def outcomes(data: bytes) -> list[object]:
    """Return what each decoder makes of *data*: a value, or the error."""
    found: list[object] = []
    for decode in (decode_head, decode_indexed):
        try:
            found.append(decode(data, ID))
        except SnapError as error:
            found.append((type(error), error.message, error.detail))
    try:
        found.append(decode_manifest(wrap(ObjectKind.MANIFEST, data[HEAD.size : -CHECKSUM_BYTES])))
    except SnapError as error:
        found.append((type(error), error.message, error.detail))
    return found


def both(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[list[object], list[object]]:
    """Return the outcomes, and those of the decoder of any manifest."""
    found = outcomes(data)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "_usual", lambda data, what: None)
        return found, outcomes(data)


@pytest.mark.parametrize("snapshot", [*USUAL, *OTHERS])
def test_a_manifest_reads_back_on_either_way(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, server = head_of(snapshot), snapshot.origin.system_identifier
    found, wanted = both(encode_manifest(snapshot), monkeypatch)
    assert found == wanted == [head, (head, server, snapshot.alias), snapshot]


def test_those_of_a_snapshot_with_a_parent_are_decoded_in_a_few_steps() -> None:
    is_usual = [
        manifest._usual(encode_manifest(one), "it") is not None for one in [*USUAL, *OTHERS]
    ]
    assert is_usual == [True] * len(USUAL) + [False] * len(OTHERS)


def test_each_changed_byte_gives_the_same_on_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_manifest(SNAPSHOT)
    for place in range(HEAD.size, len(data) - CHECKSUM_BYTES):
        for change in (0x01, 0x80):
            changed = bytearray(data)
            changed[place] ^= change
            found, wanted = both(bytes(changed), monkeypatch)
            assert found == wanted, (place, change)


@pytest.mark.parametrize("seed", range(10))
def test_fields_cut_swapped_and_repeated_give_the_same_on_either_way(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    data = encode_manifest(chance.choice(USUAL))
    record = record_of(data)
    for _ in range(100):
        left = chance.randrange(len(record))
        one, other = chance.sample(range(len(record)), 2)
        swapped = record[:]
        swapped[one], swapped[other] = record[other], record[one]
        for mixed in (
            record[:left] + record[left + 1 :],
            [*record, record[left]],
            record[:left] + record[one : one + 1] + record[left:],
            swapped,
            [*record, struct.pack("<HI", chance.choice((99, 99 | 0x8000)), 0)],
            [b"".join(record)[: chance.randrange(sum(map(len, record)))]],
        ):
            changed = data[: HEAD.size] + b"".join(mixed) + bytes(CHECKSUM_BYTES)
            found, wanted = both(changed, monkeypatch)
            assert found == wanted


@pytest.mark.parametrize("number", range(1, 14))
@pytest.mark.parametrize("value", [-1, -(2**63), 2**62, 2**63 - 1, 0])
def test_numbers_out_of_their_range_give_the_same_on_either_way(
    number: int, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(encode_manifest(SNAPSHOT))
    place = next(
        place
        for place, field in enumerate(record)
        if struct.unpack_from("<H", field)[0] & 0x7FFF == number
    )
    record[place] = record[place][:-8] + struct.pack("<q", value)
    data = encode_manifest(SNAPSHOT)
    changed = data[: HEAD.size] + b"".join(record) + data[-CHECKSUM_BYTES:]
    found, wanted = both(changed, monkeypatch)
    assert found == wanted


@pytest.mark.parametrize("changes", [{"database": "a\0b"}, {"message": "a\0b"}])
def test_a_nul_in_a_text_gives_the_same_on_either_way(
    changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, wanted = both(encode_manifest(replace(SNAPSHOT, **changes)), monkeypatch)
    assert found == wanted
    assert "is no text" in str(wanted[0])


def test_a_field_of_the_head_that_follows_the_origin_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encode_manifest(replace(SNAPSHOT, globals_root=None))
    late = struct.pack("<HI", manifest.GLOBALS_ROOT, 32) + ID
    found, wanted = both(data[:-CHECKSUM_BYTES] + late + data[-CHECKSUM_BYTES:], monkeypatch)
    assert found == wanted
    assert found[2] == replace(SNAPSHOT, globals_root=ID)
