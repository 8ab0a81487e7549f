"""The notes `tables_put_back`: a restore replaced single tables, or their rows, in the live
database.

Such a note is recorded before its transaction commits, with the transaction's number: the server
says whether it was committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.swap.kept import TABLES_PUT_BACK, order_of
from pgsnap.targets.swap.transactions import was_committed
from pgsnap.values import dataclass
from pgsnap.workflows.notes.bodies import lists_in, safety_in, transaction_in
from pgsnap.workflows.notes.order import next_order


@dataclass(frozen=True, slots=True)
class TablesPutBack:
    """At *time*, *action* ("restore" or "undo") took *tables* from *snapshot*; *safety* has what
    was there before, None if that was not recorded.

    *new* are those of them that replaced nothing; *kept* are the names of those that were replaced.
    *rows_only*: the rows of extensions' tables, whose definitions stayed. *keys*: only rows of the
    one table, those with these primary keys. *order*, as in `order_of`, is that of a note.
    """

    time: datetime
    snapshot: SnapshotId | None
    safety: SnapshotId | None
    database: str
    action: str
    tables: tuple[TableName, ...]
    new: tuple[TableName, ...] = ()
    kept: tuple[TableName, ...] = ()
    rows_only: bool = False
    keys: tuple[tuple[str, ...], ...] = ()
    order: int = 0

    @property
    def replaced(self) -> tuple[TableName, ...]:
        """The tables that can be put back."""
        return tuple(table for table in self.tables if table not in self.new)


def note_tables_put_back(
    repo: Repository,
    label: str,
    system_identifier: str,
    done: TablesPutBack,
    *,
    oid: int,
    transaction: int,
) -> None:
    """Record that *transaction* is about to commit in the database *oid*. Raises StoreError."""
    body = {
        "database": done.database,
        "system_identifier": system_identifier,
        "oid": oid,
        "safety": done.safety.hex() if done.safety is not None else "",
        "transaction": transaction,
        "action": done.action,
        "tables": [list(table) for table in done.tables],
        "new": [list(table) for table in done.new],
        "kept": [list(table) for table in done.kept],
        "rows_only": done.rows_only,
        "keys": [list(key) for key in done.keys],
        "order": next_order(repo),
    }
    repo.add_note(Note(TABLES_PUT_BACK, label, done.time, done.snapshot, body))


def tables_put_back(
    repo: Repository, session: Session, label: str, system_identifier: str, oid: int
) -> Iterator[TablesPutBack]:
    """Yield those of the database *oid* that were committed, the last one first. Raises StoreError,
    QueryFailed."""
    found = [
        note
        for note in repo.sound_notes(TABLES_PUT_BACK)
        if note.database == label
        and note.body.get("system_identifier") == system_identifier
        and note.body.get("oid") == oid
    ]
    for note in sorted(found, key=order_of, reverse=True):
        transaction, done = transaction_in(note), _read(note)
        if transaction is None or done is None:
            continue
        if was_committed(session, transaction):
            yield done


def _read(note: Note) -> TablesPutBack | None:
    body = note.body
    tables, new, kept = (lists_in(note, key, 2) for key in ("tables", "new", "kept"))
    keys, safety = lists_in(note, "keys"), safety_in(note)
    if tables is None or new is None or kept is None or keys is None:
        return None
    if safety is None and body.get("safety", "") != "":
        return None

    def names(found: tuple[tuple[str, ...], ...]) -> tuple[TableName, ...]:
        return tuple((schema, name) for schema, name in found)

    return TablesPutBack(
        time=note.time,
        snapshot=note.snapshot,
        safety=safety,
        database=str(body.get("database", "")),
        action=str(body.get("action", "restore")),
        tables=names(tables),
        new=names(new),
        kept=names(kept),
        rows_only=body.get("rows_only") is True,
        keys=keys,
        order=order_of(note)[0],
    )
