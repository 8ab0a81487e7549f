"""Garbage collection: drops the snapshots that have expired, then everything unreferenced.

It plans first, then acts. Each step can be killed at any write and is resumed by the next run:
there is no state beyond what is stored. A damaged repository is left as it is, because what can
repair it may be among the unreferenced data.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

from pgsnap.errors import StoreFull, StoreRefused
from pgsnap.maintenance.gc.collect import ChunkCollection, unreadable_packs
from pgsnap.maintenance.gc.remote import RemoteRound, announce_marks, sweep_marked
from pgsnap.maintenance.gc.snapshots import (
    drop_snapshots,
    manifest_bytes,
    needed_roots,
    trust_notes,
)
from pgsnap.maintenance.log import check_log, settle_log
from pgsnap.model import PackId, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.workflows.retention.policy import Decision, Policy, decide

PACK_GRACE = timedelta(days=1)
"""How long packs of a remote store stay that nothing needed: longer than any writer sleeps."""


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
    *bytes_before* and *bytes_after* count all files of the repository. *unreadable* are packs that
    are left alone because they are damaged and their contents unknown. *full* is why it ended
    early: another run continues from there; *refused* why the store let something not be deleted,
    which is left as it is. On a remote store *packs_marked* will be deleted by the first gc after
    *marked_until*.
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
    packs_marked: int = 0
    marked_until: datetime | None = None
    refused: StoreRefused | None = None

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
    pack_grace: timedelta = PACK_GRACE,
    progress: Progress = SILENT,
) -> GcReport:
    """Forget what *policy* drops, drop what was forgotten for longer than *grace*, and free what is
    no longer referenced. *repo* is locked exclusively; with *dry_run*, which writes nothing,
    shared. On a remote store, whose writers are not locked out, packs are only marked, and deleted
    by the first gc after *pack_grace*.

    Raises UsageError if the policy keeps nothing, CorruptionError if the repository is damaged:
    then nothing was deleted.
    """
    run = _Run(repo, policy, grace, now or datetime.now(UTC), zone, progress)
    run.pack_grace = pack_grace
    with repo.many_reads():
        return run.run(dry_run)


class _Run:
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
        self.pack_grace = PACK_GRACE

    def run(self, dry_run: bool) -> GcReport:
        began = time.monotonic()
        repo = self._repo
        bytes_before = repo.place.footprint().total
        self._progress.phase("choose snapshots")
        trust_notes(repo)
        check_log(repo)
        decisions = decide(repo, self._policy, self._now, zone=self._zone)
        dropped = [decision for decision in decisions if not decision.keep]
        full, refused = None if dry_run else self._forget(dropped), None
        expired, waiting = self._sort_forgotten(dropped if dry_run else ())
        tables = {one.snapshot_id: one.snapshot.sections_recipe for one in decisions}
        gone = {one.snapshot_id: one.snapshot.database for one in expired}
        roots = needed_roots(repo, gone, tables, self._is_over)
        store, discarded = repo.chunk_store, list[PackId]()
        remote = RemoteRound()
        if repo.place.path is None:
            store = replace(store, discard=discarded.extend)
        chunks = ChunkCollection(store, roots, self._progress)
        if dry_run:
            bytes_after = bytes_before - chunks.foresee() - manifest_bytes(repo, gone)
        else:
            dropping = drop_snapshots(repo, gone.items(), self._is_over)
            full = full or dropping.full
            refused = dropping.refused
            expired = [one for one in expired if one.snapshot_id not in dropping.kept]
            if repo.place.path is None:
                remote = self._sweep_marked()
            # One round at a time: what it marked must be seen to go, or to stay.
            if not remote.marked:
                if remote.is_swept or dropping.kept:
                    roots = needed_roots(repo, (), {}, self._is_over)
                    chunks = ChunkCollection(store, roots, self._progress)
                chunks.sweep()
                self._announce(discarded, remote)
            settle_log(repo)
            bytes_after = repo.place.footprint().total
        full = full or chunks.full
        return GcReport(
            tuple(decisions),
            tuple(expired),
            len(waiting),
            _later(min(waiting), self._grace) if waiting else None,
            bytes_before,
            bytes_after,
            remote.deleted if repo.place.path is None else chunks.swept.packs_deleted,
            chunks.swept.packs_rewritten,
            chunks.reencoded,
            # Where the index had no room, packs that were just written are not in it either.
            () if full is not None else tuple(unreadable_packs(repo.chunk_store)),
            dry_run,
            full,
            time.monotonic() - began,
            remote.marked,
            remote.waiting_until,
            refused or remote.refused,
        )

    def _sweep_marked(self) -> RemoteRound:
        return sweep_marked(
            self._repo,
            lambda: needed_roots(self._repo, (), {}, self._is_over),
            grace=self.pack_grace,
            now=datetime.now(UTC),
            progress=self._progress,
        )

    def _announce(self, discarded: list[PackId], remote: RemoteRound) -> None:
        if discarded:
            announce_marks(self._repo, discarded)
            remote.marked = len(discarded)
            remote.waiting_until = datetime.now(UTC) + self.pack_grace

    def _forget(self, dropped: Collection[Decision]) -> StoreFull | None:
        try:
            with self._repo.together():
                for decision in dropped:
                    self._repo.forget(
                        decision.snapshot_id, by="snap gc", reason="retention", now=self._now
                    )
        except StoreFull as error:
            # What was forgotten earlier can be dropped even on a full disk.
            return error
        return None

    def _sort_forgotten(
        self, dropped: Collection[Decision]
    ) -> tuple[list[ExpiredSnapshot], list[datetime]]:
        """Return the expired snapshots, and when each of the others was forgotten; the *dropped*
        ones count as forgotten just now."""
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
        """Return whether the grace period of a snapshot forgotten at *since* is over."""
        return not self._grace or self._now - since >= self._grace


def _later(since: datetime, grace: timedelta) -> datetime | None:
    try:
        return since + grace
    except OverflowError:
        return None
