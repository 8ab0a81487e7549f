"""Log and show: lists snapshots, and shows the contents of one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pgsnap.model import Snapshot, SnapshotHead, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.repository.snapshots.tags import is_safety_tag, short_tags
from pgsnap.values import dataclass
from pgsnap.workflows.history.section_costs import SectionCost, section_costs
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.verdicts import Drilled, drilled


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A snapshot, its last drill (None if there was none), and the system identifier of the
    *server* that it was taken from (empty if unknown)."""

    snapshot_id: SnapshotId
    snapshot: SnapshotHead
    tags: tuple[str, ...]
    drilled: Drilled | None = None
    server: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Snapshots, newest first, and how many safety snapshots between them were left out.
    *latest_left_out*: the newest of all is one of these."""

    entries: tuple[LogEntry, ...]
    left_out: int = 0
    latest_left_out: bool = False


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A replaced database that is kept on a server, according to the notes: it may no longer exist.

    *live* is the name that it had; *since* when it was replaced, by *action* ("restore" or "undo");
    *size_bytes* its size at that time, None if not noted. If its server was asked, it may be known
    as half-dropped.
    """

    database: str
    name: str
    live: str
    since: datetime
    action: str
    size_bytes: int | None
    is_half_dropped: bool = False


@dataclass(frozen=True, slots=True)
class ShowReport:
    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    sections: tuple[SectionCost, ...]
    drilled: Drilled | None = None


def log(repo: Repository, *, database: str | None, limit: int | None = None) -> list[LogEntry]:
    """Return snapshots, newest first: of one label, or of all."""
    return entries_of(repo, database, repo.newest(database, limit))


def entries_of(
    repo: Repository,
    database: str | None,
    shown: Sequence[SnapshotId],
    tags: Mapping[SnapshotId, Sequence[str]] | None = None,
) -> list[LogEntry]:
    """Return the snapshots *shown*, of one label or of all, in their order; *tags* are those of the
    label, or of all, if they were read already."""
    with repo.many_reads():
        if tags is None:
            tags = repo.tags.by_snapshot(database)
        drills = drilled(repo)
    servers = repo.servers_of_some(shown)
    return [
        LogEntry(
            found, snapshot, tuple(tags.get(found, ())), drills.get(found), servers.get(found, "")
        )
        for found, snapshot in repo.heads(shown)
    ]


def page(
    repo: Repository, *, database: str | None, limit: int | None = None, every: bool = False
) -> Listing:
    """Return what `log` does; unless *every*, without the snapshots that only restores and undos
    made, if there are others. Tags of safety snapshots are as short as they are unambiguous."""
    with repo.many_reads():
        tags = repo.tags.by_snapshot(database)
    hidden = {one for one, own in tags.items() if all(map(is_safety_tag, own))}
    # As many as show one more than is asked for, whichever of them are hidden.
    found = repo.newest(database, None if limit is None else limit + len(hidden) + 1)
    safety = hidden.intersection(found)
    if every or len(safety) == len(found):
        safety = set()
    regular = [one for one in found if one not in safety]
    shown = regular[:limit]
    # What is older than all that is shown is not missed.
    newer = found[: found.index(shown[-1])] if len(shown) < len(regular) else found
    entries = _shortened(repo, entries_of(repo, database, shown, tags))
    return Listing(entries, len(safety.intersection(newer)), bool(found) and found[0] in safety)


def _shortened(repo: Repository, entries: Sequence[LogEntry]) -> tuple[LogEntry, ...]:
    names: dict[str, dict[str, str]] = {}
    found = []
    for entry in entries:
        label = entry.snapshot.database
        if label not in names and any(map(is_safety_tag, entry.tags)):
            names[label] = short_tags(repo.tags.names(label))
        short = names.get(label, {})
        found.append(replace(entry, tags=tuple(short.get(tag, tag) for tag in entry.tags)))
    return tuple(found)


def last_saved(repo: Repository, label: str, server: str) -> LogEntry | None:
    """Return the newest snapshot of *label* that was taken from this *server*, None if there is
    none; if the label has a single chain, its newest."""
    chains = Chains(repo)
    chain = chains.of_server(label, server)
    if chain is None and not chains.is_divided(label):
        chain = next(iter(chains.of_label(label)), None)
    found = chains.latest(chain) if chain is not None else None
    return LogEntry(found, repo.snapshot(found), ()) if found is not None else None


def kept(
    repo: Repository,
    *,
    database: str | None,
    half_dropped: Callable[[], Collection[str]] = tuple,
) -> list[KeptEntry]:
    """Return the kept databases, most recently replaced first: of one label, or of all. If there
    are any, *half_dropped* is called for the server's databases that can no longer be connected
    to."""
    found = read_kept_notes(repo, database).kept()
    dead = half_dropped() if found else ()
    return [
        KeptEntry(k.label, k.name, k.live, k.since, k.action, k.size_bytes, k.name in dead)
        for k in found
    ]


def show(repo: Repository, snapshot_id: SnapshotId) -> ShowReport:
    """Return the contents of a snapshot. Raises UnknownRevision, CorruptionError."""
    snapshot = repo.snapshot(snapshot_id)
    costs = tuple(section_costs(repo, snapshot))
    tags = repo.tags.by_snapshot(snapshot.database).get(snapshot_id, ())
    last = drilled(repo).get(snapshot_id)
    return ShowReport(snapshot_id, snapshot, tuple(tags), costs, last)
