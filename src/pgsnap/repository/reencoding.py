"""Letting go of bases that are kept alive for nothing, by encoding anew what needs them.

A *family* is all chunks that are read through the same plain frame. Some are *carried*: no snapshot
needs them, only other chunks of the family. What they take is not all waste: were a family's first
chunk let go of, an heir would have to be stored plain in its place. So the waste is what is carried
less what the others would grow by (docs/decisions/gc.md). Where all waste together is too much, the
families that waste most are freed of all that is carried: a chunk whose base is carried is stored
against the nearest base of its chain that is live; where there is none, the longest such chunk of
the family is the heir, and the others are stored against it.

A new rank is the base's plus one, which is no more than the old one; so whatever stands on such a
chunk still has a greater rank.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError
from pgsnap.model import ChunkId, Frame
from pgsnap.progress import Progress
from pgsnap.repository.deltas import DeltaEncoder
from pgsnap.repository.frame_table import FRAME_COST, NOBODY, Array, FrameTable
from pgsnap.repository.marking import Choice
from pgsnap.repository.packs import PackWriter
from pgsnap.repository.repository import Repository

WASTE_MAX = 0.02
"""Of all that is needed. Above it families are freed, the most wasteful first."""

_IDS_AT_ONCE = 1_000
# Of the family's plain chunk: two chunks that are versions of it are together twice as long.
_ALIKE_FROM = 1.4


@dataclass(frozen=True, slots=True)
class ReencodePlan:
    """Chunks to encode anew, bases before what stands on them.

    By place: the *chunks*' numbers, their new *bases* (NOBODY: plain) and *ranks*, and about what
    they take then (*new_bytes*). *let_go* are the carried chunks that nothing needs after that.
    """

    chunks: Array
    bases: Array
    ranks: Array
    new_bytes: Array
    let_go: Array

    def __len__(self) -> int:
        return len(self.chunks)


def plan_reencoding(table: FrameTable, choice: Choice) -> ReencodePlan:
    """Return what to encode anew, so that no more than WASTE_MAX is wasted."""
    import numpy as np

    family, nearest, gap = _chains(choice)
    size = choice.frame_bytes.astype(np.int64) + FRAME_COST
    carried = np.flatnonzero(choice.carried())
    has_base = choice.is_live & (choice.base >= 0)
    tops = np.flatnonzero(has_base)
    tops = tops[~choice.is_live[choice.base[tops]]]
    # Only families with something carried count; they get numbers of their own.
    roots, of_carried = np.unique(family[carried], return_inverse=True)
    dead = np.bincount(of_carried, weights=size[carried], minlength=len(roots))
    of_tops = np.searchsorted(roots, family[tops])
    orphans = np.flatnonzero(nearest[tops] == NOBODY)
    length = table.chunk_bytes.astype(np.int64)
    order = np.lexsort((choice.rank[tops[orphans]], -length[tops[orphans]], of_tops[orphans]))
    orphans = orphans[order]
    first = np.ones(len(orphans), bool)
    first[1:] = of_tops[orphans][1:] != of_tops[orphans][:-1]
    heir = np.full(len(roots), NOBODY, np.int64)
    heir[of_tops[orphans[first]]] = tops[orphans[first]]

    # Plain, a chunk takes what the family's plain one does, for its size.
    of_roots = roots[of_tops]
    longer = length[tops] / np.maximum(length[of_roots], 1)
    plain = np.maximum(size[of_roots] * longer, size[tops]).astype(np.int64)
    bases = nearest[tops].astype(np.int64)
    detour = np.zeros(len(tops), np.int64)
    adopted = orphans[~first]
    bases[adopted] = heir[of_tops[adopted]]
    detour[adopted] = gap[bases[adopted]]
    new_bytes = np.minimum(size[tops] + gap[tops] + detour, plain)
    is_heir = np.zeros(len(tops), bool)
    is_heir[orphans[first]] = True
    new_bytes[is_heir] = plain[is_heir]
    # Of a chunk that was split in two the halves are not alike.
    both = length[tops[adopted]] + length[bases[adopted]]
    halves = adopted[both < _ALIKE_FROM * length[of_roots[adopted]]]
    new_bytes[halves] = plain[halves]
    growth = np.bincount(of_tops, weights=new_bytes - size[tops], minlength=len(roots))
    needed = np.flatnonzero(choice.is_needed)
    places = np.searchsorted(roots, family[needed])
    places[places == len(roots)] = 0
    inside = roots[places] == family[needed] if len(roots) else np.zeros(len(needed), bool)
    total = np.bincount(places[inside], weights=size[needed[inside]], minlength=len(roots))
    wasteful = _most_wasteful(dead - growth, total, WASTE_MAX * int(size[needed].sum()))

    chosen = np.flatnonzero(wasteful[of_tops])
    chunks, bases, new_bytes = tops[chosen], bases[chosen], new_bytes[chosen]
    ranks = _new_ranks(choice, chunks, bases)
    order = np.argsort(ranks, kind="stable")
    return ReencodePlan(
        chunks[order],
        bases[order],
        ranks[order],
        new_bytes[order],
        carried[wasteful[of_carried]],
    )


def _most_wasteful(waste: Array, total: Array, allowed: float) -> Array:
    """Return which families to free, the largest shares first, until *allowed* waste is left."""
    import numpy as np

    order = np.flatnonzero(waste > 0)
    order = order[np.argsort(waste[order] / total[order], kind="stable")[::-1]]
    # What is still wasted when a family's turn comes.
    still = waste[order].sum() - np.cumsum(waste[order]) + waste[order]
    chosen = np.zeros(len(waste), bool)
    chosen[order[still > allowed]] = True
    return chosen


def _chains(choice: Choice) -> tuple[Array, Array, Array]:
    """Return for each chunk that is needed its family (the number of its plain chunk), the nearest
    live base of its chain (NOBODY without), and the bytes of the carried deltas up to there."""
    import numpy as np

    count = len(choice.base)
    family = np.arange(count, dtype=np.int32)
    nearest = np.full(count, NOBODY, np.int32)
    gap = np.zeros(count, np.int64)
    deltas = np.flatnonzero(choice.is_needed & (choice.base >= 0)).astype(np.int32)
    deltas = deltas[np.argsort(choice.rank[deltas], kind="stable")]
    ranks = choice.rank[deltas]
    for rank in np.unique(ranks).tolist():
        some = deltas[np.searchsorted(ranks, rank) : np.searchsorted(ranks, rank, "right")]
        bases = choice.base[some]
        family[some] = family[bases]
        live = choice.is_live[bases]
        nearest[some] = np.where(live, bases, nearest[bases])
        # What a plain base takes is no detour: its heir takes as much.
        own = np.where(choice.base[bases] >= 0, choice.frame_bytes[bases] + FRAME_COST, 0)
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


def reencode(
    repo: Repository,
    plan: ReencodePlan,
    ids: Callable[[list[int]], list[ChunkId]],
    progress: Progress,
) -> None:
    """Store the new frames of *plan*, durable and indexed on return. *ids* gives chunks their ids.

    The old frames stay. Raises CorruptionError where a chunk is damaged, StoreFull.
    """
    encoder = DeltaEncoder(repo.index, repo.chunks, repo.config.zstd_level)

    def encoded(chunk: ChunkId, base: ChunkId | None, rank: int) -> tuple[Frame, bytes]:
        plain = repo.chunks.read(chunk)
        kind = repo.index.locations([chunk])[chunk][0].frame.kind
        frame, packed = encoder.encode_against(chunk, plain, kind, base, rank)
        prefix = None if frame.base is None else repo.chunks.read(frame.base)
        # What is deleted soon must come back from what is written now.
        if decompress(frame.codec, packed, len(plain), prefix) != plain:
            raise CorruptionError(f"the new frame of chunk {chunk.hex()[:12]} does not read back")
        return frame, packed

    workers = os.cpu_count() or 2
    pool = ThreadPoolExecutor(workers, thread_name_prefix="snap-encode")
    packs = PackWriter(repo.store, repo.index, repo.config.pack_bytes, lambda frames: None)
    under_way: deque[Future[tuple[Frame, bytes]]] = deque()

    def collect() -> None:
        frame, packed = under_way.popleft().result()
        packs.add(frame, packed)
        progress.advance(frame.frame_bytes)

    try:
        for item in _named(plan, ids):
            if len(under_way) >= 3 * workers:
                collect()
            under_way.append(pool.submit(encoded, *item))
        while under_way:
            collect()
        packs.finish()
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        packs.abandon()
        raise
    pool.shutdown()


def _named(
    plan: ReencodePlan, ids: Callable[[list[int]], list[ChunkId]]
) -> Iterator[tuple[ChunkId, ChunkId | None, int]]:
    """Yield the plan with ids, some at a time."""
    for start in range(0, len(plan), _IDS_AT_ONCE):
        part = slice(start, start + _IDS_AT_ONCE)
        bases = [base for base in plan.bases[part].tolist() if base != NOBODY]
        base_ids = iter(ids(bases))
        numbers = plan.chunks[part].tolist()
        for chunk, base, rank in zip(
            ids(numbers), plan.bases[part].tolist(), plan.ranks[part].tolist(), strict=True
        ):
            yield chunk, None if base == NOBODY else next(base_ids), rank
