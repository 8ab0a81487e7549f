"""Which snapshot a live database equals or stems from: the last one that was committed of it,
restored or put back.

Nothing is recorded for it: snapshots, restores and undos name the database by its number (OID), and
an undo gives a former one its name back.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain

from pgsnap.errors import Interrupted, SnapError
from pgsnap.model import Note, Snapshot, SnapshotId, SourceKind
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.preflight import find_database
from pgsnap.targets.swap.kept import NEVER_MADE, PUT_BACK, SWAPPED, order_of
from pgsnap.values import dataclass
from pgsnap.workflows.notes.changes_put_back import last_put_back
from pgsnap.workflows.notes.kept_databases import read_kept_notes

# How many snapshots are looked at for one of the live database.
_LOOKED_AT_MAX = 200


@dataclass(frozen=True, slots=True)
class Base:
    """At *time* the database was as *snapshot*, by *how*: "commit", "restore" or "changed-only".
    *since* an undo it has its name again; None if no undo did that."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    tags: tuple[str, ...]
    time: datetime
    how: str
    since: datetime | None = None


def put_back_last(
    repo: Repository, server: Server, label: str, database: str | None = None
) -> SnapshotId | None:
    """Return the snapshot that a restore or an undo put back into *database* (default: the
    server's) since its last commit, None if none did, or that cannot be found out. It only informs:
    raises nothing but Interrupted."""
    try:
        restores = chain(repo.sound_notes(SWAPPED), repo.sound_notes(PUT_BACK))
        if not any(note.database == label for note in restores):
            return None
        name = database or server.endpoint.database
        with server.without_event_triggers().connect(name) as session:
            live = find_database(session, name)
            if live is None:
                return None
            identifier = read_server(session).system_identifier
            base = base_of(repo, session, label, name, live.oid, identifier)
    except Interrupted:
        raise
    except SnapError:
        return None
    if base is None or (base.how == "commit" and base.since is None):
        return None
    return base.snapshot_id


def base_of(
    repo: Repository, session: Session, label: str, name: str, oid: int, identifier: str
) -> Base | None:
    """Return the base of the database *name* with the number *oid*, None if nothing is known of
    it. Raises StoreError, QueryFailed, CorruptionError."""
    found: list[tuple[datetime, SnapshotId, str]] = []
    committed = _last_snapshot(repo, label, identifier, oid)
    if committed is not None:
        found.append((repo.snapshot(committed).time, committed, "commit"))
    put_back = last_put_back(repo, session, label, identifier, oid)
    if put_back is not None and put_back.snapshot is not None:
        found.append((put_back.time, put_back.snapshot, "changed-only"))
    made, undone = _swaps(repo, label, name, identifier, oid)
    if made is not None and made.snapshot is not None:
        found.append((made.time, made.snapshot, "restore"))
    here = [one for one in found if repo.has_snapshot(one[1])]
    if not here:
        return None
    time, snapshot_id, how = max(here)
    snapshot = repo.snapshot(snapshot_id)
    tags = tuple(repo.tags.by_snapshot(label).get(snapshot_id, ()))
    since = undone if undone is not None and undone > time else None
    return Base(snapshot_id, snapshot, tags, time, how, since)


def _last_snapshot(repo: Repository, label: str, identifier: str, oid: int) -> SnapshotId | None:
    """Return the newest snapshot of this very database. Those of older versions do not have its
    number."""
    for snapshot_id in repo.newest(label, _LOOKED_AT_MAX):
        origin = repo.snapshot(snapshot_id).origin
        server = origin.server
        if origin.kind is not SourceKind.POSTGRES or server is None:
            continue
        if server.system_identifier == identifier and server.database_oid in (0, oid):
            return snapshot_id
    return None


def _swaps(
    repo: Repository, label: str, name: str, identifier: str, oid: int
) -> tuple[Note | None, datetime | None]:
    """Return the restore that made the database *oid*, None if none did, and when an undo gave it
    its name back, None if none did that last."""
    notes = read_kept_notes(repo, label)
    never = {
        str(note.body.get("kept")) for note in notes.discarded if note.body.get("why") == NEVER_MADE
    }
    swaps = sorted(
        (
            note
            for note in notes.swapped
            if note.body.get("live") == name
            and note.body.get("system_identifier") == identifier
            and str(note.body.get("kept")) not in never
        ),
        key=order_of,
    )
    made: Note | None = None
    undone: datetime | None = None
    for place, note in enumerate(swaps):
        # What the next one replaced is what this one put there.
        last = place == len(swaps) - 1
        after = oid if last else swaps[place + 1].body.get("oid")
        if after != oid or note.body.get("oid") == oid:
            continue
        if note.body.get("action") == "restore":
            made = note
        elif last:
            undone = note.time
    return made, undone
