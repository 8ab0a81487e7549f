"""Snapshots travel from one repository to another: only what is missing there, packs first.

What was forgotten in one of the two is no concern of the other: notes that forget stay, and a
snapshot that was forgotten where the others go does not come back.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from pgsnap.errors import TagExists, UsageError
from pgsnap.maintenance.publishing import guarded
from pgsnap.maintenance.transfer.chunks import Sent, transfer_chunks, transfer_renamed
from pgsnap.maintenance.transfer.counterparts import Counterparts
from pgsnap.maintenance.transfer.notes import (
    absent_parents,
    copy_notes,
    missing_notes,
    note_absent,
)
from pgsnap.maintenance.transfer.plan import TransferPlan, plan_transfer
from pgsnap.model import SnapshotId, Tag
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.config import refuse_folder_of_server
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class DivergentTag:
    """A tag that names one snapshot where it comes from, and another one *there*."""

    tag: Tag
    there: SnapshotId


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What travelled, or in a *dry_run* would.

    *snapshots* oldest first, by the ids that both sides resolve. *forgotten_there* and *incomplete*
    (their losses were accepted) were left out. *divergent* tags were not moved. *requests* is about
    how many objects are written.
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

    Tags travel that *target* lacks; those that name another snapshot there are refused. With
    *force_tags* they are moved: those of copied snapshots, with *all_tags* all. If snapshots are
    *named*, only these travel, even if they were forgotten there. If the two have different keys,
    or only one is encrypted, all gets the ids that it has in *target*. Nothing is visible there
    before what it needs is durable. Raises CorruptionError if *source* is damaged, UsageError,
    StoreError.
    """
    began = time.monotonic()
    _refuse(source, target)
    progress.phase("compare")
    source.catch_up_packs()
    target.catch_up_packs()
    both = Counterparts(source, target)
    both.learn_dropped()
    choice = _choose(both, database, named)
    roots = (read().sections_recipe for _, read in source.snapshots(choice.snapshots))
    plan = plan_transfer(source.chunk_store, target.chunk_store, roots, both.renaming, progress)
    notes = missing_notes(both)
    moved = None if all_tags else set(choice.snapshots)
    tags, divergent = _tags(both, database, choice.snapshots, moved if force_tags else set())
    absent = absent_parents(both, choice.snapshots)
    if dry_run:
        sent = Sent(plan.pack_count(target.config.pack_bytes), plan.sent_bytes)
        coming = set(map(both.original, choice.snapshots))
        count = copy_notes(both, notes, coming=coming, dry_run=True)
    else:
        sent = _send(both, plan, choice, named, absent, progress)
        count = copy_notes(both, notes)
        tags, refused = _settle(both, choice, tags, force=force_tags)
        divergent += refused
    both.save()
    return TransferReport(
        tuple(map(both.original, choice.snapshots)),
        tuple(map(both.original, choice.forgotten_there)),
        tuple(map(both.original, choice.incomplete)),
        plan.chunks,
        sent.packs,
        sent.bytes,
        count,
        tuple(tags),
        tuple(divergent),
        sent.packs + _written(target, choice, tags) + count + len(absent),
        dry_run,
        time.monotonic() - began,
    )


def _written(target: Repository, choice: _Choice, tags: list[Tag]) -> int:
    """Return how many manifests, tags, and notes that bring snapshots back *target* gets, and
    entries in its log about them."""
    count = len(choice.snapshots) + len(tags) + len(choice.unforgotten)
    if target.log is not None:
        count += bool(choice.snapshots) + bool(tags or choice.unforgotten)
    return count


def _settle(
    both: Counterparts, choice: _Choice, tags: list[Tag], *, force: bool
) -> tuple[list[Tag], list[DivergentTag]]:
    """Set *tags*, and bring back what is to be; return those that were set, and those that another
    process set meanwhile."""
    # What turned out to be forgotten there was left out, and its tags with it.
    tags = [tag for tag in tags if both.is_there(tag.snapshot)]
    with both.target.together():
        refused = _set_tags(both, tags, force=force)
        for snapshot in choice.unforgotten:
            both.target.unforget(snapshot)
    return [tag for tag in tags if tag not in {one.tag for one in refused}], refused


