"""Collecting garbage: snapshots that the retention drops, then all that no snapshot needs.

A plan first, then the act. Each step can be killed at any write and is taken up by the next run:
there is no state but what is stored. A repository that is damaged is left as it is, because what
mends it may be among what nothing needs.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from pgsnap.errors import CorruptionError, StoreFull
from pgsnap.format.manifest import decode_manifest
from pgsnap.format.manifest import snapshot_id as id_of
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.gc.marking import VERIFY_FIRST, Choice, Marker
from pgsnap.maintenance.gc.reencoding import ReencodePlan, plan_reencoding, reencode
from pgsnap.maintenance.gc.sweeping import (
    SweepPlan,
    Swept,
    compact_index,
    delete_packs,
    kept_frames,
    plan_sweep,
    rewrite_packs,
)
from pgsnap.maintenance.verify.object_faults import (
    forgotten,
    given_up,
    is_any_left,
    kept_manifest,
    lost_while_forgotten,
)
from pgsnap.model import RecipeRoot, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository import layout
from pgsnap.repository.footprint import footprint
from pgsnap.repository.index.frame_table import Array, FrameTable
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.forgetting import check_notes, mend_forgotten
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.workflows.retention.policy import Decision, Policy, decide


@dataclass(frozen=True, slots=True)
class ExpiredSnapshot:
    """A snapshot whose grace period is over: it is dropped for good."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    since: datetime


@dataclass(frozen=True, slots=True)
class GcReport:
    """What was done, or in a *dry_run* what would be.

    *decisions* are about the snapshots that were not forgotten; *expired* were dropped for good;
    *waiting* are forgotten and can be brought back, *waiting_until* when the first of them expires.
    *bytes_before* and *bytes_after* are all files of the repository. *unreadable* are packs that
    are left alone because they are damaged and nothing of them is known. *full* is why it ended
    early: run again, it goes on from there.
    """

    decisions: tuple[Decision, ...]
    expired: tuple[ExpiredSnapshot, ...]
    waiting: int
    waiting_until: datetime | None
    bytes_before: int
    bytes_after: int
    packs_deleted: int
    packs_rewritten: int
    chunks_reencoded: int
    unreadable: tuple[str, ...]
    dry_run: bool
    full: StoreFull | None
    seconds: float

    @property
    def freed_bytes(self) -> int:
        return max(0, self.bytes_before - self.bytes_after)


