"""The messages of very many snapshots, to search in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pgsnap.format.manifest import quick_message
from pgsnap.model import SnapshotId
from pgsnap.repository.snapshots.manifests import known_manifests

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository


def messages(repo: Repository, snapshots: Sequence[SnapshotId]) -> Iterator[tuple[SnapshotId, str]]:
    """Yield *snapshots* in order, each with its message as the index has it. Nothing is hashed, for
    that is most of the work: read what is shown by `Repository.heads`. Raises UnknownRevision,
    CorruptionError."""
    for one, data in known_manifests(repo.index, snapshots):
        found = quick_message(data) if data is not None else None
        if found is None:
            [(_, head)] = repo.heads([one])
            found = head.message
        yield one, found
