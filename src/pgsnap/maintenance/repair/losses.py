"""Accepting losses: showing what a snapshot lost, and recording it as given up so that gc works."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.errors import CorruptionError, UnknownRevision, UsageError
from pgsnap.format.manifest import decode_manifest
from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.maintenance.verify.damage import REPAIR
from pgsnap.maintenance.verify.object_faults import is_stored, kept_manifest, manifest_faults
from pgsnap.maintenance.verify.section_walk import SectionWalk
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accept_loss
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """What a snapshot lost. *snapshot* is None if nothing is known of it but its id; *is_gone*: its
    manifest does not exist, so all of it is lost. *sections* are those that cannot be read
    completely."""

    snapshot_id: SnapshotId
    snapshot: Snapshot | None
    is_gone: bool
    sections: tuple[str, ...]


def vanished(repo: Repository, text: str) -> SnapshotId:
    """Return the snapshot whose id begins with *text* and whose manifest is gone or damaged, or
    that is forgotten. Raises UnknownRevision if there is none, or more than one."""
    found = {fault.snapshot for fault in manifest_faults(repo) if fault.snapshot is not None}
    found |= repo.forgotten().keys()
    matching = [one for one in found if one.hex().startswith(text.lower())]
    if len(matching) != 1 or len(text) < ID_PREFIX_MIN:
        why = "More than one begins so." if len(matching) > 1 else ""
        if len(text) < ID_PREFIX_MIN:
            why = f"An id is written with {ID_PREFIX_MIN} digits at least."
        raise UnknownRevision(
            f'no snapshot that lost something is named "{text}"',
            detail=why,
            hint="See what is damaged: snap verify",
        )
    return matching[0]


def find_losses(repo: Repository, chosen: Sequence[SnapshotId]) -> list[Loss]:
    """Return the loss of each of the *chosen* snapshots. Raises UsageError if one lost nothing, or
    only what can be mended."""
    repo.catch_up_packs()
    return [_loss(repo, snapshot) for snapshot in dict.fromkeys(chosen)]


def accept(repo: Repository, losses: Sequence[Loss], *, by: str) -> None:
    """Record the losses as accepted. Raises StoreError."""
    for loss in losses:
        database = loss.snapshot.database if loss.snapshot is not None else ""
        accept_loss(repo, loss.snapshot_id, database, loss.sections, by=by)


def _loss(repo: Repository, snapshot_id: SnapshotId) -> Loss:
    short = snapshot_id.hex()[:12]
    data = kept_manifest(repo, snapshot_id)
    try:
        snapshot = decode_manifest(data, snapshot_id, repo.naming) if data is not None else None
    except CorruptionError:
        snapshot = None
    is_gone = not is_stored(repo, snapshot_id)
    if snapshot is None:
        if is_gone:
            return Loss(snapshot_id, None, True, ())
        snapshot = repo.snapshot(snapshot_id)
    walk = SectionWalk(repo)
    walk.check(snapshot_id, snapshot)
    sections = tuple(finding.name for finding in walk.findings())
    if not sections:
        raise UsageError(
            f"snapshot {short} has lost nothing",
            detail="Its manifest is gone, and can be put back." if is_gone else "",
            hint=f"Mend it: {REPAIR}" if is_gone else "See what is damaged: snap verify --data",
        )
    return Loss(snapshot_id, snapshot, is_gone, sections)
