"""Frames and packs of tests: plain, and sealed with keys that are always the same."""

from __future__ import annotations

import hashlib

import zstandard
from blake3 import blake3

from pgsnap.chunking.row_edits import RowEdits
from pgsnap.codecs.edits import encode_edits
from pgsnap.format.pack import encode_pack, read_table
from pgsnap.model import ChunkKind, Cipher, Codec, Frame
from pgsnap.sealing.packs import PackSealer
from support.repositories.keys import FIRST, SECOND, keys

BASE_TEXT = b"".join(b"%d\tthe base of a delta\n" % number for number in range(40))
DELTA_TEXT = BASE_TEXT.replace(b"20\t", b"twenty\t")
DEEP_TEXT = DELTA_TEXT.replace(b"30\t", b"thirty\t")


def delta_frame(
    plain: bytes, base: bytes, depth: int, kind: ChunkKind = ChunkKind.DATA
) -> tuple[Frame, bytes]:
    """Return *plain* as a frame against *base*, as later versions write it (codec 2)."""
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    data = zstandard.ZstdCompressor(
        level=3,
        dict_data=prefix,
        write_checksum=False,
        write_content_size=True,
        write_dict_id=False,
    ).compress(plain)
    return (
        Frame(
            blake3(plain).digest(),
            kind,
            Codec.ZSTD_DELTA,
            Cipher.NONE,
            depth,
            blake3(base).digest(),
            len(data),
            len(plain),
        ),
        data,
    )


def edits_frame(plain: bytes, base: bytes, depth: int) -> tuple[Frame, bytes]:
    """Return *plain* as a list of edits of *base* (codec 3)."""
    edits = RowEdits().between(base, plain)
    assert edits is not None
    data = encode_edits(edits, base, plain)
    base_id, kind, codec = blake3(base).digest(), ChunkKind.DATA, Codec.EDITS
    return (
        Frame(
            blake3(plain).digest(), kind, codec, Cipher.NONE, depth, base_id, len(data), len(plain)
        ),
        data,
    )


def plain_frame(
    plain: bytes, kind: ChunkKind = ChunkKind.DATA, *, raw: bool = False
) -> tuple[Frame, bytes]:
    """Return *plain* as a frame of its own (codec 0 or 1)."""
    data = plain
    if not raw:
        data = zstandard.ZstdCompressor(
            level=3, write_checksum=False, write_content_size=True
        ).compress(plain)
    codec = Codec.RAW if raw else Codec.ZSTD
    return (
        Frame(blake3(plain).digest(), kind, codec, Cipher.NONE, 0, None, len(data), len(plain)),
        data,
    )


def split_pack(data: bytes) -> list[tuple[Frame, bytes]]:
    """Return the frames of a pack's bytes, read through its table."""
    locations = read_table(
        blake3(data).digest(), len(data), lambda start, length: data[start : start + length]
    )
    return [
        (place.frame, data[place.offset : place.offset + place.frame.frame_bytes])
        for place in locations
    ]


def join_pack(frames: list[tuple[Frame, bytes]]) -> bytes:
    return b"".join(encode_pack(frames)[1])


def fixed_bytes(count: int) -> bytes:
    """Return *count* bytes that stand for random ones, always the same."""
    return hashlib.shake_128(b"random").digest(count)


SEALER = PackSealer(keys(FIRST, SECOND), random_bytes=fixed_bytes)


def join_sealed_pack(frames: list[tuple[Frame, bytes]]) -> bytes:
    return b"".join(encode_pack(frames, SEALER)[1])


def split_sealed_pack(data: bytes) -> list[tuple[Frame, bytes]]:
    """Return the frames of a sealed pack's bytes, opened."""
    locations = read_table(
        blake3(data).digest(),
        len(data),
        lambda start, length: data[start : start + length],
        SEALER,
    )
    return [
        SEALER.open(place, data[place.offset : place.offset + place.frame.frame_bytes])
        for place in locations
    ]
