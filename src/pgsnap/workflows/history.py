"""Log and show: what snapshots there are, and what is in one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgsnap.model import Section, Snapshot, SnapshotId
from pgsnap.repository.recipes import nodes
from pgsnap.repository.repository import Repository
from pgsnap.workflows.kept_notes import read_kept_notes
from pgsnap.workflows.verdicts import Drilled, drilled


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A snapshot, and its last drill, None where there was none."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    drilled: Drilled | None = None


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A replaced database that is kept on a server, as the notes have it: it may be gone.

    *live* is the name that it had; *since* when it was replaced, by *action* ("restore" or
    "undo"); *size_bytes* what it had then, None where that was not noted."""

    database: str
    name: str
    live: str
    since: datetime
    action: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class SectionCost:
    """A section, and what its chunks take in the packs.

    *stored_bytes* counts each of its chunks once, whoever else needs it; *new_bytes* only those
    that the parent snapshot's same section does not have.
    """

    section: Section
    stored_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class ShowReport:
    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    sections: tuple[SectionCost, ...]
    drilled: Drilled | None = None


def log(repo: Repository, *, database: str | None, limit: int | None = None) -> list[LogEntry]:
    """Return snapshots, newest first: of one label, or of all."""
    tags = repo.tags.by_snapshot(database)
    drills = drilled(repo)
    return [
        LogEntry(found, repo.snapshot(found), tuple(tags.get(found, ())), drills.get(found))
        for found in repo.newest(database, limit)
    ]


def kept(repo: Repository, *, database: str | None) -> list[KeptEntry]:
    """Return the kept databases, the last replaced first: of one label, or of all. Asks no
    server."""
    return [
        KeptEntry(k.label, k.name, k.live, k.since, k.action, k.size_bytes)
        for k in read_kept_notes(repo, database).kept()
    ]


def show(repo: Repository, snapshot_id: SnapshotId) -> ShowReport:
    """Return what is in a snapshot. Raises UnknownRevision, CorruptionError."""
    snapshot = repo.snapshot(snapshot_id)
    parents = {}
    if snapshot.parent is not None and repo.has_snapshot(snapshot.parent):
        parent = repo.snapshot(snapshot.parent)
        parents = {section.name: section for section in repo.sections(parent)}
    costs = []
    for section in repo.sections(snapshot):
        before = parents.get(section.name)
        chunks = _chunk_sizes(repo, section)
        if before is None:
            new = sum(chunks.values())
        elif before.segments == section.segments:
            new = 0
        else:
            had = _chunk_sizes(repo, before)
            new = sum(size for chunk, size in chunks.items() if chunk not in had)
        costs.append(SectionCost(section, sum(chunks.values()), new))
    tags = repo.tags.by_snapshot(snapshot.database).get(snapshot_id, ())
    last = drilled(repo).get(snapshot_id)
    return ShowReport(snapshot_id, snapshot, tuple(tags), tuple(costs), last)


def _chunk_sizes(repo: Repository, section: Section) -> dict[bytes, int]:
    """Return the frame bytes of every chunk of *section*; 0 for one that is missing."""
    chunks = {
        chunk for segment in section.segments for chunk in nodes(segment.recipe, repo.chunks.read)
    }
    sizes = dict.fromkeys(chunks, 0)
    sizes.update(repo.index.frame_sizes(list(chunks)))
    return sizes
