"""Deletes notes that are of no use any more: only of kinds that hold in one repository."""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.model import Note
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.notes import STAY, sound_notes


def drop_notes(repo: Repository, kind: str, is_of_use: Callable[[Note], bool]) -> int:
    """Delete the intact notes of a kind, asked for the newest first, that are not of use; return
    how many. Raises StoreError."""
    assert kind in STAY
    found = list(sound_notes(repo.store, kind, naming=repo.naming))
    found.sort(key=lambda each: each[1].time, reverse=True)
    gone = [layout.note_name(kind, name) for name, note in found if not is_of_use(note)]
    if gone:
        repo.store.delete(*gone)
    return len(gone)
