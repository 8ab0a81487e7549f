"""The escapes of COPY's text format, undone in whole buffers."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pgsnap.dump.definitions.copy_text import without_escapes

Bytes: TypeAlias = NDArray[np.uint8]
Positions: TypeAlias = NDArray[np.int64]

BACKSLASH = 0x5C
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# The server writes none of these, but reads them: numbers of bytes, in digits.
_DIGITS = b"01234567x"
_PIECE_BYTES = 256 * 1024


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


def long_value(data: Bytes) -> Bytes:
    """Return a value without its escapes, *data* itself if there are none: piece by piece, so that
    little is held beside the two."""
    text = data.data
    found: Bytes | None = None
    start = written = 0
    while start < len(data):
        end = min(start + _PIECE_BYTES, len(data))
        slashes = bytes(text[start:end])
        if found is None and b"\\" not in slashes:
            start = end
            continue
        # The last backslash of an odd number of them belongs to what follows.
        end += (len(slashes) - len(slashes.rstrip(b"\\"))) & 1
        piece = data[start:end]
        begins = escape_starts(piece)
        if has_numbers(piece, begins):
            return np.frombuffer(without_escapes(data.tobytes()), np.uint8)
        if found is None:
            found = np.empty(len(data), np.uint8)
            found[:start] = data[:start]
            written = start
        meant = piece.copy()
        meant[begins + 1] = meanings()[piece[begins + 1]]
        keep = np.ones(len(piece), np.bool_)
        keep[begins] = False
        meant = meant[keep]
        found[written : written + len(meant)] = meant
        written += len(meant)
        start = end
    return data if found is None else found[:written]


def meanings() -> Bytes:
    """Return for each byte what it means after a backslash."""
    table = np.arange(256, dtype=np.uint8)
    for letter, meant in _LETTERS.items():
        table[ord(letter)] = ord(meant)
    return table
