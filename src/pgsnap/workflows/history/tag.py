"""Tags: list, set, move, delete."""

from __future__ import annotations

from datetime import UTC, datetime

from pgsnap.model import SnapshotId, Tag
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class TagReport:
    """A tag that was set, and its previous value: None if there was none, or a damaged one."""

    tag: Tag
    before: Tag | None


@dataclass(frozen=True, slots=True)
class TagDeleted:
    """A tag that was deleted; *tag* is None if it was damaged."""

    name: str
    database: str
    tag: Tag | None


def list_tags(repo: Repository, *, database: str | None = None) -> list[Tag]:
    """Return the tags of one label, or of all, ordered by label and name."""
    return repo.tags.all(database)


def set_tag(
    repo: Repository, name: str, snapshot_id: SnapshotId, *, force: bool = False
) -> TagReport:
    """Set the tag *name* to a snapshot, within that snapshot's label. Raises TagExists,
    UsageError."""
    database = repo.snapshot(snapshot_id).database
    tag = Tag(database, name, snapshot_id, datetime.now(UTC))
    return TagReport(tag, repo.tags.set(tag, force=force))


def delete_tag(repo: Repository, name: str, *, database: str) -> TagDeleted:
    """Delete a tag; its snapshot stays. Raises UnknownRevision."""
    return TagDeleted(name, database, repo.tags.delete(database, name))
