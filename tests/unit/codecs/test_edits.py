"""Lists of edits: what is written reads back; what is damaged is found, before it takes memory."""

from __future__ import annotations

import random

import numpy as np
import pytest
import zstandard

from pgsnap.codecs.edits import encode_edits
from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError
from pgsnap.limits import EDITS_MAX
from pgsnap.model import Codec
from support.documents.examples import BASE_TEXT, EDITED_TEXT
from support.documents.packs import edits_frame

EMPTY_FRAME = zstandard.ZstdCompressor().compress(b"")


def frame_of(*edits: tuple[int, int, int], plain: bytes, base: bytes = BASE_TEXT) -> bytes:
    return encode_edits(np.array(edits, np.int64).reshape(-1, 3), base, plain)


def read(frame: bytes, size: int, base: bytes = BASE_TEXT) -> bytes:
    return decompress(Codec.EDITS, frame, size, base)


def test_edits_at_the_begin_in_the_middle_and_at_the_end_are_read() -> None:
    end = len(BASE_TEXT)
    plain = b"first" + BASE_TEXT[3:500] + BASE_TEXT[700:] + b"last\n"
    frame = frame_of((0, 3, 5), (500, 200, 0), (end, 0, 5), plain=plain)
    assert read(frame, len(plain)) == plain


def test_what_only_removes_has_no_text() -> None:
    frame = frame_of((10, 300, 0), plain=BASE_TEXT[:10] + BASE_TEXT[310:])
    # One edit: 10, 300 (two bytes), 0.
    assert frame.hex() == "010aac0200"
    assert read(frame, len(BASE_TEXT) - 300) == BASE_TEXT[:10] + BASE_TEXT[310:]


def test_everything_may_be_removed_and_another_text_put_in_its_place() -> None:
    frame = frame_of((0, len(BASE_TEXT), 4), plain=b"new\n")
    assert read(frame, 4) == b"new\n"


def test_numbers_of_every_length_are_read() -> None:
    base = bytes(2**21 + 2**15)
    edits = [(127, 1, 128), (300, 16_384, 0), (2**21 + 20_000, 1, 2**14)]
    text = random.Random(1).randbytes(128 + 2**14)
    plain = b"".join(
        [base[:127], text[:128], base[128:300], base[16_684 : 2**21 + 20_000], text[128:]]
    )
    plain += base[2**21 + 20_001 :]
    assert read(frame_of(*edits, plain=plain, base=base), len(plain), base) == plain


def test_a_changed_row_is_compressed_against_what_it_was() -> None:
    row = random.Random(2).randbytes(3000).replace(b"\n", b"")
    base, plain = row + b"\n", row[:1000] + b"x" + row[1000:] + b"\n"
    frame = frame_of((0, len(base), len(plain)), plain=plain, base=base)
    assert len(frame) < 60
    assert read(frame, len(plain), base) == plain


@pytest.mark.parametrize("removed", [1, 128 * 1024, 128 * 1024 + 1, 300_000])
def test_new_text_is_read_however_much_is_removed(removed: int) -> None:
    base = random.Random(3).randbytes(400_000)
    new = base[50 : 50 + removed] + b"changed"
    plain = base[:100] + new + base[100 + removed :]
    frame = frame_of((100, removed, len(new)), plain=plain, base=base)
    assert read(frame, len(plain), base) == plain
    assert removed < 1000 or len(frame) < 1000


@pytest.mark.parametrize("count", [1, 21, 22, 2000])
def test_lists_of_any_length_are_read(count: int) -> None:
    base = random.Random(4).randbytes(500 * count)
    places = range(0, len(base), 500)
    edits = [(place, place // 500 % 200, 3) for place in places]
    parts = [b"new" + base[start + removed : start + 500] for start, removed, _ in edits]
    plain = b"".join(parts)
    frame = frame_of(*edits, plain=plain, base=base)
    assert read(frame, len(plain), base) == plain


@pytest.mark.parametrize("edit", [(10, 4, 0), (10, 3, 1), (20, 3, 0), (10, 300, 0)])
def test_edits_that_do_not_make_the_chunk_are_not_written(edit: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="do not make"):
        frame_of(edit, plain=BASE_TEXT[:10] + BASE_TEXT[13:])


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "cannot be read"),
        (b"\x01\x80\x80\x80\x80\x01\x00\x00", "cannot be read"),
        (b"\x02\x00\x01\x00", "cannot be read"),
        (b"\xff\xff\xff\x7f", "claims 268435455 edits"),
        (b"\x01\xff\xff\xff\x7f\x01\x00", "beyond its base"),
        (b"\x01\x00\xff\xff\xff\x7f\x00", "beyond its base"),
        (b"\x01\x00\x00\xff\xff\xff\x7f", "do not give the size"),
        (b"\x01\x00\x0b\x01" + EMPTY_FRAME, "not of the size"),
        (b"\x01\x00\x0b\x01", "does not decompress"),
        (b"\x01\x00\x0a\x00" + EMPTY_FRAME, "no edit uses"),
    ],
)
def test_edits_that_cannot_be_right_are_damage(frame: bytes, why: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        read(frame, len(BASE_TEXT) - 10)
    assert why in f"{caught.value.message} {caught.value.detail}"


def test_more_edits_than_a_frame_may_have_are_damage() -> None:
    base = b"ab" * (EDITS_MAX + 1)
    edits = [(2 * number, 1, 0) for number in range(EDITS_MAX + 1)]
    plain = b"b" * (EDITS_MAX + 1)
    with pytest.raises(CorruptionError):
        read(frame_of(*edits, plain=plain, base=base), len(plain), base)
    plain += b"ab"
    assert (
        read(frame_of(*edits[:-1], plain=plain[1:], base=base), len(plain) - 1, base) == plain[1:]
    )


def test_every_truncation_is_found_or_changes_nothing() -> None:
    _, frame = edits_frame(EDITED_TEXT, BASE_TEXT, 1)
    for size in range(len(frame)):
        with pytest.raises(CorruptionError):
            read(frame[:size], len(EDITED_TEXT))


@pytest.mark.parametrize("base", [b"", b"x", b"another base" * 50, BASE_TEXT[:-1]])
def test_a_wrong_base_gives_damage_or_another_text(base: bytes) -> None:
    _, frame = edits_frame(EDITED_TEXT, BASE_TEXT, 1)
    try:
        plain = read(frame, len(EDITED_TEXT), base)
    except CorruptionError:
        return
    assert plain != EDITED_TEXT


def test_edits_without_their_base_are_damage() -> None:
    _, frame = edits_frame(EDITED_TEXT, BASE_TEXT, 1)
    with pytest.raises(CorruptionError) as caught:
        decompress(Codec.EDITS, frame, len(EDITED_TEXT))
    assert "no base" in caught.value.message
