"""Tags: list, set, move, delete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pgsnap.model import SnapshotId, Tag
from pgsnap.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class TagReport:
    """A tag that was set or deleted, and what it was before."""

    tag: Tag
    before: Tag | None


def list_tags(repo: Repository, *, database: str | None = None) -> list[Tag]:
    """Return the tags of one label, or of all, ordered by label and name."""
    return repo.tags.all(database)


def set_tag(
    repo: Repository, name: str, snapshot_id: SnapshotId, *, force: bool = False
) -> TagReport:
    """Let *name* mean a snapshot, within that snapshot's label. Raises TagExists, UsageError."""
    database = repo.snapshot(snapshot_id).database
    tag = Tag(database, name, snapshot_id, datetime.now(UTC))
    return TagReport(tag, repo.tags.set(tag, force=force))


def delete_tag(repo: Repository, name: str, *, database: str) -> TagReport:
    """Delete a tag; its snapshot stays. Raises UnknownRevision."""
    before = repo.tags.delete(database, name)
    return TagReport(before, before)
