"""Sealed packs: what docs/format.md says of their bytes, and that nothing else opens."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import HEAD, checksum
from pgsnap.format.pack import (
    END_MARK,
    PADDING,
    SEAL,
    TRAILER,
    encode_body,
    encode_pack,
    encode_table,
    read_table,
)
from pgsnap.format.padding import padme
from pgsnap.limits import SEAL_BYTES
from pgsnap.model import ChunkKind, Cipher, Codec, Frame, Location, PackSeal
from pgsnap.sealing.packs import PackSealer
from support.documents.examples import record_fields, stored
from support.documents.packs import (
    BASE_TEXT,
    SEALER,
    plain_frame,
    split_pack,
    split_sealed_pack,
)
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND, keys

FRAMES = [plain_frame(BASE_TEXT), plain_frame(b"raw", raw=True)]


def read(data: bytes, sealer: PackSealer | None = SEALER) -> list[Location]:
    return read_table(
        blake3(data).digest(), len(data), lambda at, size: data[at : at + size], sealer
    )


def opened(data: bytes, place: Location) -> bytes:
    return SEALER.open(place, data[place.offset :][: place.frame.frame_bytes])[1]


def parts_of(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the head with the seal, what is between, and the sealed table of a pack."""
    size = TRAILER.unpack(data[-TRAILER.size :])[0]
    end = len(data) - TRAILER.size
    start = HEAD.size + SEAL.size
    return data[:start], data[start : end - size], data[end - size : end]


def joined(head: bytes, middle: bytes, table: bytes) -> bytes:
    """Return a pack of these parts, with the right trailer."""
    return head + middle + table + TRAILER.pack(len(table), checksum(head, table), END_MARK)


def test_the_bytes_are_what_the_specification_says() -> None:
    """Opened with nothing but the standard library and AES-GCM."""
    data = stored("pack-sealed")
    assert data[:8] == b"\x89snapP\x01\x01"
    epoch, salt = struct.unpack("<I32s", data[8:44])
    assert epoch == 2

    def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
        return hmac.digest(hmac.digest(salt, key, hashlib.sha256), info + b"\x01", hashlib.sha256)

    of_packs = hkdf(SECOND, REPOSITORY_ID.encode(), b"snap packs")
    cipher = AESGCM(hkdf(of_packs, salt, b"snap sealed"))
    table_bytes, mark, end = struct.unpack("<I16s8s", data[-28:])
    sealed_table = data[-28 - table_bytes : -28]
    assert (mark, end) == (blake3(data[:44] + sealed_table).digest(16), b"snapend\n")
    owner = REPOSITORY_ID.encode()
    table = cipher.decrypt(b"\xff" * 12, sealed_table, b"snap table \x01" + owner)
    fields = {number: value for number, _, value in record_fields(table)}
    count = struct.unpack("<q", fields[1])[0]
    bases = [fields[10][at : at + 32] for at in range(0, len(fields[10]), 32)]
    offset, found = 44, []
    for n in range(count):
        chunk = fields[2][32 * n : 32 * n + 32]
        stored_bytes, chunk_bytes = (
            struct.unpack_from("<I", fields[field], 4 * n)[0] for field in (3, 4)
        )
        kind, codec, of_cipher, depth = (fields[field][n] for field in (5, 6, 7, 8))
        number = struct.unpack_from("<I", fields[9], 4 * n)[0]
        base = bases[number - 1] if number else bytes(32)
        assert of_cipher == 1
        bound = b"snap frame \x01" + chunk + bytes([kind, codec, depth, number > 0]) + base
        bound += struct.pack("<II", chunk_bytes, stored_bytes - 16) + owner
        nonce = offset.to_bytes(12, "little")
        found.append(cipher.decrypt(nonce, data[offset : offset + stored_bytes], bound))
        offset += stored_bytes
    assert found == [frame for _, frame in split_pack(stored("pack"))]
    assert set(fields[PADDING]) <= {0}


def test_the_padding_of_the_table_is_ignorable() -> None:
    data = stored("pack-sealed")
    seal = read(data)[0].seal
    assert seal is not None
    table = record_fields(SEALER.open_table(seal, parts_of(data)[2], "it"))
    assert table[-1][:2] == (PADDING, True)


