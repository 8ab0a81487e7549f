"""Rows of the index that disagree with the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.manifest import decode_manifest, snapshot_id
from pgsnap.format.times import to_micros
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.snapshots import SnapshotColumns, label_bytes, snapshot_columns
from pgsnap.repository.repository import Repository


def columns_of(head: SnapshotHead, server: str, alias: SnapshotId | None) -> SnapshotColumns:
    """Return the same as `snapshot_columns`, from parts of a manifest."""
    return label_bytes(head.database), to_micros(head.time), server, alias


def mend_snapshot_rows(
    repo: Repository, whole: Mapping[SnapshotId, SnapshotColumns]
) -> Iterator[SnapshotId]:
    """Make the index's rows of snapshots agree with the manifests in the store; yield those that
    did not. *whole* are the correct rows of those whose manifests in the store are sound."""
    for snapshot, columns, manifest in repo.index.snapshot_rows():
        if whole.get(snapshot) == columns and snapshot_id(manifest, repo.naming) == snapshot:
            continue
        try:
            stored = repo.store.get(layout.snapshot_name(snapshot), bytes_max=RECORD_BYTES_MAX)
            truth = decode_manifest(stored, snapshot, repo.naming)
        except (CorruptionError, StoreError):
            # Already reported: its manifest is damaged.
            continue
        if (columns, manifest) != (snapshot_columns(truth), stored):
            repo.index.add_snapshot(snapshot, truth, stored)
            yield snapshot
