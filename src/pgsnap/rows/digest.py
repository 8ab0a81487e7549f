"""128-bit digests of whole rows, many at a time: rows with the same digest are considered equal.

They protect against accidental collisions only (against intentional ones there is the sections'
BLAKE3), are never stored, and may change with any version.

A row is split into words of 8 bytes, the last one padded with zeros. Each word is mixed (multiplied
and folded, so that high bits affect low ones), then multiplied by two numbers for its position and
summed modulo 2**64 (multilinear hashing, Carter and Wegman 1979); the length is added the same way,
and the two sums are mixed again. Rows beyond PIECE_BYTES are digested in pieces, and the digests of
the pieces like a row: so a row of any size can be digested as a stream.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import WORD_BYTES, Hashes, Offsets, multipliers

Digests: TypeAlias = NDArray[np.uint64]
"""Digests, of shape (rows, 2)."""

_BLOCK_BYTES = 64
_BLOCK_WORDS = _BLOCK_BYTES // WORD_BYTES
PIECE_BYTES = 64 * _BLOCK_BYTES
MARGIN_BYTES = _BLOCK_BYTES
"""How many bytes a buffer must have after its last row."""

# This many blocks and their temporaries fit into the L2 cache.
_ROWS_AT_A_TIME = 4096
_PURPOSE = 3
_DIGEST_BYTES = 2 * WORD_BYTES


def _own_bytes() -> NDArray[np.uint8]:
    """Return, by the number of bytes left in a row, the mask for a block's bytes."""
    counts = np.arange(_BLOCK_BYTES + 1)
    masks: NDArray[np.bool_] = np.arange(_BLOCK_BYTES) < counts[:, None]
    return masks.astype(np.uint8) * np.uint8(255)