@pytest.mark.parametrize("size", [1, 2, 100, 4096, 70_000, 1_000_000])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_sizes_of_pack_and_table_are_padded(size: int, count: int) -> None:
    frames = [plain_frame(bytes([n]) * size, raw=True) for n in range(count)]
    data = b"".join(encode_pack(frames, SEALER)[1])
    table = parts_of(data)[2]
    assert padme(len(data)) == len(data)
    assert padme(len(table)) == len(table)
    content = sum(len(packed) + SEAL_BYTES for _, packed in frames)
    bare = HEAD.size + SEAL.size + content + len(table) + TRAILER.size
    assert bare <= len(data) <= 1.12 * bare
    assert split_sealed_pack(data) == frames


def test_a_pack_of_nothing_is_sealed_too() -> None:
    assert read(b"".join(encode_pack([], SEALER)[1])) == []


def test_no_seal_comes_twice_though_the_same_frames_are_written_again() -> None:
    sealer = PackSealer(keys())
    seen: set[tuple[bytes, int]] = set()
    written = set()
    for _ in range(100):
        pack, _, locations = encode_pack(FRAMES, sealer)
        written.add(pack)
        for place in locations:
            assert place.seal is not None
            seen.add((place.seal.salt, place.offset))
    assert len(written) == 100
    assert len(seen) == 100 * len(FRAMES)


def test_frames_that_are_moved_to_another_pack_are_sealed_again() -> None:
    sealer = PackSealer(keys())
    first = encode_pack(FRAMES, sealer)
    data = b"".join(first[1])
    moved = [sealer.open(at, data[at.offset :][: at.frame.frame_bytes]) for at in first[2]]
    assert moved == FRAMES
    again = b"".join(encode_pack(moved, sealer)[1])
    old = {data[at.offset :][: at.frame.frame_bytes] for at in first[2]}
    assert not any(sealed in again for sealed in old)


def test_nothing_of_the_plain_frames_is_in_a_sealed_pack() -> None:
    data = b"".join(encode_pack(FRAMES, PackSealer(keys()))[1])
    for frame, packed in FRAMES:
        assert packed[:16] not in data
        assert frame.chunk[:8] not in data


