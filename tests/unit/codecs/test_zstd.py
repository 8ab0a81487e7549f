"""Frames: what is written reads back, also by other zstd tools; what is damaged is found."""

from __future__ import annotations

import contextlib
import random

import pytest
import zstandard

from pgsnap.codecs.zstd import compress, decompress, decompress_chain
from pgsnap.errors import CorruptionError
from pgsnap.model import Codec
from support.documents.examples import BASE_TEXT, DEEP_TEXT, DELTA_TEXT, delta_frame

TEXT = b"one row after another\n" * 3000
NOISE = random.Random(3).randbytes(70_000)


@pytest.mark.parametrize("plain", [TEXT, NOISE, b"", b"a", b"\n" * (1 << 20)])
@pytest.mark.parametrize("level", [1, 3, 19])
def test_a_chunk_comes_back(plain: bytes, level: int) -> None:
    codec, frame = compress(plain, level)
    assert decompress(codec, frame, len(plain)) == plain


def test_what_zstd_does_not_make_smaller_is_stored_as_it_is() -> None:
    assert compress(NOISE, 3) == (Codec.RAW, NOISE)
    assert compress(b"", 3) == (Codec.RAW, b"")


def test_a_frame_is_an_ordinary_zstd_frame_with_its_size_and_without_checksum() -> None:
    codec, frame = compress(TEXT, 3)
    assert codec is Codec.ZSTD
    head = zstandard.get_frame_parameters(frame)
    assert head.content_size == len(TEXT)
    assert not head.has_checksum
    assert zstandard.ZstdDecompressor().decompress(frame) == TEXT


def test_a_delta_is_read_against_its_base() -> None:
    _, data = delta_frame(DELTA_TEXT, BASE_TEXT, 1)
    assert len(data) < len(compress(DELTA_TEXT, 3)[1])
    assert decompress(Codec.ZSTD_DELTA, data, len(DELTA_TEXT), BASE_TEXT) == DELTA_TEXT


def test_a_delta_against_a_base_of_a_megabyte_reaches_its_first_byte() -> None:
    base = random.Random(4).randbytes(1 << 20)
    plain = base[: 1 << 19] + b"changed" + base[1 << 19 :]
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    params = zstandard.ZstdCompressionParameters.from_level(3, window_log=22)
    data = zstandard.ZstdCompressor(dict_data=prefix, compression_params=params).compress(plain)
    assert len(data) < 5000
    assert decompress(Codec.ZSTD_DELTA, data, len(plain), base) == plain


@pytest.mark.parametrize("base", [b"", b"x", b"1234567", b"another base" * 50])
def test_a_delta_with_a_wrong_base_gives_no_crash(base: bytes) -> None:
    _, data = delta_frame(DELTA_TEXT, BASE_TEXT, 1)
    try:
        plain = decompress(Codec.ZSTD_DELTA, data, len(DELTA_TEXT), base)
    except CorruptionError:
        return
    # The chunk's name tells, which is compared by whoever reads it.
    assert plain != DELTA_TEXT


@pytest.mark.parametrize("base", [b"", b"x", b"12345678"])
def test_a_delta_against_a_tiny_base_is_read(base: bytes) -> None:
    _, data = delta_frame(DELTA_TEXT, base, 1)
    assert decompress(Codec.ZSTD_DELTA, data, len(DELTA_TEXT), base) == DELTA_TEXT


def test_a_delta_without_its_base_is_damage() -> None:
    _, data = delta_frame(DELTA_TEXT, BASE_TEXT, 1)
    with pytest.raises(CorruptionError):
        decompress(Codec.ZSTD_DELTA, data, len(DELTA_TEXT))


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("frame", [b"", b"\x28\xb5\x2f\xfd", b"no frame at all", NOISE[:100]])
def test_bytes_that_are_no_frame_are_damage(codec: Codec, frame: bytes) -> None:
    with pytest.raises(CorruptionError):
        decompress(codec, frame, 200, BASE_TEXT)


def test_every_changed_or_missing_byte_of_a_frame_is_damage_or_the_same_size() -> None:
    _, frame = compress(TEXT[:5000], 3)
    for position in range(len(frame)):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[position] ^= flip
            with contextlib.suppress(CorruptionError):
                assert len(decompress(Codec.ZSTD, bytes(damaged), 5000)) == 5000
        with pytest.raises(CorruptionError):
            decompress(Codec.ZSTD, frame[:position], 5000)


def test_a_frame_that_claims_more_than_the_table_says_is_not_expanded() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    assert len(bomb) < 30_000
    with pytest.raises(CorruptionError):
        decompress(Codec.ZSTD, bomb, 4096)


def test_a_frame_without_its_content_size_is_damage() -> None:
    data = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    with pytest.raises(CorruptionError):
        decompress(Codec.ZSTD, data, len(TEXT))


CHAIN = (BASE_TEXT, DELTA_TEXT, DEEP_TEXT)
FRAMES = [
    compress(BASE_TEXT, 3)[1],
    compress(DELTA_TEXT, 3, BASE_TEXT)[1],
    compress(DEEP_TEXT, 3, DELTA_TEXT)[1],
]
SIZES = [len(text) for text in CHAIN]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_chain_gives_its_last_chunk(length: int) -> None:
    assert decompress_chain(FRAMES[:length], SIZES[:length]) == CHAIN[length - 1]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("frame", [b"", b"no frame at all", b"\x28\xb5\x2f\xfd"])
def test_a_chain_with_something_else_than_a_frame_is_damage(number: int, frame: bytes) -> None:
    with pytest.raises(CorruptionError):
        decompress_chain([*FRAMES[:number], frame, *FRAMES[number + 1 :]], SIZES)


@pytest.mark.parametrize("number", range(3))
def test_a_chain_with_a_frame_that_claims_another_size_is_not_expanded(number: int) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    with pytest.raises(CorruptionError):
        decompress_chain([*FRAMES[:number], bomb, *FRAMES[number + 1 :]], SIZES)


def test_a_delta_with_many_new_rows_is_smaller_than_the_fastest_makes_it() -> None:
    chance = random.Random(9)
    words = [b"%x" % chance.getrandbits(20) for _ in range(400)]

    def row(number: int) -> bytes:
        time = b"2024-%02d-%02d" % (chance.randrange(12), chance.randrange(28))
        return b"%d\t%s\t%s\n" % (number, time, b" ".join(chance.choices(words, k=8)))

    base = [row(number) for number in range(3000)]
    plain = [row(number) if number % 5 == 0 else line for number, line in enumerate(base)]
    before, after = b"".join(base), b"".join(plain)
    _, frame = compress(after, 3, before)
    assert decompress(Codec.ZSTD_DELTA, frame, len(after), before) == after
    # What alone is tried where few rows are new.
    prefix = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    params = zstandard.ZstdCompressionParameters.from_level(
        1, window_log=20, hash_log=18, min_match=7
    )
    fastest = zstandard.ZstdCompressor(dict_data=prefix, compression_params=params).compress(after)
    assert len(frame) < 0.95 * len(fastest)
