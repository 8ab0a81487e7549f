"""Cuts inside a row that is too long for a chunk: content-defined, at any byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import PAIR_BYTES, WORD_BYTES, multipliers
from pgsnap.chunking.secret import Permutation, Purpose

CONTEXT_BYTES = PAIR_BYTES
"""Whether a byte is a cut depends on this many bytes before it."""

# Cuts of encrypted repositories depend on it.
_SIFTED = 64
_SIFTED_BELOW = np.uint64((1 << 64) // _SIFTED)

# How many positions are searched at a time. Two thirds of all searches end within 192 KiB.
_POSITIONS_AT_A_TIME = 128 * 1024


class InRowCutter:
    """Finds the first byte of a range whose *CONTEXT_BYTES* predecessors hash below a threshold.

    The hash is the sum of two words, each multiplied by an odd number derived from the key. With a
    *permutation* that of the hash decides, at one position in _SIFTED: which these are is decided
    by a hash that everybody can compute, so it gives nothing away, and saves most of the work.
    Holds three work arrays of 1 MiB from its first use on.
    """

    def __init__(
        self, mean_distance: int, key: int | bytes, permutation: Permutation | None = None
    ) -> None:
        self._permutation = permutation
        self._own = multipliers(key, purpose=3, count=2)
        self._first, self._second = self._own
        self._threshold = np.uint64((1 << 64) // mean_distance)
        if permutation is not None:
            self._first, self._second = multipliers(0, purpose=3, count=2)
            self._threshold = np.uint64(min(_SIFTED * (1 << 64) // mean_distance, (1 << 64) - 1))
        self._words: NDArray[np.uint64] | None = None

    def first_cut(self, buffer: NDArray[np.uint8], low: int, high: int) -> int | None:
        """Return the first cut from *low* to *high*, both inclusive, or None.

        The buffer must hold *CONTEXT_BYTES* before *low* and as many after *high*, of any content:
        bytes from *high* on have no influence.
        """
        for start in range(low, high + 1, _POSITIONS_AT_A_TIME):
            stop = min(start + _POSITIONS_AT_A_TIME, high + 1)
            cut = self._first_in(buffer, start, stop)
            if cut is not None:
                return cut
        return None

    def _first_in(self, buffer: NDArray[np.uint8], start: int, stop: int) -> int | None:
        # Row p, column j stands for byte start + p + 8 j. So every word is loaded only once, and
        # the arithmetic runs over contiguous memory.
        columns = -(-(stop - start) // WORD_BYTES)
        words, firsts, seconds = self._work_arrays(columns)
        np.copyto(
            words,
            np.ndarray(
                shape=words.shape,
                dtype="<u8",
                buffer=buffer,
                offset=start - CONTEXT_BYTES,
                strides=(1, WORD_BYTES),
            ),
        )
        np.multiply(words[:, :-1], self._first, out=firsts)
        np.multiply(words[:, 1:], self._second, out=seconds)
        firsts += seconds
        if self._permutation is None:
            found = np.flatnonzero(firsts.reshape(-1) < self._threshold)
        else:
            found = np.flatnonzero(firsts.reshape(-1) < _SIFTED_BELOW)
            phases, places = np.divmod(found, columns)
            hashes = words[phases, places] * self._own[0]
            hashes += words[phases, places + 1] * self._own[1]
            found = found[self._permutation.of(hashes, Purpose.IN_ROW) < self._threshold]
        if not len(found):
            return None
        phases, places = np.divmod(found, columns)
        cut = start + int((phases + places * WORD_BYTES).min())
        return cut if cut < stop else None

    def _work_arrays(
        self, columns: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        if self._words is None:
            most = WORD_BYTES * (_POSITIONS_AT_A_TIME // WORD_BYTES + 1)
            self._words = np.empty((3, most), np.uint64)
        size = WORD_BYTES * columns
        words = self._words[0, : size + WORD_BYTES].reshape(WORD_BYTES, columns + 1)
        firsts = self._words[1, :size].reshape(WORD_BYTES, columns)
        return words, firsts, self._words[2, :size].reshape(WORD_BYTES, columns)
