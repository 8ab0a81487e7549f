"""Frames of new chunks: a delta against a base if that saves enough, within bounded chains.

A delta is the list of rows that changed, where these are few, else a zstd frame against the base.

How ranks bound chains (docs/decisions/deltas.md): a frame's depth is a rank that only has to
decrease towards the base, so it can be a number of two digits, *long* and *short* steps. Each
version of a chunk is a short step from the one before, up to a limit; the next one is a long step
from where these short steps began. The limit is between DELTA_SHORT_STEPS_MIN and
DELTA_SHORT_STEPS, by the id of the plain chunk: otherwise all chunks of a table, of which many
commits changed a few rows each, would make their long steps in the same commit. None is more than
DELTA_LONG_STEPS + DELTA_SHORT_STEPS frames away from a plain one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pgsnap.codecs.zstd import compress
from pgsnap.errors import SnapError
from pgsnap.limits import (
    DELTA_DEPTH_MAX,
    DELTA_LONG_STEPS,
    DELTA_SHORT_STEPS,
    DELTA_SHORT_STEPS_MIN,
    EDITS_MAX,
)
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.scopes import aside

if TYPE_CHECKING:
    from pgsnap.chunking.row_edits import Edits, RowEdits

_STRIDE = DELTA_SHORT_STEPS + 1
assert DELTA_LONG_STEPS * _STRIDE + DELTA_SHORT_STEPS < DELTA_DEPTH_MAX

# A list of edits below this fraction of its chunk is used at once. A longer one may be mostly new
# rows, which are smaller against the whole base than alone; so both are made.
_FEW_EDITS = 0.02
# With more new text than this there are not few changed rows.
_MANY_EDITS = 0.25
# A delta below this fraction of its chunk is used without making a plain frame to compare, which
# typically is a third of the chunk.
_SURELY_SMALL = 0.15
# Otherwise it must be this much smaller than the plain frame, since it makes reading more costly.
_PAYS_BELOW = 0.8


Like: TypeAlias = "tuple[ChunkId, bytes, Edits] | ChunkId"
"""A stored chunk that a new one is like; with its bytes and the edits, if these are known."""


class _Delta(NamedTuple):
    """A frame against a base, and its rank."""

    base: ChunkId
    rank: int
    codec: Codec
    packed: bytes


class DeltaEncoder:
    """Encodes new chunks as frames. Thread-safe."""

    def __init__(self, chunks: ChunkReader, level: int) -> None:
        self._chunks = chunks
        self._level = level
        self._row_edits: RowEdits | None = None

    def bases(self, like: Iterable[ChunkId]) -> Chains:
        """Return the frames of those chunks of *like* that `encode` may rely on, and of all bases
        in their chains: neither missing nor marked as damaged."""
        return self._chunks.chains_of_known(list(like))

    def encode(
        self, name: ChunkId, plain: bytes, kind: ChunkKind, like: ChunkId | None, bases: Chains
    ) -> tuple[Frame, bytes]:
        """Return the frame of a chunk, and its bytes; *like* is a similar stored chunk, and *bases*
        the result of `bases` for it."""
        delta = self._delta(plain, kind, like, bases) if like is not None else None
        return self._smaller(name, plain, kind, delta)

    def encode_edited(
        self, name: ChunkId, plain: bytes, like: tuple[ChunkId, bytes, Edits], bases: Chains
    ) -> tuple[Frame, bytes]:
        """Return the same for a data chunk of which it is known what *like* it is: a stored chunk,
        its bytes, and the edits that make *plain* of it."""
        former, former_plain, edits = like
        chosen = _choose(former, bases)
        if chosen is None or chosen[0] != former:
            delta = self._delta(plain, ChunkKind.DATA, former, bases)
        else:
            packed = self._packed(plain, ChunkKind.DATA, former_plain, edits)
            delta = _Delta(*chosen, *packed)
        return self._smaller(name, plain, ChunkKind.DATA, delta)

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
            delta = _Delta(base, rank, *self._packed(plain, kind, base_plain))
        return self._smaller(name, plain, kind, delta)

    def _smaller(
        self,
        name: ChunkId,
        plain: bytes,
        kind: ChunkKind,
        delta: _Delta | None,
    ) -> tuple[Frame, bytes]:
        if delta is not None and len(delta.packed) < len(plain) * _SURELY_SMALL:
            return _frame(name, kind, plain, delta)
        codec, packed = aside(compress, plain, self._level)
        if delta is not None and len(delta.packed) < len(packed) * _PAYS_BELOW:
            return _frame(name, kind, plain, delta)
        return Frame(name, kind, codec, Cipher.NONE, 0, None, len(packed), len(plain)), packed

    def _delta(self, plain: bytes, kind: ChunkKind, like: ChunkId, bases: Chains) -> _Delta | None:
        """Return a delta, or None if the base cannot be relied on."""
        chosen = _choose(like, bases)
        if chosen is None:
            return None
        base, rank = chosen
        try:
            base_plain = self._chunks.read(base, chains=bases)
        except SnapError:
            # Damage is reported by `snap verify`; new snapshots just do not build on it.
            return None
        return _Delta(base, rank, *self._packed(plain, kind, base_plain))

    def _packed(
        self, plain: bytes, kind: ChunkKind, base: bytes, edits: Edits | None = None
    ) -> tuple[Codec, bytes]:
        """Return the smaller delta against *base*; *edits* are those that make *plain* of it, if
        they are known."""
        listed = None
        if kind is ChunkKind.DATA:
            # Late: NumPy is slow to import, and lists are encoded without.
            from pgsnap.chunking.row_edits import RowEdits
            from pgsnap.codecs.edits import encode_edits

            if edits is None:
                self._row_edits = self._row_edits or RowEdits()
                edits = self._row_edits.between(base, plain)
            if (
                edits is not None
                and len(edits) <= EDITS_MAX
                and int(edits[:, 2].sum()) < len(plain) * _MANY_EDITS
            ):
                listed = encode_edits(edits, base, plain)
                if len(listed) < len(plain) * _FEW_EDITS:
                    return Codec.EDITS, listed
        codec, packed = aside(compress, plain, self._level, base)
        if listed is not None and len(listed) <= len(packed):
            return Codec.EDITS, listed
        return codec, packed


def _choose(like: ChunkId, bases: Chains) -> tuple[ChunkId, int] | None:
    """Return base and rank for the next version of *like*; None if *bases* does not have it."""
    chain = list(_chain(like, bases))
    if chain and chain[0][1] % _STRIDE < _short_steps(chain[-1][0]):
        base, rank = chain[0]
        return base, rank + 1
    # Back to where the short steps began; after the last long step, one long step further.
    for base, rank in chain:
        if rank % _STRIDE == 0 and rank < DELTA_LONG_STEPS * _STRIDE:
            return base, rank + _STRIDE
    return None


def _short_steps(plain: ChunkId) -> int:
    """Return how many short steps follow each other in the chain that begins with a *plain*
    chunk."""
    return DELTA_SHORT_STEPS_MIN + plain[0] % (DELTA_SHORT_STEPS - DELTA_SHORT_STEPS_MIN + 1)


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


def _frame(name: ChunkId, kind: ChunkKind, plain: bytes, delta: _Delta) -> tuple[Frame, bytes]:
    base, rank, codec, packed = delta
    return Frame(name, kind, codec, Cipher.NONE, rank, base, len(packed), len(plain)), packed
