"""Frames of new chunks: a delta against a base if that saves enough, within bounded chains.

How ranks bound chains (docs/decisions/deltas.md): a frame's depth is a rank that only has to
decrease towards the base, so it can be a number of two digits, *long* and *short* steps. Each
version of a chunk is a short step from the one before, up to _SHORT_STEPS; the next one is a long
step from where these short steps began. So _LONG_STEPS * (_SHORT_STEPS + 1) versions of a chunk fit
under one plain frame, and none is more than _LONG_STEPS + _SHORT_STEPS frames away from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.codecs.zstd import compress
from pgsnap.errors import SnapError
from pgsnap.limits import DELTA_DEPTH_MAX, DELTA_LONG_STEPS, DELTA_SHORT_STEPS
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.index import Index

_STRIDE = DELTA_SHORT_STEPS + 1
assert DELTA_LONG_STEPS * _STRIDE + DELTA_SHORT_STEPS < DELTA_DEPTH_MAX

# A delta below this fraction of its chunk is used without making a plain frame to compare, which
# typically is a third of the chunk.
_SURELY_SMALL = 0.15
# Otherwise it must be this much smaller than the plain frame, since it makes reading more costly.
_PAYS_BELOW = 0.8


class DeltaEncoder:
    """Encodes new chunks as frames. Thread-safe."""

    def __init__(self, index: Index, chunks: ChunkReader, level: int) -> None:
        self._index = index
        self._chunks = chunks
        self._level = level

    def bases(self, like: Iterable[ChunkId]) -> Chains:
        """Return the frames of those chunks of *like* that `encode` may rely on, and of all bases
        in their chains: neither missing nor marked as damaged."""
        return self._chunks.chains(list(self._index.known(list(like))))

    def encode(
        self, name: ChunkId, plain: bytes, kind: ChunkKind, like: ChunkId | None, bases: Chains
    ) -> tuple[Frame, bytes]:
        """Return the frame of a chunk, and its bytes; *like* is a similar stored chunk, and *bases*
        the result of `bases` for it."""
        delta = self._delta(plain, like, bases) if like is not None else None
        return self._smaller(name, plain, kind, delta)

    def encode_against(
        self, name: ChunkId, plain: bytes, kind: ChunkKind, base: ChunkId | None, rank: int
    ) -> tuple[Frame, bytes]:
        """Return the frame of a chunk against this *base*, with this *rank*: plain if a delta does
        not save enough, or there is no base. Raises CorruptionError if the base cannot be read."""
        like = None if base is None else (base, rank, self._chunks.read(base))
        return self.encode_like(name, plain, kind, like)

    def encode_like(
        self,
        name: ChunkId,
        plain: bytes,
        kind: ChunkKind,
        like: tuple[ChunkId, int, bytes] | None,
    ) -> tuple[Frame, bytes]:
        """Return the same as `encode_against`; *like* is the base, the rank and the base's
        bytes."""
        delta = None
        if like is not None:
            base, rank, base_plain = like
            delta = base, rank, compress(plain, self._level, base_plain)[1]
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

    def _delta(
        self, plain: bytes, like: ChunkId, bases: Chains
    ) -> tuple[ChunkId, int, bytes] | None:
        """Return base, rank and bytes of a delta, or None if the base cannot be relied on."""
        chosen = _choose(like, bases)
        if chosen is None:
            return None
        base, rank = chosen
        try:
            return (
                base,
                rank,
                compress(plain, self._level, self._chunks.read(base, chains=bases))[1],
            )
        except SnapError:
            # Damage is reported by `snap verify`; new snapshots just do not build on it.
            return None


def _choose(like: ChunkId, bases: Chains) -> tuple[ChunkId, int] | None:
    """Return base and rank for the next version of *like*; None if *bases* does not have it."""
    chain = list(_chain(like, bases))
    if chain and chain[0][1] % _STRIDE < DELTA_SHORT_STEPS:
        base, rank = chain[0]
        return base, rank + 1
    # Back to where the short steps began; after the last long step, one long step further.
    for base, rank in chain:
        if rank % _STRIDE == 0 and rank < DELTA_LONG_STEPS * _STRIDE:
            return base, rank + _STRIDE
    return None


def _chain(chunk: ChunkId, bases: Chains) -> Iterator[tuple[ChunkId, int]]:
    """Yield *chunk* and the bases below it, each with its rank."""
    following: ChunkId | None = chunk
    rank = DELTA_DEPTH_MAX
    while following is not None:
        for location in bases.of(following):
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
