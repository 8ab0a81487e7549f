"""Whether reading only changes can be relied on: notes of changes that went unnoticed.

A note of the kind `mismatch` says that a section that was taken for unchanged was not. From then on
everything is read, until a note `acknowledged` of the same label and server is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pgsnap.model import Note, SectionName, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass

MISMATCH = "mismatch"
ACKNOWLEDGED = "acknowledged"
_SERVER_KEY = "system_identifier"
_SECTIONS_KEY = "sections"
_SECTIONS_MAX = 20


@dataclass(frozen=True, slots=True)
class Missed:
    """Changes of *sections* went unnoticed, as a commit found at *time*."""

    time: datetime
    sections: tuple[str, ...]


def missed_changes(repo: Repository, label: str, server: str) -> Missed | None:
    """Return what went unnoticed in the database of *label* on *server* (a system identifier), and
    was not acknowledged; None if nothing. Raises StoreError."""
    newest = _newest(repo, label, server)
    if newest is None or newest.kind == ACKNOWLEDGED:
        return None
    sections = newest.body.get(_SECTIONS_KEY)
    named = tuple(map(str, sections)) if isinstance(sections, list) else ()
    return Missed(newest.time, named)


def note_missed(
    repo: Repository,
    label: str,
    server: str,
    snapshot: SnapshotId,
    sections: Sequence[SectionName],
) -> None:
    """Record that changes of *sections* went unnoticed until *snapshot*, which was read in full."""
    body = {
        _SERVER_KEY: server,
        _SECTIONS_KEY: [str(name) for name in sections[:_SECTIONS_MAX]],
    }
    repo.add_note(Note(MISMATCH, label, _after_all(repo, label, server), snapshot, body))


def acknowledge(repo: Repository, label: str, server: str, snapshot: SnapshotId) -> None:
    """Record that changes may be relied on again, from *snapshot* on, which was read in full."""
    body = {_SERVER_KEY: server}
    repo.add_note(Note(ACKNOWLEDGED, label, _after_all(repo, label, server), snapshot, body))


def _newest(repo: Repository, label: str, server: str) -> Note | None:
    notes = (
        note
        for kind in (MISMATCH, ACKNOWLEDGED)
        for note in repo.sound_notes(kind)
        if (note.database, note.body.get(_SERVER_KEY)) == (label, server)
    )
    return max(notes, key=lambda note: note.time, default=None)


def _after_all(repo: Repository, label: str, server: str) -> datetime:
    """Return the present time, but a later one than those of all notes so far, whatever the clock
    said: the newest note is the one that counts."""
    newest = _newest(repo, label, server)
    now = datetime.now(UTC)
    return now if newest is None else max(now, newest.time + timedelta(microseconds=1))
