"""The notes `put_back`: a restore put rows back in place, and which snapshot has what was there
before.

Such a note is recorded before its transaction commits, with the transaction's number: the server
says whether it was committed.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.swap.kept import PUT_BACK, order_of
from pgsnap.targets.swap.transactions import was_committed
from pgsnap.values import dataclass
from pgsnap.workflows.notes.bodies import safety_in, transaction_in
from pgsnap.workflows.notes.order import next_order


@dataclass(frozen=True, slots=True)
class PutBack:
    """At *time*, *action* ("restore" or "undo") put back what differed from *snapshot*; *safety* is
    the state before; *order* is as in `order_of`."""

    time: datetime
    snapshot: SnapshotId | None
    safety: SnapshotId
    database: str
    action: str = "restore"
    order: int = 0


def note_put_back(
    repo: Repository,
    label: str,
    database: str,
    system_identifier: str,
    *,
    oid: int,
    snapshot: SnapshotId,
    safety: SnapshotId,
    transaction: int,
    verb: str,
) -> None:
    """Record that *transaction* is about to commit. Raises StoreError."""
    body = {
        "database": database,
        "system_identifier": system_identifier,
        "oid": oid,
        "safety": safety.hex(),
        "transaction": transaction,
        "action": verb,
        "order": next_order(repo),
    }
    repo.add_note(Note(PUT_BACK, label, datetime.now(UTC), snapshot, body))


def last_put_back(
    repo: Repository, session: Session, label: str, system_identifier: str, oid: int
) -> PutBack | None:
    """Return the last such restore of the database *oid* that was committed. Raises StoreError,
    QueryFailed."""
    found = [
        note
        for note in repo.sound_notes(PUT_BACK)
        if note.database == label
        and note.body.get("system_identifier") == system_identifier
        and note.body.get("oid") == oid
    ]
    for note in sorted(found, key=order_of, reverse=True):
        transaction, safety = transaction_in(note), safety_in(note)
        if transaction is None or safety is None or not was_committed(session, transaction):
            continue
        action = str(note.body.get("action", "restore"))
        database, order = str(note.body.get("database", "")), order_of(note)[0]
        return PutBack(note.time, note.snapshot, safety, database, action, order)
    return None
