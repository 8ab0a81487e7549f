"""Collecting chunks: all that no snapshot needs is deleted, and what is needed is compacted.

What has to stay is determined by section tables alone. Each step can be killed at any write and is
continued by the next run: there is no state except what is stored.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field

from pgsnap.errors import CorruptionError, StoreFull
from pgsnap.maintenance.gc.marking import VERIFY_FIRST, Choice, Marker
from pgsnap.maintenance.gc.reencoding import plan_reencoding, reencode
from pgsnap.maintenance.gc.sweeping import (
    SweepPlan,
    Swept,
    compact_index,
    delete_packs,
    kept_frames,
    plan_sweep,
    rewrite_packs,
)
from pgsnap.model import PackId, RecipeRoot
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.catching_up import catch_up_packs
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.frame_table import Array, FrameTable
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Roots:
    """The section tables of snapshots: of those that must be *whole*, and of those of which only
    what is *left* stays, because their losses were accepted."""

    whole: list[RecipeRoot] = field(default_factory=list)
    left: list[RecipeRoot] = field(default_factory=list)


class ChunkCollection:
    """One collection run over all chunks. Nothing is deleted before `sweep`.

    Results: *swept*, *reencoded* chunks; *full* is the error that ended it early.
    """

    def __init__(
        self,
        chunks: ChunkStore,
        roots: Roots,
        progress: Progress,
        *,
        renewed: Collection[PackId] = (),
    ) -> None:
        """Mark what the snapshots *roots* need. The packs *renewed* are rewritten, whatever they
        hold. Raises CorruptionError if any of what is needed is damaged or missing."""
        progress.phase("mark what is needed")
        self._chunks = chunks
        self._progress = progress
        self._renewed = renewed
        self.swept = Swept()
        self.reencoded = 0
        self.full: StoreFull | None = None
        self._table = FrameTable(chunks.index)
        self._choice = Choice(self._table, *mark(chunks, self._table, roots))
        self._plan = plan_reencoding(self._table, self._choice)

    def foresee(self) -> int:
        """Simulate `sweep` and return about how many bytes it would free."""
        needed = self._choice.is_needed.copy()
        needed[self._plan.let_go] = False
        needed[self._plan.chunks] = False
        kept = kept_frames(self._table, self._choice.frame, needed)
        sweep = plan_sweep(self._table, kept, self._chunks.config.pack_bytes)
        self.swept = Swept(len(sweep.dead), len(sweep.rewritten))
        self.reencoded = len(self._plan)
        return sweep.freed_bytes - int(self._plan.new_bytes.sum())

    def sweep(self) -> None:
        """Free what can be freed, as far as disk space permits. Raises CorruptionError if a frame
        that has to be moved is damaged."""
        frames = len(self._table)
        kept, sweep = self._delete_dead()
        if len(self._plan):
            del kept
            self._reencode()
            kept, sweep = self._delete_dead()
        # Frees their memory.
        del self._choice, self._plan
        if sweep.rewritten:
            self._progress.phase("rewrite", sweep.kept_bytes)
            try:
                rewrite_packs(
                    self._chunks, self._table, kept, sweep.rewritten, self.swept, self._progress
                )
            except StoreFull as error:
                self.full = self.full or error
        compact_index(self._chunks.index, 1 - int(kept.sum()) / max(frames, 1))

    def _reencode(self) -> None:
        """Encode what is planned, and look at the frames that there are then."""
        self._progress.phase("encode again", int(self._plan.new_bytes.sum()))
        try:
            reencode(self._chunks, self._plan, self._table, self._progress)
            self.reencoded = len(self._plan)
        except StoreFull as error:
            # What it wrote so far is kept and used.
            self.full = self.full or error
        live = self._table.beginnings(self._choice.is_live)
        # Before the next one is made: it is what takes most memory.
        del self._table, self._choice
        self._table = FrameTable(self._chunks.index)
        self._choice = Choice(self._table, self._table.starting_with(live))

    def _delete_dead(self) -> tuple[Array, SweepPlan]:
        """Delete the packs that hold nothing needed. Return the frames that stay, and the plan of
        what is left to do."""
        kept = kept_frames(self._table, self._choice.frame, self._choice.is_needed)
        pack_bytes = self._chunks.config.pack_bytes
        sweep = plan_sweep(self._table, kept, pack_bytes, renewed=self._renewed)
        delete_packs(self._chunks, self._table, sweep.dead, self.swept)
        return kept, sweep


def mark(chunks: ChunkStore, table: FrameTable, roots: Roots) -> tuple[Array, Array]:
    """Return which chunks the whole snapshots of *roots* need, and which are left of those with
    accepted losses. Raises CorruptionError."""
    marker = Marker(table, chunks.reader)
    marker.add(roots.whole)
    if marker.missing:
        raise CorruptionError(
            f"{marker.missing} chunks that snapshots need are missing",
            detail="Nothing was deleted: what mends them may be among what is not needed.",
            hint=VERIFY_FIRST,
        )
    marker.add_lossy(roots.left)
    return marker.is_live, marker.is_left


def unreadable_packs(chunks: ChunkStore) -> list[str]:
    """Return the packs in the store that are not in the index because they are damaged."""
    found = _packs_not_known(chunks)
    if found:
        # Others write while a gc runs: what they added since the index caught up is read first, and
        # what they deleted meanwhile is not counted.
        catch_up_packs(chunks.store, chunks.index, chunks.scheme)
        still = set(_packs_not_known(chunks))
        found = [name for name in found if name in still]
    return found


def _packs_not_known(chunks: ChunkStore) -> list[str]:
    known = chunks.index.packs()
    found = []
    for info in chunks.store.list(layout.PACKS):
        pack = layout.hash_of(info.name)
        if pack is not None and (pack not in known or info.name != layout.pack_name(pack)):
            found.append(info.name)
    return found
