"""The snapshots that a gc has to keep, and dropping those whose grace period is over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field
from datetime import datetime

from pgsnap.errors import CorruptionError, StoreFull, StoreRefused
from pgsnap.format.manifest import decode_manifest
from pgsnap.format.manifest import snapshot_id as id_of
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.gc.collect import Roots
from pgsnap.maintenance.gc.marking import VERIFY_FIRST
from pgsnap.maintenance.verify.object_faults import (
    forgotten,
    given_up,
    is_any_left,
    kept_manifest,
    logged,
    lost_while_forgotten,
)
from pgsnap.model import RecipeRoot, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.forgetting import check_notes, mend_forgotten
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.values import dataclass


@dataclass(slots=True)
class Dropping:
    """What became of manifests that were to be deleted: *full* is why the index still has some of
    them, which it finds out by itself when it is opened; *kept* those that the store let not be
    deleted, and *refused* why."""

    full: StoreFull | None = None
    kept: set[SnapshotId] = field(default_factory=set)
    refused: StoreRefused | None = None


def trust_notes(repo: Repository) -> None:
    """Make sure that what counts as forgotten agrees with the notes, not only with the index.
    Raises CorruptionError if one cannot be read: it may be the one that brought a snapshot back."""
    check_notes(repo.store, repo.index, repo.naming)
    mend_forgotten(repo.store, repo.index, repo.naming)


def needed_roots(
    repo: Repository,
    expired: Collection[SnapshotId],
    tables: Mapping[SnapshotId, RecipeRoot],
    is_over: Callable[[datetime], bool],
) -> Roots:
    """Return the section tables of all snapshots in the store except the *expired* ones, and of
    snapshots whose manifests vanished in their grace period: until that *is_over* a repair can
    restore them. *tables* are those that were read already. The index then knows the packs of all
    of them. Raises CorruptionError if a manifest is damaged, or vanished.
    """
    found = Roots()
    accepted = accepted_losses(repo)
    # Before the store is listed: what others publish from now on may be in the log only.
    known_before = repo.index.lost_snapshots().keys() | logged(repo)
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
            if known is None or id_of(data, repo.naming) != snapshot:
                known = decode_manifest(data, snapshot, repo.naming).sections_recipe
            (found.left if snapshot in accepted else found.whole).append(known)
        except CorruptionError as error:
            if snapshot in accepted:
                continue
            error.hint = VERIFY_FIRST
            raise
    if lost := known_before - stored:
        lost = lost - forgotten(repo) - given_up(repo) - accepted.keys()
    for snapshot in sorted(lost)[:1]:
        manifest = kept_manifest(repo, snapshot)
        mends = manifest is not None and is_any_left(repo, manifest)
        raise CorruptionError(
            f"the manifest of snapshot {snapshot.hex()[:12]} vanished from the repository",
            detail="Nothing was deleted: what it needs may still be there.",
            hint="Put it back first: snap repair" if mends else VERIFY_FIRST,
        )
    for snapshot, data in lost_while_forgotten(repo):
        since = repo.forgotten_since(snapshot)
        if since is not None and not is_over(since):
            found.whole.append(decode_manifest(data, snapshot, repo.naming).sections_recipe)
    # Last: others may have published what was listed after the packs were.
    repo.catch_up_packs(again=repo.place.path is None)
    return found


def drop_snapshots(
    repo: Repository,
    expired: Iterable[tuple[SnapshotId, str]],
    is_over: Callable[[datetime], bool],
) -> Dropping:
    """Delete manifests for good, with the tags that still name them: each snapshot comes with its
    label. Their notes stay."""
    done = Dropping()
    some = list(expired)
    tags = repo.tags.by_snapshot() if some else {}
    for snapshot, database in some:
        repo.check_lock()
        for name in tags.get(snapshot, ()):
            repo.tags.delete(database, name)
        try:
            repo.store.delete(layout.snapshot_name(snapshot))
        except StoreRefused as error:
            # It stays forgotten, and the next gc tries again.
            done.kept.add(snapshot)
            done.refused = error
            continue
        try:
            repo.index.drop_snapshots([snapshot])
        except StoreFull as error:
            done.full = done.full or error
    # Also keep a repair from restoring lost manifests that would be dropped now.
    lost = repo.index.lost_snapshots().keys() & forgotten(repo)
    since = {one: repo.forgotten_since(one) for one in lost}
    if over := [one for one, time in since.items() if time is not None and is_over(time)]:
        try:
            repo.index.drop_lost(over)
        except StoreFull as error:
            done.full = done.full or error
    return done


def manifest_bytes(repo: Repository, snapshots: Collection[SnapshotId]) -> int:
    """Return the total size in bytes of the manifests of *snapshots*."""
    if not snapshots:
        return 0
    return sum(
        info.object_bytes
        for info in repo.store.list(layout.SNAPSHOTS)
        if layout.hash_of(info.name) in snapshots
    )
