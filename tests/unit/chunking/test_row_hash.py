"""Row hashes depend on the row's own bytes, and on nothing around it."""

from __future__ import annotations

import numpy as np
import pytest

from pgsnap.chunking.row_hash import PAIR_BYTES, RowHash, UnalignedWords, multipliers


def hash_in(before: bytes, row: bytes, after: bytes, *, whole: bool = False, key: int = 0) -> int:
    margin = bytes(PAIR_BYTES)
    buffer = np.frombuffer(margin + before + row + after + margin, np.uint8)
    start = np.array([PAIR_BYTES + len(before)])
    hasher = RowHash(key)
    method = hasher.whole if whole else hasher.sampled
    return int(method(UnalignedWords(buffer), start, start + len(row))[0])


@pytest.mark.parametrize("length", [*range(20), 31, 32, 48, 100])
def test_a_rows_hash_does_not_depend_on_what_stands_around_it(length: int) -> None:
    row = bytes(range(33, 33 + length))
    alone = hash_in(b"", row, b"")
    assert hash_in(b"\xff" * 17, row, b"\nyyyyyyyyyyyyyyyyyyyyyyy") == alone
    assert hash_in(b"abc\n", row, b"\n") == alone


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 30, 48])
def test_every_byte_of_a_row_of_up_to_48_bytes_counts(length: int) -> None:
    row = bytes(range(33, 33 + length))
    hashes = {hash_in(b"", row, b"\n")}
    for i in range(length):
        hashes.add(hash_in(b"", row[:i] + b"\xfe" + row[i + 1 :], b"\n"))
    assert len(hashes) == length + 1


def test_the_length_counts_where_the_bytes_are_alike() -> None:
    assert len({hash_in(b"", b"\0" * length, b"\n") for length in range(100)}) == 100


@pytest.mark.parametrize("length", [8, 49, 64, 71, 200])
def test_every_byte_counts_in_the_whole_hash(length: int) -> None:
    row = bytes(33 + i % 90 for i in range(length))
    hashes = {hash_in(b"", row, b"\n", whole=True)}
    for i in range(length):
        hashes.add(hash_in(b"zzz", row[:i] + b"\xfe" + row[i + 1 :], b"", whole=True))
    assert len(hashes) == length + 1


def test_the_whole_hash_sees_words_that_change_places() -> None:
    a, b = b"A" * 8, b"B" * 8
    assert hash_in(b"", a + b + a, b"", whole=True) != hash_in(b"", b + a + a, b"", whole=True)


def test_many_rows_hash_as_each_of_them_does() -> None:
    rows = [b"r" * (i % 61) + b"%d" % i for i in range(40_000)]
    text = bytes(PAIR_BYTES) + b"\n".join(rows) + b"\n" + bytes(PAIR_BYTES)
    stops = np.flatnonzero(np.frombuffer(text, np.uint8) == 10)
    starts = np.concatenate(([PAIR_BYTES], stops[:-1] + 1))
    hashes = RowHash(7).sampled(UnalignedWords(np.frombuffer(text, np.uint8)), starts, stops)
    for i in (0, 1, 16_383, 16_384, 39_999):
        assert int(hashes[i]) == hash_in(b"", rows[i], b"\n", key=7)


def test_multipliers_are_odd_and_differ_by_key_and_purpose() -> None:
    numbers = [
        int(number)
        for key in (0, 1, (1 << 64) - 1)
        for purpose in (1, 2, 3)
        for number in multipliers(key, purpose, 8)
    ]
    assert all(number % 2 for number in numbers)
    assert len(set(numbers)) == len(numbers)
