"""The escapes of COPY's text format, undone in whole buffers."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Positions: TypeAlias = NDArray[np.int64]

BACKSLASH = 0x5C
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# The server writes none of these, but reads them: numbers of bytes, in digits.
_DIGITS = b"01234567x"


def escape_starts(data: Bytes) -> Positions:
    """Return where escapes begin in *data*, which holds whole values: in a run of backslashes each
    second one is escaped by the one before."""
    slashes = np.flatnonzero(data == BACKSLASH)
    if not len(slashes):
        return slashes
    numbers = np.arange(len(slashes))
    begins = np.empty(len(slashes), np.bool_)
    begins[0] = True
    np.not_equal(slashes[1:], slashes[:-1] + 1, out=begins[1:])
    within = numbers - np.maximum.accumulate(np.where(begins, numbers, 0))
    starts: Positions = slashes[within & 1 == 0]
    return starts


def has_numbers(data: Bytes, starts: Positions) -> bool:
    """Return whether an escape is the number of a byte."""
    return bool(np.isin(data[starts + 1], np.frombuffer(_DIGITS, np.uint8)).any())


def meanings() -> Bytes:
    """Return for each byte what it means after a backslash."""
    table = np.arange(256, dtype=np.uint8)
    for letter, meant in _LETTERS.items():
        table[ord(letter)] = ord(meant)
    return table
