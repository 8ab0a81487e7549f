"""Rows of the index that are not what the store says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.manifest import decode_head, snapshot_id
from pgsnap.format.times import to_micros
from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository

Row: TypeAlias = "tuple[bytes, int]"
"""What the index has of a snapshot beside its manifest: database, time in µs."""


def row_of(head: SnapshotHead) -> Row:
    return head.database.encode("utf-8", "surrogateescape"), to_micros(head.time)


def mend_snapshot_rows(repo: Repository, whole: Mapping[SnapshotId, Row]) -> Iterator[SnapshotId]:
    """Make the index's rows of snapshots as their manifests in the store have them; yield those
    that were not. *whole* are the rows of those whose manifests in the store are sound."""
    for snapshot, database, time_us, manifest in repo.index.snapshot_rows():
        right = whole.get(snapshot)
        if right == (database, time_us) and snapshot_id(manifest) == snapshot:
            continue
        try:
            stored = repo.store.get(layout.snapshot_name(snapshot))
            if snapshot_id(stored) != snapshot:
                continue
            head = decode_head(stored, snapshot)
        except (CorruptionError, StoreError):
            # Told already: its manifest is damaged.
            continue
        if (database, time_us, manifest) != (*row_of(head), stored):
            repo.index.add_snapshot(snapshot, head.database, to_micros(head.time), stored)
            yield snapshot
