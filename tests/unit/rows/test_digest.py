"""The digest of a row depends on all its bytes, and on nothing around it."""

from __future__ import annotations

import numpy as np
import pytest

from pgsnap.rows.digest import MARGIN_BYTES, PIECE_BYTES, LongRow, RowDigest

DIGEST = RowDigest()


def digest_in(before: bytes, row: bytes, after: bytes) -> tuple[int, int]:
    buffer = np.frombuffer(before + row + after + b"\xa5" * MARGIN_BYTES, np.uint8)
    start = np.array([len(before)])
    first, second = DIGEST.digest(buffer, start, start + len(row))[0].tolist()
    return first, second


SIZES = [0, 1, 7, 8, 63, 64, 65, 200, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 70]


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_counts_in_both_halves_and_nothing_else_does(size: int) -> None:
    row = bytes(33 + i % 90 for i in range(size))
    alone = digest_in(b"", row, b"")
    assert digest_in(b"abc\n", row, b"\nyyyy") == alone
    places = range(size) if size < 300 else range(0, size, 61)
    others = [digest_in(b"", row[:i] + b"\xfe" + row[i + 1 :], b"") for i in places]
    for half in (0, 1):
        assert len({alone[half], *(other[half] for other in others)}) == len(places) + 1


def test_the_length_counts_where_the_bytes_are_alike() -> None:
    found = {digest_in(b"", b"\0" * size, b"") for size in range(0, 3 * PIECE_BYTES, 37)}
    assert len(found) == len(range(0, 3 * PIECE_BYTES, 37))


def test_words_that_change_places_and_digits_far_up_in_words_count() -> None:
    a, b = b"A" * 8, b"B" * 8
    assert digest_in(b"", a + b, b"") != digest_in(b"", b + a, b"")
    # Only the topmost byte of two words differs: sums of products alone would often be equal.
    rows = [b"aaaaaaa%cbbbbbbb%c" % (i, k) for i in range(32, 127) for k in range(32, 127)]
    found = [digest_in(b"", row, b"") for row in rows]
    for half in (0, 1):
        assert len({each[half] for each in found}) == len(rows)


def test_many_rows_have_the_digests_that_each_has_alone() -> None:
    rows = [b"r" * (i * 7 % 300) + b"%d" % i for i in range(9000)]
    rows[5000] = b"long" * PIECE_BYTES
    text = b"\n".join(rows) + b"\n"
    buffer = np.frombuffer(text + bytes(MARGIN_BYTES), np.uint8)
    stops = np.flatnonzero(buffer[: len(text)] == 10)
    starts = np.concatenate(([0], stops[:-1] + 1))
    found = DIGEST.digest(buffer, starts, stops)
    for i in (0, 1, 4095, 4096, 5000, 8999):
        assert tuple(found[i].tolist()) == digest_in(b"", rows[i], b"")


@pytest.mark.parametrize("size", SIZES)
def test_a_row_that_arrives_in_blocks_has_the_same_digest(size: int) -> None:
    row = bytes(i % 251 for i in range(size))
    for step in (1000, PIECE_BYTES, 1 << 20):
        long = LongRow(DIGEST)
        for start in range(0, size, step):
            long.feed(row[start : start + step])
        assert tuple(long.finish()[0].tolist()) == digest_in(b"", row, b"")
