"""What is known of restored databases: the state in which each of them equals a snapshot.

Such a note lets the next commit read only what changed since the restore, and proves that a warm
copy is as it was. Without one, or if it does not match, everything is read or loaded.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import enum
from datetime import UTC, datetime

from pgsnap.errors import SnapError, StoreError
from pgsnap.format.baseline import decode_baseline, encode_baseline
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Note, SnapshotId
from pgsnap.model.baseline import Baseline
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.dropping_notes import drop_notes
from pgsnap.sessions.base import Session
from pgsnap.values import dataclass

BASELINE = "baseline"
RESTORED = "restored"
"""The key of the definitions of a database that a restore made; a commit's is another."""
# Three bytes become four, and the note has other fields.
_RECORD_BYTES_MAX = RECORD_BYTES_MAX // 2


class Use(enum.StrEnum):
    """What the database is for. Stored: never change one."""

    LIVE = "live"
    WARM = "warm"


@dataclass(frozen=True, slots=True)
class NotedBaseline:
    """A database was equal to *snapshot* at *time*, in the state *baseline*."""

    snapshot: SnapshotId
    time: datetime
    baseline: Baseline


def note_baseline(
    repo: Repository, label: str, snapshot: SnapshotId, use: Use, baseline: Baseline
) -> bool:
    """Record it, unless nothing can be compared with it later. Raises StoreError."""
    record = encode_baseline(baseline)
    if baseline.base is None or len(record) > _RECORD_BYTES_MAX:
        return False
    body: dict[str, str | int] = {
        "use": use.value,
        "system_identifier": baseline.system_identifier,
        "database_oid": baseline.database_oid,
        "record": base64.b64encode(record).decode("ascii"),
    }
    repo.add_note(Note(BASELINE, label, datetime.now(UTC), snapshot, body))
    return True


def newest_baseline(
    repo: Repository, label: str, use: Use, system_identifier: str, oid: int | None = None
) -> NotedBaseline | None:
    """Return the newest one of a database of this server; *oid* selects one of them. What is
    damaged is passed over. Raises StoreError."""
    notes = (
        note
        for note in repo.sound_notes(BASELINE)
        if note.database == label
        and note.snapshot is not None
        and note.body.get("use") == use.value
        and note.body.get("system_identifier") == system_identifier
        and (oid is None or note.body.get("database_oid") == oid)
    )
    newest = max(notes, key=lambda note: note.time, default=None)
    if newest is None or newest.snapshot is None:
        return None
    try:
        record = base64.b64decode(str(newest.body.get("record", "")), validate=True)
        return NotedBaseline(newest.snapshot, newest.time, decode_baseline(record))
    except (binascii.Error, SnapError):
        return None


def is_noted(
    repo: Repository, label: str, system_identifier: str, oid: int, snapshot: SnapshotId
) -> bool:
    """Return whether a warm copy was equal to *snapshot* by the notes. Raises StoreError."""
    noted = newest_baseline(repo, label, Use.WARM, system_identifier, oid)
    return noted is not None and noted.snapshot == snapshot


def why_unprovable(baseline: Baseline) -> str:
    """Return why it can never be proven that nothing has changed since *baseline*, "" if it
    can."""
    if baseline.base is None:
        return "the server does not show what changes in it (snap doctor says what would allow it)"
    if baseline.fingerprint is None:
        return "the role may not read all definitions"
    for table in baseline.tables:
        if table.always_read:
            return f"{table.schema}.{table.name}: {table.always_read}"
    return ""


def drop_useless(repo: Repository, session: Session, system_identifier: str) -> None:
    """Delete the notes of databases that *session*'s server no longer has, and those for which
    there is a newer one of the same database. What cannot be deleted now is another time. Raises
    QueryFailed, ConnectionFailed."""
    there = {int(oid or 0) for (oid,) in session.query("SELECT oid FROM pg_catalog.pg_database")}
    newer: set[tuple[str, object]] = set()

    def is_of_use(note: Note) -> bool:
        if note.body.get("system_identifier") != system_identifier:
            return True
        oid = note.body.get("database_oid")
        key = note.database, oid
        if not isinstance(oid, int) or oid not in there or key in newer:
            return False
        newer.add(key)
        return True

    # Not every credential of a remote store may delete.
    with contextlib.suppress(StoreError):
        drop_notes(repo, BASELINE, is_of_use)