# -- what does not open --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"chunk": bytes(32)},
        {"kind": ChunkKind.RECIPE},
        {"codec": Codec.RAW},
        {"depth": 1},
        {"base": bytes(32)},
        {"chunk_bytes": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_frame_opens_only_as_what_it_was_sealed_as(change: dict[str, Any]) -> None:
    pack, parts, (place, _) = encode_pack(FRAMES, SEALER)
    data = b"".join(parts)
    assert opened(data, place) == FRAMES[0][1]
    with pytest.raises(CorruptionError, match="does not open") as caught:
        opened(data, replace(place, frame=replace(place.frame, **change)))
    assert pack.hex()[:12] in caught.value.message


def test_a_frame_opens_only_in_its_place_in_its_pack_and_its_repository() -> None:
    _, parts, (first, second) = encode_pack(FRAMES, SEALER)
    data = b"".join(parts)
    sealed = data[first.offset : second.offset]
    seal = first.seal
    assert seal is not None
    elsewhere = [
        replace(first, offset=first.offset + 1),
        replace(first, seal=replace(seal, salt=bytes(32))),
        replace(first, seal=replace(seal, epoch=1)),
    ]
    for place in elsewhere:
        with pytest.raises(CorruptionError, match=r"does not open|with another key"):
            SEALER.open(place, sealed)
    other = PackSealer(keys(FIRST, SECOND, repository_id="another"))
    with pytest.raises(CorruptionError, match="was encrypted with another key"):
        other.open(first, sealed)


def test_frames_that_changed_places_do_not_open() -> None:
    twins = [plain_frame(b"one of two twins", raw=True), plain_frame(b"two of two twins", raw=True)]
    _, parts, (first, second) = encode_pack(twins, SEALER)
    data = b"".join(parts)
    size = first.frame.frame_bytes
    swapped = data[: first.offset] + data[second.offset :][:size] + data[first.offset :][:size]
    swapped += data[second.offset + size :]
    # Table and trailer are as they were, so only the frames can tell.
    assert read(swapped) == [replace(at, pack=blake3(swapped).digest()) for at in (first, second)]
    for place in read(swapped):
        with pytest.raises(CorruptionError, match="does not open"):
            opened(swapped, place)


@pytest.mark.parametrize("size", [0, 1, SEAL_BYTES - 1, SEAL_BYTES, -1])
def test_a_frame_that_is_cut_says_so(size: int) -> None:
    _, parts, (place, _) = encode_pack(FRAMES, SEALER)
    sealed = b"".join(parts)[place.offset :][: place.frame.frame_bytes]
    with pytest.raises(CorruptionError, match="is cut"):
        SEALER.open(place, sealed[:size])


def test_every_changed_byte_of_a_frame_is_found() -> None:
    _, parts, (_, place) = encode_pack(FRAMES, SEALER)
    sealed = b"".join(parts)[place.offset :][: place.frame.frame_bytes]
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(CorruptionError, match="does not open"):
            SEALER.open(place, bytes(changed))


@pytest.mark.parametrize("epoch", [0, 3, 2**32 - 1])
def test_a_pack_of_a_key_that_is_missing_is_named_with_it(epoch: int) -> None:
    head, middle, table = parts_of(stored("pack-sealed"))
    forged = joined(head[: HEAD.size] + SEAL.pack(epoch, head[-32:]), middle, table)
    with pytest.raises(CorruptionError) as caught:
        read(forged)
    assert f"key number {epoch} is missing" in caught.value.detail


def test_a_table_opens_only_under_its_own_seal() -> None:
    head, middle, table = parts_of(stored("pack-sealed"))
    other = parts_of(b"".join(encode_pack(FRAMES, PackSealer(keys(FIRST, SECOND)))[1]))
    for forged in (joined(head, middle, other[2]), joined(other[0], middle, table)):
        with pytest.raises(CorruptionError, match=r"the table of pack .* does not open"):
            read(forged)


def test_a_frame_put_in_the_place_of_the_table_does_not_open() -> None:
    _, parts, (place, _) = encode_pack(FRAMES, SEALER)
    data = b"".join(parts)
    head, middle, _ = parts_of(data)
    frame = data[place.offset :][: place.frame.frame_bytes]
    with pytest.raises(CorruptionError, match="does not open"):
        read(joined(head, middle, frame))


def test_a_plain_pack_is_none_of_an_encrypted_repository_nor_the_other_way_round() -> None:
    with pytest.raises(CorruptionError, match="not this repository's") as caught:
        read(stored("pack"))
    assert "not sealed" in caught.value.detail
    with pytest.raises(CorruptionError, match="not this repository's") as caught:
        read(stored("pack-sealed"), None)
    assert "is sealed" in caught.value.detail


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_table_whose_ciphers_are_not_those_of_its_pack_is_damage(is_sealed: bool) -> None:
    frame = Frame(bytes(32), ChunkKind.DATA, Codec.RAW, Cipher.AES_256_GCM, 0, None, 19, 3)
    if is_sealed:
        table = encode_table([replace(frame, cipher=Cipher.NONE)])
        seal = PackSeal(2, bytes(32))
        head = stored("pack-sealed")[: HEAD.size] + SEAL.pack(2, bytes(32))
        data = joined(head, bytes(19), SEALER.seal_table(seal, table))
    else:
        data = joined(stored("pack")[: HEAD.size], bytes(19), encode_table([frame]))
    with pytest.raises(CorruptionError) as caught:
        read(data, SEALER if is_sealed else None)
    assert "sealed alike" in caught.value.detail


@pytest.mark.parametrize(
    "change",
    [
        lambda table: replace(table, frame_bytes=16),
        lambda table: replace(table, frame_bytes=2**24 + 17),
        lambda table: replace(table, chunk_bytes=2**24 + 1),
        lambda table: replace(table, chunk_bytes=0),
        lambda table: replace(table, frame_bytes=10_000),
    ],
    ids=["nothing in it", "large frame", "large chunk", "no chunk", "longer than the pack"],
)
def test_sizes_that_make_no_sense_are_damage_also_where_they_are_sealed(
    change: Callable[[Frame], Frame],
) -> None:
    frame = Frame(bytes(32), ChunkKind.DATA, Codec.RAW, Cipher.AES_256_GCM, 0, None, 19, 3)
    head = stored("pack-sealed")[: HEAD.size] + SEAL.pack(2, bytes(32))
    table = SEALER.seal_table(PackSeal(2, bytes(32)), encode_table([change(frame)]))
    with pytest.raises(CorruptionError, match="is damaged"):
        read(joined(head, bytes(19), table))


def test_a_sealed_pack_that_is_cut_anywhere_is_damage() -> None:
    data = stored("pack-sealed")
    for size in range(0, len(data), 7):
        with pytest.raises(CorruptionError):
            read(data[:size])


def test_a_writer_that_seals_wrongly_writes_nothing() -> None:
    class Forgetful(PackSealer):
        def seal_table(self, seal: PackSeal, table: bytes) -> bytes:
            return super().seal_table(seal, encode_table([]))

    frames = [frame for frame, _ in FRAMES]
    with pytest.raises(CorruptionError, match="does not read back"):
        encode_body(frames, [packed for _, packed in FRAMES], Forgetful(keys()))
