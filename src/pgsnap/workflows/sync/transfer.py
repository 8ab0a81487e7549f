"""Snapshots travel from one repository to another: only what is missing there, packs first.

What was forgotten in one of the two is no concern of the other: notes that forget stay, and a
snapshot that was forgotten where the others go does not come back.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from pgsnap.errors import TagExists, UsageError
from pgsnap.maintenance.publishing import guarded
from pgsnap.maintenance.transfer.chunks import Sent, transfer_chunks
from pgsnap.maintenance.transfer.notes import copy_notes, missing_notes, rewrite_notes
from pgsnap.maintenance.transfer.plan import TransferPlan, plan_transfer
from pgsnap.model import SnapshotId, Tag
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.workflows.sync.rekeyed import Aliases, Rekeying, first_id


@dataclass(frozen=True, slots=True)
class DivergentTag:
    """A tag that names one snapshot where it comes from, and another one *there*."""

    tag: Tag
    there: SnapshotId


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What travelled, or in a *dry_run* would.

    *snapshots* oldest first. *forgotten_there* and *incomplete* (their losses were accepted) were
    left out. *divergent* tags were not moved. *requests* is about how many objects are written.
    """

    snapshots: tuple[SnapshotId, ...]
    forgotten_there: tuple[SnapshotId, ...]
    incomplete: tuple[SnapshotId, ...]
    chunks: int
    packs: int
    sent_bytes: int
    notes: int
    tags: tuple[Tag, ...]
    divergent: tuple[DivergentTag, ...]
    requests: int
    dry_run: bool
    seconds: float


