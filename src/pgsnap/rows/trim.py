"""Removes equal rows from two similar texts, by comparing bytes in place.

It is many times as fast as hashing every row, and finds what is typical of differences: long
stretches of equal rows between a few that were changed, added or removed. Rows that it misses are
left to hashing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pgsnap.limits import KIB

_FIRST_STEP, _LARGEST_STEP = 8 * KIB, 256 * KIB
# How much of a row must be found again for the sides to be in step, and how far it is searched for.
_PROBE_BYTES = 48
_SEARCHED_BYTES = 16 * KIB
# At the start of the texts the sides may be further apart.
_SEARCHED_FIRST_BYTES = 512 * KIB
# With fewer equal bytes between two differences, hashing is faster.
_EQUAL_BYTES_MIN = 4 * KIB
_TRIED_FIRST = 32


def without_equal(a: bytes, b: bytes) -> tuple[list[bytes], list[bytes], bytes, bytes]:
    """Remove rows that occur in both texts of complete rows, in pairs, one from each.

    Returns the rows left of each, and what one of the texts has beyond the end of the other: these
    rows may have their equals in what comes next.
    """
    first, second = np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)
    left_a: list[bytes] = []
    left_b: list[bytes] = []
    i = k = equal = tries = 0
    while i < len(a) and k < len(b):
        common = _common_bytes(first[i:], second[k:])
        rows = a.rfind(b"\n", i, i + common) + 1 - i if common else 0
        if rows > 0:
            i, k, equal = i + rows, k + rows, equal + rows
            continue
        tries += 1
        if tries > _TRIED_FIRST and equal < tries * _EQUAL_BYTES_MIN:
            return [*left_a, a[i:]], [*left_b, b[k:]], b"", b""
        reach = _SEARCHED_FIRST_BYTES if tries == 1 and not equal else _SEARCHED_BYTES
        next_i, next_k = _in_step(a, i, b, k, reach)
        left_a.append(a[i:next_i])
        left_b.append(b[k:next_k])
        i, k = next_i, next_k
    return left_a, left_b, a[i:], b[k:]


def _common_bytes(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Return the length of the common prefix of the two, in bytes."""
    size = min(len(a), len(b))
    position, step = 0, _FIRST_STEP
    while position < size:
        end = min(position + step, size)
        differs = a[position:end] != b[position:end]
        place = int(differs.argmax())
        if differs[place]:
            return position + place
        position, step = end, min(2 * step, _LARGEST_STEP)
    return size


def _in_step(a: bytes, i: int, b: bytes, k: int, reach: int) -> tuple[int, int]:
    """Return the row starts after *i* and *k*, where the rows differ, from which to continue."""
    next_i, next_k = a.find(b"\n", i) + 1 or len(a), b.find(b"\n", k) + 1 or len(b)
    probe = a[next_i : next_i + _PROBE_BYTES]
    if b.startswith(probe, next_k):
        return next_i, next_k
    # After a row that was removed or added on one side comes the other side's row.
    found = a.find(b"\n" + b[k : k + _PROBE_BYTES], i, i + reach)
    if found >= 0:
        return found + 1, k
    found = b.find(b"\n" + a[i : i + _PROBE_BYTES], k, k + reach)
    if found >= 0:
        return i, found + 1
    return next_i, next_k
