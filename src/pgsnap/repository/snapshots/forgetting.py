"""Forgotten snapshots: hidden at once, and recoverable until a gc drops them.

The notes are authoritative: a snapshot is forgotten if the newest of its notes of the kinds
"forgotten" and "unforgotten" is "forgotten"; at the same time, "unforgotten" wins. The index's
tables `notes` and `forgotten` are derived from them, so that opening a repository lists two folders
at most and reads only new notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.format.small import encode_note, note_id
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import Naming, Note, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.index import Index
from pgsnap.repository.snapshots.notes import sound_notes
from pgsnap.stores.base import Store

FORGOTTEN = "forgotten"
UNFORGOTTEN = "unforgotten"

_Row: TypeAlias = "tuple[bytes, bytes, str, int]"
"""Snapshot, id, kind and time of a note."""

_FORGOTTEN = (
    "SELECT snapshot, gone_us FROM ("
    " SELECT snapshot, max(CASE kind WHEN 'forgotten' THEN time_us END) AS gone_us,"
    " max(CASE kind WHEN 'unforgotten' THEN time_us END) AS back_us"
    " FROM notes WHERE {} GROUP BY snapshot)"
    " WHERE gone_us > coalesce(back_us, gone_us - 1)"
)
_IS_NOW = "INSERT INTO forgotten " + _FORGOTTEN.format("snapshot = ?")
_ALL_NOW = _FORGOTTEN.format("snapshot <> x''")


def catch_up(store: Store, index: Index, naming: Naming) -> bool:
    """Bring the index up to date with the notes in the store; return whether it has read all that
    are there, which it has not while one is damaged. Raises StoreError."""
    # Read before the folders are listed: a note that another process adds meanwhile may then be
    # taken for a new one, but never for a deleted one.
    known = _known(index)
    stored = _stored(store)
    gone = {note: snapshot for note, snapshot in known.items() if note not in stored}
    new = []
    if not stored <= known.keys():
        new = [
            _row(name, note)
            for kind in (FORGOTTEN, UNFORGOTTEN)
            for name, note in sound_notes(store, kind, known.keys(), naming=naming)
        ]
    if new or gone:
        # What was added or deleted may not be durable yet: the process may have been killed.
        store.settle(
            layout.note_name(kind, note)
            for kind in (FORGOTTEN, UNFORGOTTEN)
            for note in stored ^ known.keys()
        )
        _take(index, new, gone)
    return stored <= known.keys() | {row[1] for row in new}


def mend_forgotten(store: Store, index: Index, naming: Naming) -> bool:
    """Make the index agree with the notes; return whether it did not. Raises StoreError.

    What it knows from a note that has been damaged since is kept.
    """
    # So that a note that another process adds meanwhile does not look like an index fault.
    catch_up(store, index, naming)
    truth = {
        name: _row(name, note)
        for kind in (FORGOTTEN, UNFORGOTTEN)
        for name, note in sound_notes(store, kind, naming=naming)
    }
    rows = index.query("SELECT snapshot, id, kind, time_us FROM notes")
    wrong = [(row[1],) for row in rows if truth.get(row[1], row) != row]
    derived = (_ALL_NOW, "SELECT snapshot, time_us FROM forgotten")
    differing = " UNION ALL ".join(
        f"SELECT * FROM ({one} EXCEPT {other})" for one, other in (derived, derived[::-1])
    )
    if not wrong and not index.query(differing):
        return False
    with index.transaction() as connection:
        connection.executemany("DELETE FROM notes WHERE id = ?", wrong)
        rows_of_wrong = [truth[name] for (name,) in wrong]
        connection.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?, ?, ?)", rows_of_wrong)
        connection.execute("DELETE FROM forgotten")
        connection.execute(f"INSERT INTO forgotten {_ALL_NOW}")
    return True


def forget(
    store: Store,
    index: Index,
    snapshot: SnapshotId,
    database: str,
    *,
    by: str,
    reason: str,
    naming: Naming,
    alias: SnapshotId | None = None,
    now: datetime | None = None,
) -> None:
    """Write the note that forgets *snapshot* from *now* on, whatever the clock said before; a no-op
    if it is already forgotten. Its *alias* is noted, as the manifest will be gone one day."""
    if forgotten_since(index, snapshot) is None:
        earliest = _newest(index, snapshot, UNFORGOTTEN) + timedelta(microseconds=1)
        time, body = max(now or datetime.now(UTC), earliest), {"by": by, "reason": reason}
        body |= {"alias": alias.hex()} if alias is not None else {}
        _record(store, index, Note(FORGOTTEN, database, time, snapshot, body), naming)


def unforget(
    store: Store, index: Index, snapshot: SnapshotId, database: str, *, by: str, naming: Naming
) -> None:
    """Write the note that brings *snapshot* back, whatever the clock says."""
    time = max(datetime.now(UTC), _newest(index, snapshot, FORGOTTEN))
    _record(store, index, Note(UNFORGOTTEN, database, time, snapshot, {"by": by}), naming)


def _record(store: Store, index: Index, note: Note, naming: Naming) -> None:
    """Write a note and apply it to the index. It is durable on return."""
    data = encode_note(note)
    name = note_id(data, naming)
    store.put(layout.note_name(note.kind, name), data)
    _take(index, [_row(name, note)], {})


def forgotten_since(index: Index, snapshot: SnapshotId) -> datetime | None:
    """Return since when *snapshot* has been forgotten, None if it is not; also for one whose
    manifest was dropped, since its notes are kept."""
    rows = index.query("SELECT time_us FROM forgotten WHERE snapshot = ?", (snapshot,))
    return from_micros(rows[0][0], "the index") if rows else None


def all_forgotten(index: Index) -> dict[SnapshotId, datetime]:
    """Return the forgotten snapshots that still exist and since when, newest first."""
    rows = index.query(
        "SELECT id, forgotten.time_us FROM forgotten JOIN snapshots ON id = snapshot"
        " ORDER BY snapshots.time_us DESC, id"
    )
    return {snapshot: from_micros(micros, "the index") for snapshot, micros in rows}


def _newest(index: Index, snapshot: SnapshotId, kind: str) -> datetime:
    ((micros,),) = index.query(
        "SELECT max(time_us) FROM notes WHERE snapshot = ? AND kind = ?", (snapshot, kind)
    )
    return from_micros(micros or 0, "the index")


def _row(name: bytes, note: Note) -> _Row:
    # A note without a snapshot is recorded too, so that it is not read again.
    return (note.snapshot or b"", name, note.kind, to_micros(note.time))


def _take(index: Index, new: Sequence[_Row], gone: dict[bytes, SnapshotId]) -> None:
    """Add and drop rows of notes, and recompute which of their snapshots are forgotten."""
    hit = [(snapshot,) for snapshot in {row[0] for row in new} | set(gone.values()) if snapshot]
    with index.transaction() as connection:
        connection.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?, ?, ?)", new)
        connection.executemany(
            "DELETE FROM notes WHERE snapshot = ? AND id = ?",
            [(snapshot, name) for name, snapshot in gone.items()],
        )
        connection.executemany("DELETE FROM forgotten WHERE snapshot = ?", hit)
        connection.executemany(_IS_NOW, hit)


def take_over(old: Index, new: Index, store: Store) -> None:
    """Copy to a *new* index what the *old* one had read from notes that are damaged now. Raises
    CorruptionError, StoreError."""
    known, stored = _known(new), _stored(store)
    rows = old.query("SELECT snapshot, id, kind, time_us FROM notes")
    lost = [(row[0], row[1], row[2], row[3]) for row in rows if row[1] in stored - known.keys()]
    if lost:
        _take(new, lost, {})


def _known(index: Index) -> dict[bytes, SnapshotId]:
    return dict(index.query("SELECT id, snapshot FROM notes"))


def _stored(store: Store) -> set[bytes]:
    return {
        name
        for kind in (FORGOTTEN, UNFORGOTTEN)
        for info in store.list(f"{layout.NOTES}{kind}/")
        if (name := layout.hash_of(info.name)) is not None
    }


def check_notes(store: Store, index: Index, naming: Naming) -> None:
    """Raise CorruptionError if a note of either kind cannot be read. Its content is unknown: it may
    have brought a snapshot back, so nothing may be dropped for good then."""
    known = _known(index).keys()
    damaged: list[str] = []
    for kind in (FORGOTTEN, UNFORGOTTEN):
        for _ in sound_notes(store, kind, known, naming=naming, damaged=damaged):
            pass
    if damaged:
        raise CorruptionError(
            f'note "{damaged[0]}" is damaged',
            detail="It recorded that a snapshot was forgotten, or brought back.",
            hint="Mend it, or put it aside: snap repair",
        )
