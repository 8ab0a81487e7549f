"""Frames of new chunks: a delta against a base where that pays, within bounded chains.

How ranks bound chains (docs/decisions/deltas.md): a frame's depth is a rank that only has to fall
towards the base, so it can count in two digits, *long* and *short* steps. Each version of a chunk
is a short step from the one before, up to _SHORT_STEPS; the next one is a long step, from where
these short steps began. So _LONG_STEPS * (_SHORT_STEPS + 1) versions of a chunk fit under one plain
frame, and none is more than _LONG_STEPS + _SHORT_STEPS frames away from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.codecs.zstd import compress
from pgsnap.errors import SnapError
from pgsnap.limits import DELTA_DEPTH_MAX, DELTA_LONG_STEPS, DELTA_SHORT_STEPS
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame
from pgsnap.repository.chunks import ChunkReader
from pgsnap.repository.index import Index

_STRIDE = DELTA_SHORT_STEPS + 1
assert DELTA_LONG_STEPS * _STRIDE + DELTA_SHORT_STEPS < DELTA_DEPTH_MAX

# A delta of less than this share of its chunk is taken without a look at the plain frame, which is
# a third of it.
_SURELY_SMALL = 0.15
# Else it must be this much smaller than the plain frame, for all the reading that it costs.
_PAYS_BELOW = 0.8


class DeltaEncoder:
    """Makes the frames of new chunks. May be used by several threads."""

    def __init__(self, index: Index, chunks: ChunkReader, level: int) -> None:
        self._index = index
        self._chunks = chunks
        self._level = level

    def encode(
        self, name: ChunkId, plain: bytes, kind: ChunkKind, like: ChunkId | None
    ) -> tuple[Frame, bytes]:
        """Return the frame of a chunk, and its bytes; *like* is a stored chunk like it."""
        return self._smaller(
            name, plain, kind, self._delta(plain, like) if like is not None else None
        )

    def encode_against(
        self, name: ChunkId, plain: bytes, kind: ChunkKind, base: ChunkId | None, rank: int
    ) -> tuple[Frame, bytes]:
        """Return the frame of a chunk against this *base*, of this *rank*: plain where it does not
        pay, or where there is no base. Raises CorruptionError where the base cannot be read."""
        delta = None
        if base is not None:
            delta = base, rank, compress(plain, self._level, self._chunks.read(base))[1]
        return self._smaller(name, plain, kind, delta)

    def _smaller(
        self,
        name: ChunkId,
        plain: bytes,
        kind: ChunkKind,
        delta: tuple[ChunkId, int, bytes] | None,
    ) -> tuple[Frame, bytes]:
        if delta is not None and len(delta[2]) < len(plain) * _SURELY_SMALL:
            return _frame(name, kind, plain, *delta)
        codec, packed = compress(plain, self._level)
        if delta is not None and len(delta[2]) < len(packed) * _PAYS_BELOW:
            return _frame(name, kind, plain, *delta)
        return Frame(name, kind, codec, Cipher.NONE, 0, None, len(packed), len(plain)), packed

    def _delta(self, plain: bytes, like: ChunkId) -> tuple[ChunkId, int, bytes] | None:
        """Return base, rank and bytes of a delta, or None where the base cannot be relied upon."""
        try:
            chosen = self._choose(like)
            if chosen is None:
                return None
            base, rank = chosen
            return base, rank, compress(plain, self._level, self._chunks.read(base))[1]
        except SnapError:
            # What is damaged is found by `snap verify`; new snapshots just do not build on it.
            return None

    def _choose(self, like: ChunkId) -> tuple[ChunkId, int] | None:
        """Return the base and the rank of a chunk that is the next version of *like*; None where it
        is missing or marked as damaged."""
        if not self._index.known([like]):
            return None
        chain = self._chain(like)
        for base, rank in chain:
            if rank % _STRIDE < DELTA_SHORT_STEPS:
                return base, rank + 1
            break
        # Back to where the short steps began, or, past the last long step, one long step more.
        for base, rank in chain:
            if rank % _STRIDE == 0 and rank < DELTA_LONG_STEPS * _STRIDE:
                return base, rank + _STRIDE
        return None

    def _chain(self, chunk: ChunkId) -> Iterator[tuple[ChunkId, int]]:
        """Yield *chunk* and the bases below it, each with its rank."""
        following: ChunkId | None = chunk
        rank = DELTA_DEPTH_MAX
        while following is not None:
            for location in self._index.locations([following]).get(following, ()):
                if location.frame.depth < rank:
                    break
            else:
                return
            rank = location.frame.depth
            yield following, rank
            following = location.frame.base


def _frame(
    name: ChunkId, kind: ChunkKind, plain: bytes, base: ChunkId, rank: int, packed: bytes
) -> tuple[Frame, bytes]:
    codec = Codec.ZSTD_DELTA
    return Frame(name, kind, codec, Cipher.NONE, rank, base, len(packed), len(plain)), packed
