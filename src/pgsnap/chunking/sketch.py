"""Sketches of chunks: a few numbers that similar chunks share.

A value is the minimum of a permutation of the hashes of a chunk's rows, so the probability that two
chunks share it is the proportion of rows they share (min-wise hashing, A. Broder: On the
resemblance and containment of documents, 1997). Half of the values use whole rows, half only their
first eight bytes, where the key usually is: so rows are still recognised if all of them changed in
one column.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import Hashes, multipliers
from pgsnap.limits import SKETCH_VALUES

Values: TypeAlias = NDArray[np.uint32]

NO_SKETCH = bytes(4 * SKETCH_VALUES)
"""The sketch of a chunk that contains no whole row."""


class Sketcher:
    """Computes sketches. Its multipliers depend on the key, like those of the row hash."""

    def __init__(self, key: int | bytes) -> None:
        self._of_rows = np.array(multipliers(key, purpose=4, count=SKETCH_VALUES // 2), np.uint64)
        self._of_heads = np.array(multipliers(key, purpose=5, count=SKETCH_VALUES // 2), np.uint64)

    def sketch(self, rows: Hashes, heads: Hashes) -> bytes:
        """Return the sketch of a chunk whose rows have these hashes: u32 values, little-endian."""
        if not len(rows):
            return NO_SKETCH
        values = [_least(rows, number) for number in self._of_rows]
        values += [_least(heads, number) for number in self._of_heads]
        return np.array(values, "<u4").tobytes()


def _least(hashes: Hashes, number: np.uint64) -> int:
    # Zero means no sketch.
    return max(int((hashes * number).min() >> np.uint64(32)), 1)
