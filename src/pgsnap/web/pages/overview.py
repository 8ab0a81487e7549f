"""The first page: all databases of the repository at once."""

from __future__ import annotations

from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.workflows.history.log import KeptEntry, kept
from pgsnap.workflows.notes.verdicts import Drilled, drilled


@dataclass(frozen=True, slots=True)
class DatabaseLine:
    """One label: its newest snapshot, how many there are, and the newest drill of any."""

    label: str
    snapshots: int
    newest: SnapshotId
    head: SnapshotHead
    drill: Drilled | None


@dataclass(frozen=True, slots=True)
class Overview:
    databases: tuple[DatabaseLine, ...]
    kept: tuple[KeptEntry, ...]


def page(asked: Asked) -> Page:
    repo = asked.repo
    drills = drilled(repo)
    lines = []
    for label in repo.databases():
        found = repo.newest(label)
        ((newest, head),) = repo.heads(found[:1])
        own = [drills[one] for one in found if one in drills]
        last = max(own, key=lambda one: one.time, default=None)
        lines.append(DatabaseLine(label, len(found), newest, head, last))
    lines.sort(key=lambda line: line.head.time, reverse=True)
    data = Overview(tuple(lines), tuple(kept(repo, database=None)))
    return Page("overview.html", "Databases", data, "databases")
