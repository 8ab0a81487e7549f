"""Sweeping: unneeded packs are deleted, wasteful and small ones are rewritten.

Nothing is deleted before all that is needed of it is durable in another pack and indexed. So a
sweep can be killed at any moment and started again: the next one drops what was written twice.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from pgsnap.errors import StoreFull
from pgsnap.limits import MIB, MOVED_BYTES_IN_FLIGHT, PACK_FRAMES_MAX
from pgsnap.maintenance.moving import Moved, OldPack, read_pack
from pgsnap.model import ChunkId, Frame, PackId
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.frame_table import NOBODY, PART, Array, FrameTable
from pgsnap.repository.index.index import Index
from pgsnap.repository.scopes import FinishedOrAbandoned, Window, threads
from pgsnap.values import dataclass

UNUSED_MAX = 0.02
"""As a fraction of all packs' bytes. Above it packs are rewritten, the most wasteful first."""
SMALL_PACK = 0.25
"""As a fraction of the config's pack size. Smaller packs are merged once they fill a pack."""
SMALL_PACKS_MAX = 50
"""They are also merged once there are this many of them."""

# A row of a pack's table: 32 bytes of id, 16 of numbers, and its share of the bases.
_ROW_BYTES = 50
_READ_AT_ONCE = 2
# Each removal of dead packs from the index scans its table of chunks, and rewrites most of it.
_DELETED_AT_ONCE = 10_000
# How much is moved before old packs are deleted; on a full disk they are deleted at once.
_MOVED_BYTES_MAX = 256 * MIB
_FRAMES_AT_ONCE = 50_000
# Unused share from which compacting pays: it rewrites the whole index.
_COMPACTED_FROM = 0.1
# An index of up to this many pages (4 MiB) is compacted whenever rows were dropped.
_FEW_PAGES = 1024


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Packs by their numbers in the index: to be deleted as they are (*dead*), and to be rewritten
    (*rewritten*, in this order). *freed_bytes* is about what both free."""

    dead: tuple[int, ...]
    rewritten: tuple[int, ...]
    kept_bytes: int
    freed_bytes: int


@dataclass(slots=True)
class Swept:
    """What was done so far."""

    packs_deleted: int = 0
    packs_rewritten: int = 0


def plan_sweep(
    table: FrameTable, kept: Array, pack_bytes: int, *, renewed: Collection[PackId] = ()
) -> SweepPlan:
    """Return what to do with the packs of *table*, given which frames are *kept*. Those that are
    *renewed* are rewritten in any case."""
    import numpy as np

    numbers = np.array(sorted(table.packs), np.int32)
    if not len(numbers):
        return SweepPlan((), (), 0, 0)
    sizes = np.array([table.packs[number][1] for number in numbers.tolist()], np.int64)
    used, unused, frames = _pack_sums(table, kept, numbers)
    is_dead = used == 0
    is_small = ~is_dead & (used < pack_bytes * SMALL_PACK) & (frames < PACK_FRAMES_MAX * SMALL_PACK)
    many = (
        int(is_small.sum()) >= SMALL_PACKS_MAX
        or int(used[is_small].sum()) >= pack_bytes
        or int(frames[is_small].sum()) >= PACK_FRAMES_MAX
    )
    is_rewritten = is_small & many & (int(is_small.sum()) > 1)
    if renewed:
        found = [number for number, (pack, _) in table.packs.items() if pack in renewed]
        is_rewritten |= np.isin(numbers, found) & ~is_dead

    left = ~is_dead & ~is_rewritten & (unused > 0)
    order = np.flatnonzero(left)
    order = order[np.argsort(unused[order] / sizes[order], kind="stable")[::-1]]
    allowed = UNUSED_MAX * int(used.sum())
    # What is still unused when it is a pack's turn.
    still = int(unused[order].sum()) - np.cumsum(unused[order]) + unused[order]
    is_rewritten[order[still > allowed]] = True
    # Those with the least needed data first: on a full disk these need the least space.
    rewritten = np.flatnonzero(is_rewritten)
    rewritten = rewritten[np.argsort(used[rewritten] / sizes[rewritten], kind="stable")]
    return SweepPlan(
        tuple(numbers[is_dead].tolist()),
        tuple(numbers[rewritten].tolist()),
        int(used[rewritten].sum()),
        int(sizes[is_dead].sum() + unused[rewritten].sum()),
    )


def _pack_sums(table: FrameTable, kept: Array, numbers: Array) -> tuple[Array, Array, Array]:
    """Return, for each of the packs *numbers*, the bytes of its frames that stay, of those that do
    not, and how many stay."""
    import numpy as np

    used, unused, frames = (np.zeros(len(numbers), np.int64) for _ in range(3))
    for start in range(0, len(table), PART):
        part = slice(start, start + PART)
        packs, stays = table.pack[part], kept[part]
        places: Array = np.searchsorted(numbers, packs)
        # Rows of a pack that does not exist do not count.
        places[places == len(numbers)] = 0
        inside = numbers[places] == packs
        cost = table.frame_bytes[part].astype(np.int64) + _ROW_BYTES
        for sums, which in ((used, inside & stays), (unused, inside & ~stays)):
            sums += np.bincount(places[which], cost[which], len(numbers)).astype(np.int64)
        frames += np.bincount(places[inside & stays], minlength=len(numbers))
    return used, unused, frames


def delete_packs(chunks: ChunkStore, table: FrameTable, packs: Sequence[int], swept: Swept) -> None:
    """Delete packs, by their numbers in *table*; their files last."""
    for start in range(0, len(packs), _DELETED_AT_ONCE):
        names = [table.packs[number][0] for number in packs[start : start + _DELETED_AT_ONCE]]
        chunks.check_lock()
        _drop(chunks, names)
        swept.packs_deleted += len(names)


def _drop(
    chunks: ChunkStore, packs: Sequence[PackId], frames: Sequence[tuple[ChunkId, PackId]] = ()
) -> None:
    """Remove packs from the index, then delete their files; *frames* are theirs, if known."""
    try:
        chunks.index.drop_packs(packs, frames)
        is_dropped = True
    except StoreFull:
        # The index has no space even to shrink. It catches up when it is opened, so in this case
        # the files may be deleted first.
        is_dropped = False
    if chunks.discard is not None:
        chunks.discard(packs)
    else:
        chunks.store.delete(*map(layout.pack_name, packs))
    if not is_dropped:
        chunks.index.drop_packs(packs, frames)


def rewrite_packs(
    chunks: ChunkStore,
    table: FrameTable,
    kept: Array,
    packs: Sequence[int],
    swept: Swept,
    progress: Progress,
) -> None:
    """Rewrite *packs* with only the *kept* frames, and delete each as soon as its frames are
    durable elsewhere. Raises CorruptionError if a frame is damaged, StoreFull."""
    import numpy as np

    frames = np.flatnonzero(kept & np.isin(table.pack, packs))
    frames = frames[np.argsort(table.pack[frames], kind="stable")]
    numbers = np.array(packs, np.int32)
    first = np.searchsorted(table.pack[frames], numbers).tolist()
    last = np.searchsorted(table.pack[frames], numbers, "right").tolist()
    mover = _Mover(chunks, swept)
    at_once = max(_READ_AT_ONCE, chunks.reader.transfers)

    def collect() -> None:
        old = under_way.take()
        for moved in old.frames:
            mover.move(moved)
            progress.advance(sum(frame.frame_bytes for frame, _ in moved))
        mover.end(old)

    try:
        with mover, threads(at_once, "snap-move") as pool:
            under_way: Window[OldPack] = Window(pool, at_once, MOVED_BYTES_IN_FLIGHT)
            for place, number in enumerate(packs):
                offsets = set(table.offset[frames[first[place] : last[place]]].tolist())
                pack, size = table.packs[number]
                while not under_way.has_room(size):
                    collect()
                under_way.start(size, partial(read_pack, chunks, pack, size, offsets))
            while under_way:
                collect()
    except StoreFull:
        mover.delete_moved()
        raise


class _Mover(FinishedOrAbandoned):
    """Writes frames to new packs, and deletes the old packs once all their frames were moved."""

    def __init__(self, chunks: ChunkStore, swept: Swept) -> None:
        self._chunks = chunks
        self._swept = swept
        self._packs = chunks.writer(self._count_as_durable, frames_at_once=_FRAMES_AT_ONCE)
        self._moved = 0
        self._durable = 0
        # Old packs, each with how many frames must be durable before it may be deleted.
        self._waiting: deque[tuple[int, OldPack]] = deque()
        self._waiting_frames = 0
        self._moved_bytes = 0

    def _count_as_durable(self, frames: list[Frame]) -> None:
        self._durable += len(frames)

    def move(self, frames: Moved) -> None:
        for frame, data in frames:
            self._packs.add(frame, data)
            self._moved_bytes += frame.frame_bytes
        self._moved += len(frames)

    def end(self, old: OldPack) -> None:
        """Note that all frames of an old pack were moved."""
        self._waiting.append((self._moved, replace(old, frames=())))
        self._waiting_frames += len(old.chunks)
        if self._moved_bytes >= _MOVED_BYTES_MAX or self._waiting_frames >= 2 * _FRAMES_AT_ONCE:
            self.delete_moved()

    def finish(self) -> None:
        self._packs.finish()
        self.delete_moved()

    def abandon(self) -> None:
        self._packs.abandon()

    def delete_moved(self) -> None:
        """Delete the old packs whose frames are all durable elsewhere, and indexed."""
        self._packs.index_written()
        done = []
        frames: list[tuple[ChunkId, PackId]] = []
        self._moved_bytes = self._waiting_frames = 0
        while self._waiting and self._waiting[0][0] <= self._durable:
            old = self._waiting.popleft()[1]
            # If the same frames come together again, the new pack is identical to the old one.
            if old.pack not in self._packs.written:
                done.append(old.pack)
                frames += ((chunk, old.pack) for chunk in old.chunks)
        if done:
            self._chunks.check_lock()
            _drop(self._chunks, done, frames)
            self._swept.packs_rewritten += len(done)


def kept_frames(table: FrameTable, frames: Array, is_needed: Array) -> Array:
    """Return which frames of *table* stay: the chosen one of each needed chunk."""
    import numpy as np

    kept = np.zeros(len(table), bool)
    chosen = frames[is_needed]
    kept[chosen[chosen != NOBODY]] = True
    return kept


def compact_index(index: Index, dropped_share: float) -> None:
    """Compact the index if it is worth it: if much of it is unused, or *dropped_share* of its rows
    were dropped, which leaves its pages half empty. Does nothing on a full disk."""
    with contextlib.suppress(StoreFull):
        ((pages,),) = index.query("PRAGMA page_count")
        ((unused,),) = index.query("PRAGMA freelist_count")
        share = max(unused / max(pages, 1), dropped_share)
        if share >= _COMPACTED_FROM or (dropped_share > 0 and pages <= _FEW_PAGES):
            index.compact()
        else:
            index.query("PRAGMA wal_checkpoint(TRUNCATE)")