def transfer(
    source: Repository,
    target: Repository,
    *,
    database: str | None = None,
    named: Collection[SnapshotId] = (),
    all_tags: bool = False,
    force_tags: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> TransferReport:
    """Copy the snapshots that *target* lacks, of one label or of all, with their notes and tags.

    Of the tags those of the copied snapshots travel, or *all_tags*; one that names another snapshot
    there is moved only with *force_tags*. If snapshots are *named*, only these travel, even if they
    were forgotten there. Nothing becomes visible in *target* before everything that it needs is
    durable there. Raises CorruptionError if *source* is damaged, UsageError, StoreError.
    """
    began = time.monotonic()
    _refuse_itself(source, target)
    progress.phase("compare")
    source.catch_up_packs()
    target.catch_up_packs()
    if source.naming != target.naming:
        run = _Rekeyed(source, target, database, named, progress)
        return run.run(all_tags=all_tags, force_tags=force_tags, dry_run=dry_run)
    choice = _choose(source, target, database, named)
    roots = (read().sections_recipe for _, read in source.snapshots(choice.snapshots))
    plan = plan_transfer(source.chunk_store, target.chunk_store, roots)
    notes = missing_notes(source, target)
    tags, divergent = _tags(source, target, database, choice.snapshots, all_tags=all_tags)
    if force_tags:
        tags, divergent = [*tags, *(one.tag for one in divergent)], []
    sent = Sent(plan.pack_count(target.config.pack_bytes), plan.sent_bytes)
    count = len(notes)
    if not dry_run:
        sent = _send(source, target, plan, choice.snapshots, progress)
        count = copy_notes(source, target, notes)
        refused = _set_tags(target, tags, force=force_tags)
        tags = [tag for tag in tags if tag not in {one.tag for one in refused}]
        divergent += refused
        if choice.unforgotten:
            for snapshot in choice.unforgotten:
                target.unforget(snapshot)
    return TransferReport(
        tuple(choice.snapshots),
        tuple(choice.forgotten_there),
        tuple(choice.incomplete),
        plan.chunks,
        sent.packs,
        sent.bytes,
        count,
        tuple(tags),
        tuple(divergent),
        sent.packs + len(choice.snapshots) + count + len(tags),
        dry_run,
        time.monotonic() - began,
    )


def _refuse_itself(source: Repository, target: Repository) -> None:
    if source.config.repository_id == target.config.repository_id and str(source.place) == str(
        target.place
    ):
        raise UsageError("both are the same repository")


@dataclass(frozen=True, slots=True)
class _Choice:
    """*snapshots* are to be copied, oldest first; *unforgotten* are those among them that were
    forgotten there."""

    snapshots: list[SnapshotId]
    forgotten_there: list[SnapshotId]
    unforgotten: list[SnapshotId]
    incomplete: list[SnapshotId]


def _choose(
    source: Repository, target: Repository, database: str | None, named: Collection[SnapshotId]
) -> _Choice:
    found = _Choice([], [], [], [])
    lossy = accepted_losses(source).keys()
    for snapshot in reversed(source.newest(database)):
        is_forgotten = target.forgotten_since(snapshot) is not None
        if is_forgotten and snapshot in named:
            found.unforgotten.append(snapshot)
        elif is_forgotten:
            found.forgotten_there.append(snapshot)
            continue
        if target.has_snapshot(snapshot) or (named and snapshot not in named):
            continue
        (found.incomplete if snapshot in lossy else found.snapshots).append(snapshot)
    return found


def _send(
    source: Repository,
    target: Repository,
    plan: TransferPlan,
    snapshots: list[SnapshotId],
    progress: Progress,
) -> Sent:
    """Copy what *plan* says, then the manifests."""
    progress.phase("send", plan.sent_bytes)
    sent = transfer_chunks(source.chunk_store, target.chunk_store, plan, progress)
    roots = [read().sections_recipe for _, read in source.snapshots(snapshots)]

    def write() -> None:
        for snapshot in snapshots:
            progress.advance(0)
            # Visible from here on: all that it needs is durable.
            target.put_back(snapshot, source.manifest(snapshot))

    guarded(target, roots, write)
    return sent


def _tags(
    source: Repository,
    target: Repository,
    database: str | None,
    snapshots: list[SnapshotId],
    *,
    all_tags: bool,
) -> tuple[list[Tag], list[DivergentTag]]:
    """Return the tags that are to be set, and those that name another snapshot there."""
    copied = set(snapshots)
    there = {(tag.database, tag.name): tag.snapshot for tag in target.tags.all(database)}
    new: list[Tag] = []
    divergent: list[DivergentTag] = []
    for tag in source.tags.all(database):
        if tag.snapshot not in copied and not (all_tags and target.has_snapshot(tag.snapshot)):
            continue
        other = there.get((tag.database, tag.name))
        if other is None:
            new.append(tag)
        elif other != tag.snapshot:
            divergent.append(DivergentTag(tag, other))
    return new, divergent


def _set_tags(target: Repository, tags: list[Tag], *, force: bool) -> list[DivergentTag]:
    """Set *tags*; return those that another process set meanwhile."""
    refused = []
    for tag in tags:
        try:
            target.tags.set(tag, force=force)
        except TagExists:
            other = target.tags.get(tag.database, tag.name)
            refused.append(DivergentTag(tag, other.snapshot if other is not None else b""))
    return refused


class _Rekeyed:
    """A transfer between repositories with different keys."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        database: str | None,
        named: Collection[SnapshotId],
        progress: Progress,
    ) -> None:
        self._source = source
        self._target = target
        self._database = database
        self._progress = progress
        self._there = Aliases.of(target)
        self._first: dict[SnapshotId, SnapshotId] = {}
        self._choice = self._choose(named)

    def run(self, *, all_tags: bool, force_tags: bool, dry_run: bool) -> TransferReport:
        began = time.monotonic()
        chosen = self._choice.snapshots
        some = [self._source.snapshot(one) for one in chosen]
        packs = self._target.pack_count()
        sent = sum(one.stored_bytes for one in some)
        if not dry_run:
            self._progress.phase("send", sum(one.plain_bytes for one in some))
            rekeying = Rekeying(self._source, self._target, self._there, self._progress)
            for snapshot in chosen:
                rekeying.send(snapshot)
            sent = rekeying.sent_bytes
        ids = {
            here: self._there.ids[first]
            for here, first in self._first.items()
            if first in self._there.ids
        }
        count = rewrite_notes(self._source, self._target, ids, dry_run=dry_run)
        tags, divergent = self._tags(ids, all_tags=all_tags)
        if force_tags:
            tags, divergent = [*tags, *(one.tag for one in divergent)], []
        if not dry_run:
            refused = _set_tags(self._target, tags, force=force_tags)
            tags = [tag for tag in tags if tag not in {one.tag for one in refused}]
            divergent += refused
            for snapshot in self._choice.unforgotten:
                self._target.unforget(ids[snapshot])
        packs = self._target.pack_count() - packs
        return TransferReport(
            tuple(chosen),
            tuple(self._choice.forgotten_there),
            tuple(self._choice.incomplete),
            0,
            packs,
            sent,
            count,
            tuple(tags),
            tuple(divergent),
            packs + len(chosen) + count + len(tags),
            dry_run,
            time.monotonic() - began,
        )

    def _choose(self, named: Collection[SnapshotId]) -> _Choice:
        found = _Choice([], [], [], [])
        lossy = accepted_losses(self._source).keys()
        newest = list(reversed(self._source.newest(self._database)))
        for snapshot, read in self._source.snapshots(newest):
            first = self._first[snapshot] = first_id(snapshot, read())
            if first in self._there.forgotten and snapshot not in named:
                found.forgotten_there.append(snapshot)
                continue
            if first in self._there.forgotten:
                found.unforgotten.append(snapshot)
            if first not in self._there.ids and (not named or snapshot in named):
                (found.incomplete if snapshot in lossy else found.snapshots).append(snapshot)
        return found

    def _tags(
        self, ids: dict[SnapshotId, SnapshotId], *, all_tags: bool
    ) -> tuple[list[Tag], list[DivergentTag]]:
        chosen = set(self._choice.snapshots)
        there = {(tag.database, tag.name): tag for tag in self._target.tags.all(self._database)}
        new: list[Tag] = []
        divergent: list[DivergentTag] = []
        for tag in self._source.tags.all(self._database):
            mapped = ids.get(tag.snapshot)
            if mapped is None or not (all_tags or tag.snapshot in chosen):
                continue
            other = there.get((tag.database, tag.name))
            if other is None:
                new.append(replace(tag, snapshot=mapped))
            elif other.snapshot != mapped:
                divergent.append(DivergentTag(replace(tag, snapshot=mapped), other.snapshot))
        return new, divergent
