"""REMOTE/NAME as a revision: a snapshot of a remote, by what the last fetch found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UnknownRevision

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository


class NotHere(UnknownRevision):
    """The snapshot is only in a remote, where *there* names it."""

    def __init__(self, message: str, *, remote: str, there: str, detail: str, hint: str) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.remote = remote
        self.there = there


def resolve_remote(
    invocation: Invocation, repo: Repository, revision: str, database: str | None
) -> SnapshotId | None:
    """Return the snapshot of *repo* that is meant by REMOTE/NAME, by the record of the last fetch;
    None if no remote is named. Raises NotHere if *repo* lacks it, RevisionError."""
    from pgsnap.repository.snapshots import revisions
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import last_fetch
    from pgsnap.workflows.sync.remote_names import find

    remote, slash, name = revision.partition("/")
    path = invocation.settings.config_path
    if not (slash and name and path) or remote not in (invocation.settings.remotes or {}):
        return None
    base, steps = revisions.without_steps(name)
    if repo.tags.get(remote, base) is not None:
        # A tag of a database that is called like the remote: it has no such parent.
        return None
    known = last_fetch(State(path, invocation.trust), remote)
    if known is None:
        raise UnknownRevision(
            f'no snapshot is named "{revision}"',
            detail=f"It is not known what the remote {remote} has.",
            hint=f"Look it up first: snap fetch {remote}",
        )
    found = find(known, base, database, invocation.now)
    here = repo.index.named(found.original)
    if here is None or not repo.has_snapshot(here):
        there = found.snapshot_id.hex()
        raise NotHere(
            f'snapshot "{revision}" is not in this repository',
            remote=remote,
            there=there + steps,
            detail=f"It is {there[:12]} of {found.time.astimezone():%Y-%m-%d %H:%M}, and only"
            f" {remote} has it.",
            hint=f"Fetch it: snap pull {remote} {there[:12]}",
        )
    return revisions.resolve(repo, here.hex() + steps, database=database)
