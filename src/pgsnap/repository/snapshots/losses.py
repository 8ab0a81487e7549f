"""Losses that somebody accepted: snapshots of which a part is gone for good, as notes say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.notes import sound_notes

LOST = "lost"


def accepted_losses(repo: Repository) -> dict[SnapshotId, datetime]:
    """Return the snapshots whose loss was accepted, and when. Raises StoreError."""
    notes = sorted((note for _, note in sound_notes(repo.store, LOST)), key=lambda note: note.time)
    return {note.snapshot: note.time for note in notes if note.snapshot is not None}


def accept_loss(
    repo: Repository, snapshot: SnapshotId, database: str, sections: Iterable[str], *, by: str
) -> None:
    """Note that what *snapshot* lost is given up. It is durable on return."""
    body = {"by": by, "sections": sorted(sections)}
    repo.add_note(Note(LOST, database, datetime.now(UTC), snapshot, body))
