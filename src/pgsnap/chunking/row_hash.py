"""Hashes of rows, for cutting (and for finding similar chunks). Stored data depends on every bit.

Changing how a hash is computed changes the cuts in every repository, so the next snapshot of each
would store everything again. `tests/unit/chunking` holds golden values.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

Offsets: TypeAlias = NDArray[np.int64]
Hashes: TypeAlias = NDArray[np.uint64]

WORD_BYTES = 8
PAIR_BYTES = 2 * WORD_BYTES
SAMPLED_BYTES = 3 * PAIR_BYTES
"""How much `RowHash.sampled` reads of a row; a row no longer than this is read completely."""

# Large enough that NumPy's overhead per call is negligible, small enough that a dozen arrays of
# this many 64-bit values fit into the L2 cache, and that a block of empty rows takes little memory.
_ROWS_AT_A_TIME = 16 * 1024

_MASK = (1 << 64) - 1


def _own_bytes(place: int) -> Hashes:
    """Return, by row length below 16, the mask of the bytes that belong to a row.

    The row ends where a pair ends; *place* 0 is the pair's first word, 1 its second.
    """
    bits = [8 * min(max(length - 8 * (1 - place), 0), 8) for length in range(PAIR_BYTES)]
    return np.array([_MASK ^ (_MASK >> count) for count in bits], np.uint64)


_HEAD_BYTES = np.array([(1 << (8 * length)) - 1 for length in range(WORD_BYTES)], np.uint64)
"""By row length below 8, the mask of the bytes that belong to a row that starts with a word."""
_OWN_FIRST, _OWN_SECOND = _own_bytes(0), _own_bytes(1)


class UnalignedWords:
    """The 64-bit little-endian words at every byte of a buffer, accessible by offset."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        size = len(buffer)
        self._words: NDArray[Any] = np.ndarray(
            shape=(size - WORD_BYTES + 1,), dtype="<u8", buffer=buffer, strides=(1,)
        )
        # NumPy loads sixteen bytes from an unaligned address as fast as eight.
        self._pairs: NDArray[Any] = np.ndarray(
            shape=(size - PAIR_BYTES + 1,), dtype="V16", buffer=buffer, strides=(1,)
        )

    def at(self, offsets: Offsets) -> Hashes:
        """Return the word at each offset."""
        words: Hashes = self._words[offsets]
        return words

    def pairs_at(self, offsets: Offsets) -> tuple[Hashes, Hashes]:
        """Return the words at each offset and the words after them."""
        pairs = self._pairs[offsets].view("<u8").reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


def multipliers(key: int | bytes, purpose: int, count: int) -> list[np.uint64]:
    """Return *count* odd 64-bit numbers that depend on *key* and *purpose*.

    The generator is splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
    Generators, 2014); for a secret key, of 32 bytes, it is keyed BLAKE3.
    """
    if isinstance(key, bytes):
        words = np.frombuffer(blake3(bytes([purpose]), key=key).digest(8 * count), "<u8")
        return [np.uint64(word | 1) for word in words.tolist()]
    state = (key ^ (purpose * 0xD1342543DE82EF95)) & _MASK
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        numbers.append(np.uint64((word ^ (word >> 31)) | 1))
    return numbers


class RowHash:
    """Hashes rows that lie in one buffer, many at a time.

    A hash is a sum of words, each multiplied by its own odd number (multilinear hashing, Carter and
    Wegman 1979, modulo 2**64), mixed at the end. The numbers are derived from the key. That alone
    hides nothing: who sees enough cuts can compute them. With a secret key what decides is never a
    hash itself but its `Permutation`.

    A row is given by the offset of its first byte and that of its line end, which is not hashed.
    The buffer must hold at least 16 bytes before the first row and 16 after the last.
    """

    def __init__(self, key: int | bytes) -> None:
        self._sampled = multipliers(key, purpose=1, count=9)
        self._whole = multipliers(key, purpose=2, count=4)
        self._head = multipliers(key, purpose=3, count=2)

    def sampled(self, words: UnalignedWords, starts: Offsets, stops: Offsets) -> Hashes:
        """Return the hash of six words and the length of each row: two words each at its start,
        middle and end.

        No word extends beyond its row, so a row's hash depends on nothing else. Rows below 16 bytes
        are hashed completely.
        """
        hashes = np.empty(len(starts), np.uint64)
        for first in range(0, len(starts), _ROWS_AT_A_TIME):
            part = slice(first, first + _ROWS_AT_A_TIME)
            hashes[part] = self._sample(words, starts[part], stops[part])
        return hashes

    def _sample(self, words: UnalignedWords, starts: Offsets, stops: Offsets) -> Hashes:
        lengths = stops - starts
        first, second = words.pairs_at(stops - PAIR_BYTES)
        short = np.flatnonzero(lengths < PAIR_BYTES)
        if len(short):
            first[short] &= _OWN_FIRST[lengths[short]]
            second[short] &= _OWN_SECOND[lengths[short]]
        total = self._sum((first, second), 4)
        if len(short) < len(starts):
            middles = (starts + stops) >> 1
            more = self._sum(words.pairs_at(starts), 0)
            more += self._sum(words.pairs_at(middles - WORD_BYTES), 2)
            more[short] = 0
            total += more
        total += lengths.astype(np.uint64) * self._sampled[6] + self._sampled[7]
        return _stir(total, self._sampled[8])

    def heads(self, words: UnalignedWords, starts: Offsets, stops: Offsets) -> Hashes:
        """Return the hash of the first eight bytes of each row."""
        total = words.at(starts)
        lengths = stops - starts
        short = np.flatnonzero(lengths < WORD_BYTES)
        if len(short):
            total[short] &= _HEAD_BYTES[lengths[short]]
        total *= self._head[0]
        return _stir(total, self._head[1])

    def _sum(self, pair: tuple[Hashes, Hashes], first: int) -> Hashes:
        total = pair[0] * self._sampled[first]
        total += pair[1] * self._sampled[first + 1]
        return total

    def whole(self, words: UnalignedWords, starts: Offsets, stops: Offsets) -> Hashes:
        """Return the hash of all bytes of each row. Rows are at least 8 bytes long.

        It takes some eight bytes of temporary memory per byte of a row, so use it for a chunk's
        rows at most.
        """
        lengths = stops - starts
        counts = (lengths + WORD_BYTES - 1) // WORD_BYTES
        firsts = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
        offsets = np.repeat(starts, counts) + places * WORD_BYTES
        np.minimum(offsets, np.repeat(stops - WORD_BYTES, counts), out=offsets)
        values = _stir(
            words.at(offsets) + places.astype(np.uint64) * self._whole[0], self._whole[1]
        )
        sums: Hashes = np.add.reduceat(values, firsts)
        sums += lengths.astype(np.uint64) * self._whole[2]
        return _stir(sums, self._whole[3])


def _stir(values: Hashes, multiplier: np.uint64) -> Hashes:
    """Mix *values* in place, so that every bit affects the upper bits."""
    values ^= values >> np.uint64(32)
    values *= multiplier
    values ^= values >> np.uint64(29)
    return values
