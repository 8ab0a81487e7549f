"""What has to travel so that another repository can read some snapshots.

A frame is copied as it is where its base is there, or travels too. A frame of the base may have
another rank there (docs/format.md, "Frames"): then the copy gets the next greater one, which only
the pack's table knows; where readers would no longer follow it, the chunk is stored plain.

Where the other repository has other keys, data chunks are planned so, by their ids there; lists
are rewritten (`lists.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pgsnap.errors import CorruptionError
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.maintenance.gc.marking import VERIFY_FIRST, Choice, Marker
from pgsnap.maintenance.transfer.renaming import Renaming
from pgsnap.model import ChunkId, RecipeRoot
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.copied_ids import Role
from pgsnap.repository.index.frame_table import NOBODY, Array, FrameTable
from pgsnap.repository.index.index import Index
from pgsnap.values import dataclass

SMALL_PACK = 0.25
"""As a fraction of the config's pack size. Smaller packs are joined."""
USED_MIN = 0.95
"""Packs are copied as they are if this fraction of their bytes is wanted."""

_IDS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """*packs* (by their numbers in *table*) travel as they are, *frames* (by theirs) in new packs.
    *ranks* are those of the chunks' frames there; the chunks *plain* are encoded again."""

    table: FrameTable
    packs: tuple[int, ...]
    frames: Array
    ranks: Array
    plain: Array
    chunks: int
    sent_bytes: int
    list_bytes: int = 0

    def pack_count(self, pack_bytes: int) -> int:
        """Return about how many packs will be written."""
        moved = int(self.table.frame_bytes[self.frames].sum()) + self.list_bytes
        return len(self.packs) + -(-moved // pack_bytes)


class _There:
    """What the other repository has, asked for by the numbers that chunks have here."""

    def __init__(self, table: FrameTable, index: Index, renaming: Renaming | None) -> None:
        self._table = table
        self._index = index
        self._renaming = renaming

    def is_there(self, numbers: Array, roles: Sequence[Role] = (Role.DATA,)) -> Array:
        """Return which of all chunks are among *numbers* and can be read there."""
        import numpy as np

        there = np.zeros(self._table.chunks, bool)
        if not self._index.totals()[0]:
            return there
        for start in range(0, len(numbers), _IDS_AT_ONCE):
            some = numbers[start : start + _IDS_AT_ONCE].tolist()
            ids = self._ids(some, roles)
            known = self._index.known(list(filter(None, ids)))
            there[some] = [chunk in known for chunk in ids]
        return there

    def ranks(self, bases: Array) -> list[int]:
        """Return the greatest rank of the frames there of some chunks that are there."""
        greatest: dict[bytes, int] = {}
        ids = self._ids(bases.tolist(), (Role.DATA,))
        for depth, chunk, base in self._index.sound_frames(list(filter(None, ids))):
            greatest[chunk] = max(greatest.get(chunk, 0), 0 if base is None else depth)
        return [greatest.get(chunk or b"", DELTA_DEPTH_MAX) for chunk in ids]

    def _ids(self, numbers: Sequence[int], roles: Sequence[Role]) -> list[ChunkId | None]:
        """Return the ids there of chunks, None for those that are not known."""
        ids = self._table.ids(numbers)
        if self._renaming is None:
            return [*ids]
        found: dict[ChunkId, ChunkId] = {}
        for role in roles:
            found |= self._renaming.known.of(ids, role)
        return [found.get(chunk) for chunk in ids]


def plan_transfer(
    source: ChunkStore,
    target: ChunkStore,
    roots: Iterable[RecipeRoot],
    renaming: Renaming | None = None,
    progress: Progress = SILENT,
) -> TransferPlan:
    """Return what of the snapshots with the section tables *roots* the *target* lacks; *renaming*
    if it has other keys. Raises CorruptionError if any of it is damaged or missing in the
    *source*."""
    import numpy as np

    table = FrameTable(source.index)
    marker = Marker(table, source.reader)
    marker.add(roots)
    if marker.missing:
        raise CorruptionError(
            f"{marker.missing} chunks that snapshots need are missing",
            detail="Nothing was sent that cannot be read.",
            hint=VERIFY_FIRST,
        )
    marker.add_lossy()
    live, left = marker.is_live, marker.is_left
    if renaming is not None:
        live, left = live & ~marker.is_list, left & ~marker.is_list
    choice = Choice(table, live, left)
    if renaming is not None and target.index.totals()[0]:
        # Else nothing is there, and ids are found as chunks are copied.
        renaming.find_all(table, choice, progress)
    known = _There(table, target.index, renaming)
    there = known.is_there(np.flatnonzero(choice.is_needed))
    wanted = live & ~there
    for rank in range(int(choice.rank[wanted].max(initial=0)), 0, -1):
        bases = choice.bases(np.flatnonzero(wanted & (choice.rank == rank)))
        wanted[bases[~there[bases]]] = True
    ranks = _ranks(known, choice, wanted, there)
    plain = np.flatnonzero(wanted & (choice.rank > 0) & (ranks == 0))
    plan = _split(source, target, table, choice, wanted, ranks, plain)
    return plan if renaming is None else _with_lists(plan, marker, known)


def _with_lists(plan: TransferPlan, marker: Marker, known: _There) -> TransferPlan:
    """Return the plan with about what the lists take."""
    import numpy as np

    lists = (marker.is_live | marker.is_left) & marker.is_list
    lists &= ~known.is_there(np.flatnonzero(lists), (Role.NODE, Role.PIECE, Role.TABLE_NODE))
    size = int(plan.table.frame_bytes[plan.table.nearest()[lists]].sum())
    chunks, sent = plan.chunks + int(lists.sum()), plan.sent_bytes + size
    return replace(plan, list_bytes=size, chunks=chunks, sent_bytes=sent)


def _ranks(known: _There, choice: Choice, wanted: Array, there: Array) -> Array:
    """Return the rank that the frame of each wanted chunk gets: greater than that of its base."""
    import numpy as np

    ranks = choice.rank.astype(np.int16)
    deltas = np.flatnonzero(wanted & (choice.rank > 0))
    bases = np.unique(choice.bases(deltas))
    bases = bases[there[bases]]
    for start in range(0, len(bases), _IDS_AT_ONCE):
        some = bases[start : start + _IDS_AT_ONCE]
        ranks[some] = known.ranks(some)
    for rank in range(1, int(choice.rank[wanted].max(initial=0)) + 1):
        of_rank = deltas[choice.rank[deltas] == rank]
        above = np.maximum(ranks[choice.bases(of_rank)] + 1, rank)
        # Readers do not follow deeper frames.
        ranks[of_rank] = np.where(above < DELTA_DEPTH_MAX, above, 0)
    return ranks


def _split(
    source: ChunkStore,
    target: ChunkStore,
    table: FrameTable,
    choice: Choice,
    wanted: Array,
    ranks: Array,
    plain: Array,
) -> TransferPlan:
    import numpy as np

    is_copied = wanted.copy()
    is_copied[plain] = False
    frames = choice.frame[is_copied]
    frames = np.sort(frames[frames != NOBODY])
    whole: Array = np.zeros(0, np.int32)
    if source.scheme.packs is None and target.scheme.packs is None and table.packs:
        numbers = np.array(sorted(table.packs), np.int32)
        sizes = np.array([table.packs[number][1] for number in numbers.tolist()], np.int64)
        same = frames[ranks[table.chunk[frames]] == choice.rank[table.chunk[frames]]]
        places = np.searchsorted(numbers, table.pack[same])
        used = np.bincount(places, table.frame_bytes[same], len(numbers))
        total = np.bincount(
            np.searchsorted(numbers, table.pack[table.is_sound]),
            table.frame_bytes[table.is_sound],
            len(numbers),
        )
        is_large = sizes >= target.config.pack_bytes * SMALL_PACK
        whole = numbers[is_large & (used > 0) & (used >= total * USED_MIN)]
        changed = np.setdiff1d(frames, same)
        frames = np.union1d(changed, frames[~np.isin(table.pack[frames], whole)])
    sent = sum(table.packs[number][1] for number in whole.tolist())
    sent += int(table.frame_bytes[frames].sum()) + int(table.chunk_bytes[plain].sum())
    order = np.lexsort((table.offset[frames], table.pack[frames]))
    return TransferPlan(
        table,
        tuple(whole.tolist()),
        frames[order],
        ranks,
        plain,
        int(wanted.sum()),
        sent,
    )
