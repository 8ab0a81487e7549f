"""Rows of the index that are not what the store says."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.manifest import decode_head, snapshot_id
from pgsnap.format.times import to_micros
from pgsnap.model import SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository


def mend_snapshot_rows(repo: Repository, whole: Collection[SnapshotId]) -> Iterator[SnapshotId]:
    """Make the index's rows of snapshots as their manifests in the store have them; yield those
    that were not. Of the snapshots *whole* it is known that their manifests are."""
    for snapshot, database, time_us, manifest in repo.index.snapshot_rows():
        if snapshot_id(manifest) == snapshot and snapshot in whole:
            stored = manifest
        else:
            try:
                stored = repo.store.get(layout.snapshot_name(snapshot))
            except (CorruptionError, StoreError):
                continue
            if snapshot_id(stored) != snapshot:
                continue
        try:
            head = decode_head(stored, snapshot)
        except CorruptionError:
            continue
        right = head.database.encode("utf-8", "surrogateescape"), to_micros(head.time), stored
        if (database, time_us, manifest) != right:
            repo.index.add_snapshot(snapshot, head.database, right[1], stored)
            yield snapshot
