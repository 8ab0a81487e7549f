"""Which snapshots a search goes through: those of one chain that are not safety snapshots."""

from __future__ import annotations

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.repository.snapshots.tags import is_safety_tag


def searched(repo: Repository, like: SnapshotId) -> tuple[SnapshotId, ...]:
    """Return the snapshots of the chain that *like* belongs to, the oldest first; of the safety
    snapshots only *like* itself, if it is one."""
    snapshot = repo.snapshot(like)
    label = snapshot.database
    chain = Chains(repo).of_snapshot(snapshot)
    found = repo.newest(label, None)
    if chain.servers is not None:
        servers = repo.servers_of_some(found)
        found = [one for one in found if servers.get(one, "") in chain.servers]
    with repo.many_reads():
        tags = repo.tags.by_snapshot(label)
    safety = {one for one in found if (own := tags.get(one)) and all(map(is_safety_tag, own))}
    return tuple(one for one in reversed(found) if one not in safety or one == like)
