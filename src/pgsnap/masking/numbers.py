"""Keyed permutations of integers: each number becomes another one, and no two the same.

A hash cut to 32 bits would give two of 100,000 keys the same value more often than not. So numbers
are permuted, by Feistel networks whose round functions are tables drawn from keyed BLAKE3, with
NumPy. A number keeps its sign, and a permuted number of less than 31 bits has less than 31 bits, so
that columns of integer and bigint that refer to each other still fit.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

_ROUNDS = 8
_HALF = np.uint64(16)
_LOW = np.uint64(0xFFFF)
_WORD = np.uint64(32)
_LOW_WORD = np.uint64(0xFFFFFFFF)
_SMALL = np.uint64(1 << 31)
_LARGE = np.uint64(1 << 63)


class Permutation:
    """A permutation of the integers of *width* bits: 16, 32 or 64."""

    def __init__(self, key: bytes, width: int) -> None:
        self._key = key
        self._width = width

    def of(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
        """Return what *numbers* become."""
        is_negative = numbers < 0
        # -1 and 0 are the first of their sides: all of int64 has a place.
        sides = np.where(is_negative, ~numbers, numbers).astype(np.uint64)
        permuted = self._side(sides).astype(np.int64)
        found: list[int] = np.where(is_negative, ~permuted, permuted).tolist()
        return found

    def _side(self, numbers: Numbers) -> Numbers:
        if self._width == 16:
            return _tiny(self._key)[numbers]
        found = numbers.copy()
        is_small = numbers < _SMALL
        found[is_small] = _walked(self._key, numbers[is_small], is_large=False)
        if not is_small.all():
            found[~is_small] = _walked(self._key, numbers[~is_small], is_large=True)
        return found


@cache
def _tiny(key: bytes) -> Numbers:
    """Return the permutation of the numbers below 2^15, as a table."""
    drawn = blake3(b"numbers of 15 bits", key=key).digest(8 << 15)
    return np.argsort(np.frombuffer(drawn, dtype="<u8"), kind="stable").astype(np.uint64)


@cache
def _tables(key: bytes, bits: int) -> Numbers:
    """Return tables of random numbers for all rounds, each for a half word of 16 bits."""
    per_round = 1 if bits == 16 else 4
    drawn = blake3(b"rounds of %d bits" % bits, key=key).digest(_ROUNDS * per_round * 65536 * 4)
    tables = np.frombuffer(drawn, dtype="<u4").astype(np.uint64)
    return tables.reshape(_ROUNDS, per_round, 65536)


def _walked(key: bytes, numbers: Numbers, *, is_large: bool) -> Numbers:
    """Permute *numbers* within their range: those that fall outside of it are permuted again."""
    permute = _permuted_64 if is_large else _permuted_32
    found = permute(key, numbers)
    while True:
        outside = (found >= _LARGE) | (found < _SMALL) if is_large else found >= _SMALL
        if not outside.any():
            return found
        found[outside] = permute(key, found[outside])


def _permuted_32(key: bytes, numbers: Numbers) -> Numbers:
    left, right = numbers >> _HALF, numbers & _LOW
    for (table,) in _tables(key, 16):
        left, right = right, left ^ (table[right] & _LOW)
    return (left << _HALF) | right


def _permuted_64(key: bytes, numbers: Numbers) -> Numbers:
    left, right = numbers >> _WORD, numbers & _LOW_WORD
    for first, second, third, fourth in _tables(key, 32):
        mixed = (first[right >> _HALF] + second[right & _LOW]) & _LOW_WORD
        left, right = right, left ^ third[mixed >> _HALF] ^ fourth[mixed & _LOW]
    return (left << _WORD) | right