def _refuse(source: Repository, target: Repository) -> None:
    refuse_folder_of_server(target.place, target.config)
    if source.config.repository_id == target.config.repository_id and str(source.place) == str(
        target.place
    ):
        raise UsageError(
            "both are the same repository",
            detail=f"It is {source.place}.",
            hint='See what "repository" and the remotes in snap.toml name.',
        )


@dataclass(frozen=True, slots=True)
class _Choice:
    """*snapshots* are to be copied, oldest first; *unforgotten*, named as they are there, were
    forgotten there and are to be brought back."""

    snapshots: list[SnapshotId]
    forgotten_there: list[SnapshotId]
    unforgotten: list[SnapshotId]
    incomplete: list[SnapshotId]


def _choose(both: Counterparts, database: str | None, named: Collection[SnapshotId]) -> _Choice:
    found = _Choice([], [], [], [])
    target = both.target
    lossy = accepted_losses(both.source).keys()
    for snapshot in reversed(both.source.newest(database)):
        there = both.there(snapshot)
        if there is not None and target.forgotten_since(there) is not None:
            if snapshot not in named:
                found.forgotten_there.append(snapshot)
                continue
            found.unforgotten.append(there)
        is_there = there is not None and target.has_snapshot(there)
        if is_there or (named and snapshot not in named):
            continue
        (found.incomplete if snapshot in lossy else found.snapshots).append(snapshot)
    return found


def _send(
    both: Counterparts,
    plan: TransferPlan,
    choice: _Choice,
    named: Collection[SnapshotId],
    absent: dict[str, dict[str, str]],
    progress: Progress,
) -> Sent:
    """Copy what *plan* says, then the manifests; *absent* are the parents that do not come."""
    source, target = both.source, both.target
    progress.phase("send", plan.sent_bytes)
    roots = [read().sections_recipe for _, read in source.snapshots(choice.snapshots)]
    if both.renaming is None:
        sent = transfer_chunks(source.chunk_store, target.chunk_store, plan, progress)
    else:
        sent, roots = transfer_renamed(both.renaming, plan, roots, progress)
    manifests: list[tuple[SnapshotId, bytes]] = []
    for snapshot, root in zip(tuple(choice.snapshots), roots, strict=True):
        new, manifest = both.manifest(snapshot, root)
        # Only now it is certain what it is called there.
        if target.forgotten_since(new) is not None and new not in choice.unforgotten:
            if snapshot not in named:
                choice.snapshots.remove(snapshot)
                choice.forgotten_there.append(snapshot)
                continue
            choice.unforgotten.append(new)
        manifests.append((new, manifest))

    def write() -> None:
        with target.together():
            for new, manifest in manifests:
                progress.advance(0)
                # Visible from here on: all that it needs is durable.
                target.put_back(new, manifest)

    note_absent(both, absent)
    guarded(target, roots, write)
    return sent


def _tags(
    both: Counterparts,
    database: str | None,
    snapshots: list[SnapshotId],
    moved: Collection[SnapshotId] | None,
) -> tuple[list[Tag], list[DivergentTag]]:
    """Return the tags that are to be set, and those that name another snapshot there and are not to
    be *moved*: those of all but these snapshots, None for any."""
    copied = set(snapshots)
    there = {(tag.database, tag.name): tag.snapshot for tag in both.target.tags.all(database)}
    new: list[Tag] = []
    divergent: list[DivergentTag] = []
    for tag in both.source.tags.all(database):
        if tag.snapshot not in copied and not both.is_there(tag.snapshot):
            continue
        other = there.get((tag.database, tag.name))
        if other is None:
            # Also of those that were there before: the push that sent them may have been cut short.
            new.append(tag)
        elif other != both.there(tag.snapshot):
            # Also of those that were there before: it is said until somebody moves one of the two.
            if moved is None or tag.snapshot in moved:
                new.append(tag)
            else:
                divergent.append(DivergentTag(tag, both.here(other)))
    return new, divergent


def _set_tags(both: Counterparts, tags: list[Tag], *, force: bool) -> list[DivergentTag]:
    """Set *tags*; return those that another process set meanwhile."""
    refused = []
    target = both.target
    for tag in tags:
        there = both.there(tag.snapshot) or tag.snapshot
        try:
            target.tags.set(replace(tag, snapshot=there), force=force)
        except TagExists:
            other = target.tags.get(tag.database, tag.name)
            refused.append(DivergentTag(tag, both.here(other.snapshot) if other else b""))
    return refused
