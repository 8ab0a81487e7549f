"""Snapshots that a store no longer shows: it was put back to an older state, or keeps them back.

A store cannot prove that it shows its newest state. What this host saw before is in its index, and
a snapshot that was dropped on purpose has a note that says so.
"""

from __future__ import annotations

from pgsnap.maintenance.verify.object_faults import given_up
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots import forgetting
from pgsnap.repository.snapshots.losses import accepted_losses


def withheld(repo: Repository) -> set[SnapshotId]:
    """Return the snapshots that were seen here, and that are gone from the store without a note.
    No request where there are none. Raises StoreError."""
    if not _unexplained(repo):
        return set()
    # Another host may have forgotten and dropped them since the notes were read.
    forgetting.catch_up(repo.store, repo.index, repo.naming)
    gone = _unexplained(repo)
    return gone - given_up(repo) - accepted_losses(repo).keys() if gone else gone


def _unexplained(repo: Repository) -> set[SnapshotId]:
    return {one for one in repo.index.lost_snapshots() if repo.forgotten_since(one) is None}
