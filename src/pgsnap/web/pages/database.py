"""A database: its snapshots on a time line, and how it grew."""

from __future__ import annotations

from itertools import pairwise

from pgsnap.errors import UnknownRevision
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.growth import Growth, chosen, growth
from pgsnap.workflows.history.log import LogEntry, entries_of

SNAPSHOTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class DatabaseData:
    """The snapshots of a label, newest first; *is_first*: from the newest on. *previous* maps each
    to the one before it, with which it can be compared. *older* is the one after which the next
    page begins, None if this is the last."""

    label: str
    count: int
    growth: Growth | None
    entries: tuple[LogEntry, ...]
    previous: dict[SnapshotId, SnapshotId]
    is_first: bool
    older: SnapshotId | None


def page(asked: Asked) -> Page:
    before = asked.snapshot_or_none("before")
    return database_page(asked.repo, asked.value("label"), before=before)


def database_page(
    repo: Repository,
    label: str,
    *,
    before: SnapshotId | None = None,
    limit: int = SNAPSHOTS_SHOWN,
) -> Page:
    """Return the page of *label*, with *limit* snapshots older than *before*. Only the index is
    read. Raises UnknownRevision."""
    found = repo.newest(label, None)
    if not found:
        raise UnknownRevision(f'no snapshot is of a database "{label}"')
    start = found.index(before) + 1 if before in found else 0
    shown = found[start : start + limit]
    # One more, with which the last one is compared.
    older = found[start : start + limit + 1]
    data = DatabaseData(
        label=label,
        count=len(found),
        growth=growth(list(repo.heads(chosen(found))), len(found)),
        entries=tuple(entries_of(repo, label, shown)),
        previous=dict(pairwise(older)),
        is_first=start == 0,
        older=shown[-1] if shown and len(older) > len(shown) else None,
    )
    return Page("database.html", label, data, "databases")
