"""Accepted losses: snapshots of which a part is known to be gone for good, recorded in notes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository

LOST = "lost"


def accepted_losses(repo: Repository) -> dict[SnapshotId, datetime]:
    """Return the snapshots with an accepted loss, and when it was accepted. Raises StoreError."""
    notes = sorted(repo.sound_notes(LOST), key=lambda note: note.time)
    return {note.snapshot: note.time for note in notes if note.snapshot is not None}


def accept_loss(
    repo: Repository, snapshot: SnapshotId, database: str, sections: Iterable[str], *, by: str
) -> None:
    """Record that the loss of *sections* of *snapshot* is accepted. It is durable on return."""
    body = {"by": by, "sections": sorted(sections)}
    repo.add_note(Note(LOST, database, datetime.now(UTC), snapshot, body))
