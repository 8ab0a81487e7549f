"""Forget and unforget: hide snapshots, list the hidden ones, bring them back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime

from pgsnap.errors import RepositoryError
from pgsnap.maintenance.verify.damage import delete_tag
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.values import dataclass
from pgsnap.workflows.notes.verdicts import newest_verified, proofs


class ForgetRefused(RepositoryError):
    """A rule protects a snapshot that was to be forgotten; none was forgotten."""

    kind = "forget-refused"


@dataclass(frozen=True, slots=True)
class ForgottenSnapshot:
    """A snapshot forgotten at *since*. *tags* are its tags: if it was forgotten just now, those
    that were deleted."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    since: datetime


def forget(
    repo: Repository,
    snapshots: Sequence[SnapshotId],
    *,
    force: bool = False,
    by: str = "snap forget",
    reason: str = "",
    there: str = "",
) -> list[ForgottenSnapshot]:
    """Hide *snapshots* until a gc drops them: all of them, or none if a rule protects one.

    Snapshots that have tags, a label's last ones and its newest verified one are protected unless
    *force*, which deletes the tags. *there* is the option that names the repository in commands, if
    it is a remote. Raises ForgetRefused, CorruptionError, StoreError.
    """
    chosen = list(dict.fromkeys(snapshots))
    if not force:
        _check(repo, chosen, there)
    tags = repo.tags.by_snapshot()
    done = []
    for snapshot_id in chosen:
        snapshot = repo.snapshot(snapshot_id)
        # First: credentials that may delete a tag may lack the right to this.
        repo.forget(snapshot_id, by=by, reason=reason)
        names = tuple(
            name
            for name in tags.get(snapshot_id, ())
            if _delete_tag(repo, snapshot_id, snapshot.database, name)
        )
        since = repo.forgotten_since(snapshot_id)
        assert since is not None
        done.append(ForgottenSnapshot(snapshot_id, snapshot, names, since))
    return done


def unforget(repo: Repository, snapshot_id: SnapshotId) -> Snapshot:
    """Bring a forgotten snapshot back, and return it. Raises UnknownRevision, StoreError."""
    repo.unforget(snapshot_id, by="snap unforget")
    return repo.snapshot(snapshot_id)


def list_forgotten(repo: Repository, *, database: str | None = None) -> list[ForgottenSnapshot]:
    """Return the snapshots that can be brought back, newest first: of one label, or of all."""
    tags = repo.tags.by_snapshot(database)
    found = [
        ForgottenSnapshot(one, repo.snapshot(one), tuple(tags.get(one, ())), since)
        for one, since in repo.forgotten().items()
    ]
    return [one for one in found if database is None or one.snapshot.database == database]


def _delete_tag(repo: Repository, snapshot_id: SnapshotId, database: str, name: str) -> bool:
    """Delete a tag, unless another process has moved it to another snapshot."""
    tag = repo.tags.get(database, name)
    if tag is None or tag.snapshot != snapshot_id:
        return False
    repo.tags.delete(database, name)
    return True


def _check(repo: Repository, chosen: Sequence[SnapshotId], there: str) -> None:
    option = f" {there}" if there else ""
    tagged = list(_tagged(repo, chosen))
    if tagged:
        raise ForgetRefused(
            f"snapshot {_short(tagged[0][0])} has a tag, which protects it",
            detail=f"Tags: {', '.join(name for _, _, name in tagged)}.",
            hint="Give --force, which deletes the tags there too."
            if there
            else "Delete the tags first, or give --force: "
            + "; ".join(delete_tag(database, name) for _, database, name in tagged),
        )
    proven = proofs(repo)
    chains = Chains(repo)
    hit = {chains.of_snapshot(repo.snapshot(one)) for one in chosen}
    for chain in sorted(hit, key=lambda chain: chain.name):
        visible, database = chains.newest_first(chain), chain.name
        again = f"Forget it all the same: snap forget{option} --force {_words(chosen)}"
        if not set(visible) - set(chosen):
            raise ForgetRefused(
                f'database "{database}" would have no snapshot left',
                detail="The last one of a database is protected.",
                hint=again,
            )
        verified = newest_verified(visible, proven)
        if verified in chosen:
            raise ForgetRefused(
                f'snapshot {_short(verified)} is the newest verified one of database "{database}"',
                detail="No newer one passed a drill or a verify --data.",
                hint=f"Verify a newer one first: snap verify{option} --data latest. {again}",
            )


def _tagged(
    repo: Repository, chosen: Sequence[SnapshotId]
) -> Iterator[tuple[SnapshotId, str, str]]:
    tags = repo.tags.by_snapshot()
    for snapshot in chosen:
        for name in tags.get(snapshot, ()):
            yield snapshot, repo.snapshot(snapshot).database, name


def _short(snapshot: SnapshotId | None) -> str:
    return (snapshot or b"").hex()[:12]


def _words(chosen: Sequence[SnapshotId]) -> str:
    return " ".join(shlex.quote(_short(snapshot)) for snapshot in chosen)
