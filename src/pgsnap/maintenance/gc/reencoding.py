"""Dropping bases that are kept only for other chunks, by re-encoding the chunks that need them.

A *family* is all chunks that are read through the same plain frame. Some are *carried*: no snapshot
needs them, only other chunks of the family. Their size is not all waste: if a family's first chunk
were dropped, an heir would have to be stored plain in its place. So the waste is what is carried
less the growth of the others (docs/decisions/gc.md). If the total waste is too much, the most
wasteful families are freed of everything carried: a chunk whose base is carried is stored against
the nearest base of its chain that is live; if there is none, the longest such chunk of the family
is the heir, and the others are stored against it.

A new rank is the base's plus one, which is no more than the old one; so the deltas against such a
chunk still have a greater rank.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

from pgsnap import interrupts
from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError
from pgsnap.maintenance.gc.marking import Choice
from pgsnap.model import ChunkId, ChunkKind, Frame
from pgsnap.progress import Progress
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.frame_table import FRAME_COST, NOBODY, PART, Array, FrameTable
from pgsnap.repository.scopes import threads
from pgsnap.values import dataclass

WASTE_MAX = 0.02
"""As a fraction of all that is needed. Above it families are freed, the most wasteful first."""

_IDS_AT_ONCE = 1_000
_FRAMES_AT_ONCE = 50_000
# As a multiple of the family's plain chunk: two versions of it are together twice as long.
_ALIKE_FROM = 1.4


@dataclass(frozen=True, slots=True)
class ReencodePlan:
    """Chunks to re-encode, bases before their deltas.

    Parallel arrays: the *chunks*' numbers and *kinds*, their new *bases* (NOBODY: plain) and
    *ranks*, and their estimated size then (*new_bytes*). *let_go* are the carried chunks that
    nothing needs after that.
    """

    chunks: Array
    kinds: Array
    bases: Array
    ranks: Array
    new_bytes: Array
    let_go: Array

    def __len__(self) -> int:
        return len(self.chunks)


def plan_reencoding(table: FrameTable, choice: Choice) -> ReencodePlan:
    """Return what to re-encode so that no more than WASTE_MAX is wasted."""
    import numpy as np

    family, nearest, gap = _chains(choice)
    carried = np.flatnonzero(choice.carried())
    tops = np.flatnonzero(choice.is_live & (choice.rank > 0))
    tops = tops[~choice.is_live[choice.bases(tops)]]
    # Only families with carried chunks count; these are renumbered.
    roots, of_carried = np.unique(family[carried], return_inverse=True)
    dead = np.bincount(of_carried, weights=_cost(choice, carried), minlength=len(roots))
    of_tops = np.searchsorted(roots, family[tops])
    length = table.chunk_bytes[tops].astype(np.int64)
    # Indices into *tops*: those without a live base, the longest of each family first.
    orphans = np.flatnonzero(nearest[tops] == NOBODY)
    order = np.lexsort((choice.rank[tops[orphans]], -length[orphans], of_tops[orphans]))
    orphans = orphans[order]
    first = np.ones(len(orphans), bool)
    first[1:] = of_tops[orphans][1:] != of_tops[orphans][:-1]
    heirs, adopted = orphans[first], orphans[~first]
    heir = np.full(len(roots), NOBODY, np.int64)
    heir[of_tops[heirs]] = heirs

    # As a plain frame, a chunk is assumed to compress like the family's plain one.
    own = _cost(choice, tops)
    of_roots = roots[of_tops]
    length_of_roots = np.maximum(table.chunk_bytes[of_roots].astype(np.int64), 1)
    plain = np.maximum(_cost(choice, of_roots) * (length / length_of_roots), own).astype(np.int64)
    bases = nearest[tops].astype(np.int64)
    heir_of_adopted = heir[of_tops[adopted]]
    bases[adopted] = tops[heir_of_adopted]
    new_bytes = own + gap[tops]
    new_bytes[adopted] += gap[bases[adopted]]
    new_bytes = np.minimum(new_bytes, plain)
    new_bytes[heirs] = plain[heirs]
    # If a chunk was split in two, the halves are not similar.
    both = length[adopted] + length[heir_of_adopted]
    halves = adopted[both < _ALIKE_FROM * length_of_roots[adopted]]
    new_bytes[halves] = plain[halves]
    growth = np.bincount(of_tops, weights=new_bytes - own, minlength=len(roots))
    total, needed = _totals(choice, family, roots)
    wasteful = _most_wasteful(dead - growth, total, WASTE_MAX * needed)

    chosen = np.flatnonzero(wasteful[of_tops])
    chunks, bases, new_bytes = tops[chosen], bases[chosen], new_bytes[chosen]
    ranks = _new_ranks(choice, chunks, bases)
    order = np.argsort(ranks, kind="stable")
    chunks = chunks[order]
    return ReencodePlan(
        chunks,
        table.kind[choice.frame[chunks]],
        bases[order],
        ranks[order],
        new_bytes[order],
        carried[wasteful[of_carried]],
    )


def _cost(choice: Choice, chunks: Array) -> Array:
    """Return the total cost in bytes of the frames of each of *chunks*."""
    return choice.frame_bytes(chunks).astype("int64") + FRAME_COST


def _totals(choice: Choice, family: Array, roots: Array) -> tuple[Array, int]:
    """Return the needed bytes of each of the families *roots*, and of all families together."""
    import numpy as np

    total = np.zeros(len(roots))
    everything = 0
    for start in range(0, len(family), PART):
        needed = np.flatnonzero(choice.is_needed[start : start + PART]) + start
        cost = _cost(choice, needed)
        everything += int(cost.sum())
        places = np.searchsorted(roots, family[needed])
        places[places == len(roots)] = 0
        inside = roots[places] == family[needed] if len(roots) else np.zeros(len(needed), bool)
        total += np.bincount(places[inside], weights=cost[inside], minlength=len(roots))
    return total, everything


def _most_wasteful(waste: Array, total: Array, allowed: float) -> Array:
    """Return which families to free, the largest shares first, until *allowed* waste is left."""
    import numpy as np

    order = np.flatnonzero(waste > 0)
    order = order[np.argsort(waste[order] / total[order], kind="stable")[::-1]]
    # What is still wasted when it is a family's turn.
    still = waste[order].sum() - np.cumsum(waste[order]) + waste[order]
    chosen = np.zeros(len(waste), bool)
    chosen[order[still > allowed]] = True
    return chosen


def _chains(choice: Choice) -> tuple[Array, Array, Array]:
    """Return for each needed chunk its family (the number of its plain chunk), the nearest live
    base in its chain (NOBODY if none), and the bytes of the carried deltas up to there."""
    import numpy as np

    count = len(choice.rank)
    family = np.arange(count, dtype=np.int32)
    nearest = np.full(count, NOBODY, np.int32)
    # At most 64 frames of 16 MiB.
    gap = np.zeros(count, np.int32)
    for rank in range(1, int(choice.rank[choice.is_needed].max(initial=0)) + 1):
        some = np.flatnonzero(choice.is_needed & (choice.rank == rank))
        bases = choice.bases(some)
        family[some] = family[bases]
        live = choice.is_live[bases]
        nearest[some] = np.where(live, bases, nearest[bases])
        # A plain base does not count: its heir takes as much.
        own = np.where(choice.rank[bases] > 0, _cost(choice, bases), 0)
        gap[some] = np.where(live, 0, gap[bases] + own)
    return family, nearest, gap


def _new_ranks(choice: Choice, chunks: Array, bases: Array) -> Array:
    """Return the new ranks of *chunks*: one more than their bases will have."""
    import numpy as np

    rank = choice.rank.copy()
    # A base's own new rank must be known first: it had the smaller one, but an heir has none.
    for place in np.lexsort((choice.rank[chunks], bases != NOBODY)).tolist():
        base = bases[place]
        rank[chunks[place]] = 0 if base == NOBODY else rank[base] + 1
    return rank[chunks]


def reencode(chunks: ChunkStore, plan: ReencodePlan, table: FrameTable, progress: Progress) -> None:
    """Store the new frames of *plan*, which was made from *table*; durable and indexed on return.

    The old frames stay. Raises CorruptionError if a chunk is damaged, StoreFull.
    """
    encoder = chunks.encoder()

    def encoded(step: _Step, plain: bytes) -> tuple[Frame, bytes]:
        frame, packed = encoder.encode_against(step.chunk, plain, step.kind, step.base, step.rank)
        prefix = None if frame.base is None else chunks.reader.read(frame.base)
        # The old frame will be deleted, so the new one must yield the same bytes.
        if decompress(frame.codec, packed, len(plain), prefix) != plain:
            raise CorruptionError(f"the new frame of chunk {step.chunk.hex()[:12]} is wrong")
        return frame, packed

    workers = os.cpu_count() or 2
    under_way: deque[Future[tuple[Frame, bytes]]] = deque()

    def collect() -> None:
        frame, packed = interrupts.result(under_way.popleft())
        packs.add(frame, packed)
        progress.advance(frame.frame_bytes)

    wanted = ((step, step.chunk, step.chunk_bytes) for step in _steps(plan, table))
    with (
        chunks.writer(frames_at_once=_FRAMES_AT_ONCE) as packs,
        threads(workers, "snap-encode") as pool,
    ):
        for step, plain in chunks.reader.read_ahead(wanted):
            if len(under_way) >= 3 * workers:
                collect()
            under_way.append(pool.submit(encoded, step, plain))
        while under_way:
            collect()


@dataclass(frozen=True, slots=True)
class _Step:
    """A chunk to be re-encoded."""

    chunk: ChunkId
    kind: ChunkKind
    chunk_bytes: int
    base: ChunkId | None
    rank: int


def _steps(plan: ReencodePlan, table: FrameTable) -> Iterator[_Step]:
    """Yield the steps of the plan with ids, looked up some at a time."""
    for start in range(0, len(plan), _IDS_AT_ONCE):
        part = slice(start, start + _IDS_AT_ONCE)
        numbers, bases = plan.chunks[part].tolist(), plan.bases[part].tolist()
        base_ids = iter(table.ids([base for base in bases if base != NOBODY]))
        for chunk, kind, size, base, rank in zip(
            table.ids(numbers),
            plan.kinds[part].tolist(),
            table.chunk_bytes[numbers].tolist(),
            bases,
            plan.ranks[part].tolist(),
            strict=True,
        ):
            base_id = None if base == NOBODY else next(base_ids)
            yield _Step(chunk, ChunkKind(kind), size, base_id, rank)