class RowDigest:
    """Digests rows. Thread-safe; NumPy releases the GIL meanwhile."""

    def __init__(self) -> None:
        places = PIECE_BYTES // _BLOCK_BYTES + 1
        count = places * _BLOCK_WORDS * 2
        numbers = np.array(multipliers(0, _PURPOSE, count + 8), np.uint64)
        # One matrix per block of a piece, the last one for the rest after whole blocks.
        self._places = numbers[:count].reshape(places, _BLOCK_WORDS, 2)
        self._of_length = numbers[count : count + 2]
        self._of_total = numbers[count + 2 : count + 4]
        self._stir_word, self._stir_row = numbers[count + 4], numbers[count + 5 : count + 7]
        self._masks = _own_bytes().view(f"V{_BLOCK_BYTES}").ravel()

    def digest(self, buffer: NDArray[np.uint8], starts: Offsets, stops: Offsets) -> Digests:
        """Return the digests of the rows from *starts* to *stops*.

        *buffer* has at least MARGIN_BYTES after the last row; their content does not matter.
        """
        lengths = stops - starts
        digests = np.empty((len(starts), 2), np.uint64)
        is_long = lengths > PIECE_BYTES
        if is_long.any():
            long, short = np.flatnonzero(is_long), np.flatnonzero(~is_long)
            digests[short] = self._pieces(buffer, starts[short], lengths[short])
            digests[long] = self._long(buffer, starts[long], lengths[long])
            return digests
        return self._pieces(buffer, starts, lengths)

    def digest_one(self, row: bytes) -> Digests:
        """Return the digest of one row, of shape (1, 2)."""
        buffer = np.frombuffer(row + bytes(MARGIN_BYTES), np.uint8)
        return self.digest(buffer, np.array([0]), np.array([len(row)]))

    def joined(self, pieces: Digests, length: int) -> Digests:
        """Return the digest of a row longer than PIECE_BYTES from those of its pieces."""
        return self._joined(pieces, np.array([len(pieces)]), np.array([length]))

    def _long(self, buffer: NDArray[np.uint8], starts: Offsets, lengths: Offsets) -> Digests:
        counts = (lengths + PIECE_BYTES - 1) // PIECE_BYTES
        places = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        of_pieces = np.repeat(starts, counts) + places * PIECE_BYTES
        sizes = np.minimum(np.repeat(lengths, counts) - places * PIECE_BYTES, PIECE_BYTES)
        return self._joined(self._pieces(buffer, of_pieces, sizes), counts, lengths)

    def _joined(self, pieces: Digests, counts: Offsets, lengths: Offsets) -> Digests:
        text = np.zeros(len(pieces) * _DIGEST_BYTES + MARGIN_BYTES, np.uint8)
        text[: len(pieces) * _DIGEST_BYTES] = np.ascontiguousarray(pieces).view(np.uint8).ravel()
        stops = np.cumsum(counts) * _DIGEST_BYTES
        sums = self.digest(text, stops - counts * _DIGEST_BYTES, stops)
        sums += lengths.astype(np.uint64)[:, None] * self._of_total
        return _folded(sums, self._stir_row)

    def _pieces(self, buffer: NDArray[np.uint8], starts: Offsets, lengths: Offsets) -> Digests:
        """Return the digests of rows of at most PIECE_BYTES."""
        blocks: NDArray[Any] = np.ndarray(
            shape=(len(buffer) - _BLOCK_BYTES + 1,),
            dtype=f"V{_BLOCK_BYTES}",
            buffer=buffer,
            strides=(1,),
        )
        digests = np.empty((len(starts), 2), np.uint64)
        for first in range(0, len(starts), _ROWS_AT_A_TIME):
            part = slice(first, first + _ROWS_AT_A_TIME)
            digests[part] = self._sums(blocks, starts[part], lengths[part])
        return digests

    def _sums(self, blocks: NDArray[Any], starts: Offsets, lengths: Offsets) -> Digests:
        whole = lengths // _BLOCK_BYTES
        words = blocks[starts + whole * _BLOCK_BYTES].view("<u8")
        words &= self._masks[lengths % _BLOCK_BYTES].view("<u8")
        sums = self._product(words, len(self._places) - 1)
        for place in range(int(whole.max(initial=0))):
            more = np.flatnonzero(whole > place)
            words = blocks[starts[more] + place * _BLOCK_BYTES].view("<u8")
            sums[more] += self._product(words, place)
        sums += lengths.astype(np.uint64)[:, None] * self._of_length
        return _folded(sums, self._stir_row)

    def _product(self, words: Hashes, place: int) -> Digests:
        sums: Digests = (
            _folded(words, self._stir_word).reshape(-1, _BLOCK_WORDS) @ (self._places[place])
        )
        return sums


def _folded(values: Hashes, multiplier: np.uint64 | Hashes) -> Hashes:
    """Mix *values* in place, so that every bit affects many others; 0 stays 0."""
    values ^= values >> np.uint64(32)
    values *= multiplier
    values ^= values >> np.uint64(29)
    return values


class LongRow:
    """Digests one row as its bytes arrive in blocks, with the same result as `RowDigest.digest`."""

    def __init__(self, digest: RowDigest) -> None:
        self._digest = digest
        self._pieces: list[Digests] = []
        self._rest = b""
        self.size = 0

    def feed(self, block: bytes) -> None:
        self.size += len(block)
        text = self._rest + block
        whole = len(text) - len(text) % PIECE_BYTES
        self._rest = text[whole:]
        if whole:
            self._pieces.append(self._of(text[:whole]))

    def finish(self) -> Digests:
        """Return the digest, of shape (1, 2)."""
        if self.size <= PIECE_BYTES and not self._pieces:
            return self._digest.digest_one(self._rest)
        if self._rest:
            self._pieces.append(self._of(self._rest))
        pieces = np.concatenate(self._pieces)
        return pieces if self.size <= PIECE_BYTES else self._digest.joined(pieces, self.size)

    def _of(self, text: bytes) -> Digests:
        buffer = np.frombuffer(text + bytes(MARGIN_BYTES), np.uint8)
        starts = np.arange(0, len(text), PIECE_BYTES)
        return self._digest.digest(buffer, starts, np.minimum(starts + PIECE_BYTES, len(text)))