def gc(
    repo: Repository,
    policy: Policy,
    *,
    grace: timedelta,
    now: datetime | None = None,
    zone: tzinfo | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> GcReport:
    """Forget what *policy* drops, drop what was forgotten for longer than *grace*, and free what
    nothing needs any more. *repo* is open alone; with *dry_run*, which writes nothing, shared.

    Raises UsageError where the policy keeps nothing, CorruptionError where the repository is
    damaged: then nothing was deleted.
    """
    collection = _Collection(repo, policy, grace, now or datetime.now(UTC), zone, progress)
    with repo.store.many_reads():
        return collection.run(dry_run)


class _Collection:
    """One run of gc."""

    def __init__(
        self,
        repo: Repository,
        policy: Policy,
        grace: timedelta,
        now: datetime,
        zone: tzinfo | None,
        progress: Progress,
    ) -> None:
        self._repo = repo
        self._policy = policy
        self._grace = grace
        self._now = now
        self._zone = zone
        self._progress = progress
        self._swept = Swept()
        self._reencoded = 0
        self._full: StoreFull | None = None

    def run(self, dry_run: bool) -> GcReport:
        began = time.monotonic()
        repo = self._repo
        bytes_before = footprint(repo.path).total
        self._progress.phase("choose snapshots")
        # One that cannot be read may be what brought a snapshot back. What is dropped is what the
        # notes say, not what the index made of them.
        check_notes(repo.store, repo.index)
        mend_forgotten(repo.store, repo.index)
        decisions = decide(repo, self._policy, self._now, zone=self._zone)
        dropped = [decision for decision in decisions if not decision.keep]
        if not dry_run:
            self._forget(dropped)
        expired, waiting = self._sort_forgotten(dropped if dry_run else ())
        tables = {one.snapshot_id: one.snapshot.sections_recipe for one in decisions}
        gone = {one.snapshot_id for one in expired}
        roots = _roots(repo, gone, tables)
        roots.whole.extend(self._roots_of_lost())
        if dry_run:
            bytes_after = bytes_before - self._foresee(roots, expired)
        else:
            self._act(roots, expired)
            bytes_after = footprint(repo.path).total
        return GcReport(
            tuple(decisions),
            tuple(expired),
            len(waiting),
            _later(min(waiting), self._grace) if waiting else None,
            bytes_before,
            bytes_after,
            self._swept.packs_deleted,
            self._swept.packs_rewritten,
            self._reencoded,
            tuple(_unreadable(repo)),
            dry_run,
            self._full,
            time.monotonic() - began,
        )

    # -- snapshots ----------------------------------------------------------------------------

    def _forget(self, dropped: Collection[Decision]) -> None:
        try:
            for decision in dropped:
                self._repo.forget(
                    decision.snapshot_id, by="snap gc", reason="retention", now=self._now
                )
        except StoreFull as error:
            # What was forgotten earlier can be dropped without any room.
            self._full = error

    def _sort_forgotten(
        self, dropped: Collection[Decision]
    ) -> tuple[list[ExpiredSnapshot], list[datetime]]:
        """Return what is expired, and since when the others are forgotten; the *dropped* ones count
        as forgotten just now."""
        expired, waiting = [], []
        since_when = self._repo.forgotten() | {one.snapshot_id: self._now for one in dropped}
        for snapshot_id, since in since_when.items():
            if self._is_over(since):
                snapshot = self._repo.snapshot(snapshot_id)
                expired.append(ExpiredSnapshot(snapshot_id, snapshot, since))
            else:
                waiting.append(since)
        return expired, waiting

    def _is_over(self, since: datetime) -> bool:
        """Tell whether what is forgotten *since* then can be dropped."""
        return not self._grace or self._now - since >= self._grace

    def _roots_of_lost(self) -> Iterator[RecipeRoot]:
        """Yield the section tables of snapshots whose manifests vanished in their grace period:
        until that is over a repair can put them back."""
        for snapshot_id, data in lost_while_forgotten(self._repo):
            since = self._repo.forgotten_since(snapshot_id)
            if since is not None and not self._is_over(since):
                yield decode_manifest(data, snapshot_id).sections_recipe

    def _drop_snapshots(self, expired: Collection[ExpiredSnapshot]) -> None:
        """Delete manifests for good, with the tags that still name them. Their notes stay."""
        repo = self._repo
        tags = repo.tags.by_snapshot() if expired else {}
        for one in expired:
            repo.check_lock()
            for name in tags.get(one.snapshot_id, ()):
                repo.tags.delete(one.snapshot.database, name)
            repo.store.delete(layout.snapshot_name(one.snapshot_id))
            try:
                repo.index.drop_snapshots([one.snapshot_id])
            except StoreFull as error:
                # It finds out by itself when it is opened.
                self._full = self._full or error
        # Nor does a repair put back what was lost and would be dropped now.
        lost = repo.index.lost_snapshots().keys() & forgotten(repo)
        since = {one: repo.forgotten_since(one) for one in lost}
        if over := [one for one, time in since.items() if time is not None and self._is_over(time)]:
            try:
                repo.index.drop_lost(over)
            except StoreFull as error:
                self._full = self._full or error

    # -- chunks -------------------------------------------------------------------------------

    def _plan(self, roots: _Roots) -> tuple[FrameTable, Choice, ReencodePlan]:
        """Return all frames, those through which what the snapshots *roots* need is read, and what
        to encode anew. Raises CorruptionError."""
        self._progress.phase("mark what is needed")
        self._repo.catch_up_packs()
        table = FrameTable(self._repo.index)
        choice = Choice(table, *_marked(self._repo, table, roots))
        return table, choice, plan_reencoding(table, choice)

    def _foresee(self, roots: _Roots, expired: Collection[ExpiredSnapshot]) -> int:
        """Take for done what would be, and return about how many bytes it would free."""
        table, choice, plan = self._plan(roots)
        needed = choice.is_needed.copy()
        needed[plan.let_go] = False
        needed[plan.chunks] = False
        kept = kept_frames(table, choice.frame, needed)
        sweep = plan_sweep(table, kept, self._repo.config.pack_bytes)
        self._swept = Swept(len(sweep.dead), len(sweep.rewritten))
        self._reencoded = len(plan)
        gone = {one.snapshot_id for one in expired}
        manifests = sum(
            info.object_bytes
            for info in self._repo.store.list(layout.SNAPSHOTS)
            if layout.hash_of(info.name) in gone
        )
        return sweep.freed_bytes - int(plan.new_bytes.sum()) + manifests

    def _act(self, roots: _Roots, expired: Collection[ExpiredSnapshot]) -> None:
        table, choice, plan = self._plan(roots)
        frames = len(table)
        self._drop_snapshots(expired)
        kept, sweep = self._delete_dead(table, choice)
        if len(plan):
            self._progress.phase("encode anew", int(plan.new_bytes.sum()))
            try:
                reencode(self._repo, plan, table, self._progress)
                self._reencoded = len(plan)
            except StoreFull as error:
                # What it wrote so far counts all the same.
                self._full = self._full or error
            live = table.beginnings(choice.is_live)
            # Before there is another one: it is what takes most memory.
            del table, choice, kept
            table = FrameTable(self._repo.index)
            choice = Choice(table, table.starting_with(live))
            kept, sweep = self._delete_dead(table, choice)
        del choice, plan
        if sweep.rewritten:
            self._progress.phase("write anew", sweep.kept_bytes)
            try:
                rewrite_packs(self._repo, table, kept, sweep.rewritten, self._swept, self._progress)
            except StoreFull as error:
                self._full = self._full or error
        compact_index(self._repo, 1 - int(kept.sum()) / max(frames, 1))

    def _delete_dead(self, table: FrameTable, choice: Choice) -> tuple[Array, SweepPlan]:
        """Delete the packs that hold nothing that is needed. Return the frames that stay, and what
        is left to do."""
        kept = kept_frames(table, choice.frame, choice.is_needed)
        sweep = plan_sweep(table, kept, self._repo.config.pack_bytes)
        delete_packs(self._repo, table, sweep.dead, self._swept)
        return kept, sweep


@dataclass(frozen=True, slots=True)
class _Roots:
    """The section tables of snapshots: of those that must be *whole*, and of those of which what is
    *left* stays, because somebody accepted what they lost."""

    whole: list[RecipeRoot] = field(default_factory=list)
    left: list[RecipeRoot] = field(default_factory=list)


def _roots(
    repo: Repository, expired: Collection[SnapshotId], tables: Mapping[SnapshotId, RecipeRoot]
) -> _Roots:
    """Return the section tables of all snapshots in the store but the *expired* ones; *tables* are
    those that were read already. Raises CorruptionError where a manifest is damaged, or vanished.
    """
    found = _Roots()
    accepted = accepted_losses(repo)
    stored = set()
    for info in repo.store.list(layout.SNAPSHOTS):
        snapshot = layout.hash_of(info.name)
        if snapshot is None:
            continue
        stored.add(snapshot)
        if snapshot in expired:
            continue
        try:
            data = repo.store.get(info.name, bytes_max=RECORD_BYTES_MAX)
            known = tables.get(snapshot)
            if known is None or id_of(data) != snapshot:
                known = decode_manifest(data, snapshot).sections_recipe
            (found.left if snapshot in accepted else found.whole).append(known)
        except CorruptionError as error:
            if snapshot in accepted:
                continue
            error.hint = VERIFY_FIRST
            raise
    if lost := repo.index.lost_snapshots().keys() - stored:
        lost = lost - forgotten(repo) - given_up(repo) - accepted.keys()
    for snapshot in sorted(lost)[:1]:
        manifest = kept_manifest(repo, snapshot)
        mends = manifest is not None and is_any_left(repo, manifest)
        raise CorruptionError(
            f"the manifest of snapshot {snapshot.hex()[:12]} vanished from the repository",
            detail="Nothing was deleted: what it needs may still be there.",
            hint="Put it back first: snap repair" if mends else VERIFY_FIRST,
        )
    return found


def _marked(repo: Repository, table: FrameTable, roots: _Roots) -> tuple[Array, Array]:
    """Return which chunks the snapshots *roots* need, and which are left of what others needed.
    Raises CorruptionError."""
    marker = Marker(table, repo.chunks)
    marker.add(roots.whole)
    if marker.missing:
        raise CorruptionError(
            f"{marker.missing} chunks that snapshots need are missing",
            detail="Nothing was deleted: what mends them may be among what is not needed.",
            hint=VERIFY_FIRST,
        )
    marker.add_lossy(roots.left)
    return marker.is_live, marker.is_left


def _unreadable(repo: Repository) -> list[str]:
    """Return the packs in the store that the index could not take in, because they are damaged."""
    known = repo.index.packs()
    found = []
    for info in repo.store.list(layout.PACKS):
        pack = layout.hash_of(info.name)
        if pack is not None and (pack not in known or info.name != layout.pack_name(pack)):
            found.append(info.name)
    return found


def _later(since: datetime, grace: timedelta) -> datetime | None:
    try:
        return since + grace
    except OverflowError:
        return None
