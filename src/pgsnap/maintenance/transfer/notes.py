"""Copying notes to another repository."""

from __future__ import annotations

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.small import decode_note, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.forgetting import FORGOTTEN, UNFORGOTTEN

# What is forgotten in one repository, or was given up as lost there, is so there only.
_STAY = (FORGOTTEN, UNFORGOTTEN, "lost")


def missing_notes(source: Repository, target: Repository) -> list[str]:
    """Return the names of the notes that the *target* lacks and that travel."""
    there = {info.name for info in target.store.list(layout.NOTES)}
    return [
        info.name
        for info in source.store.list(layout.NOTES)
        if info.name not in there
        and layout.hash_of(info.name) is not None
        and info.name.split("/")[1] not in _STAY
    ]


def copy_notes(source: Repository, target: Repository, names: list[str]) -> int:
    """Copy the notes *names*, if their snapshots are there or they have none; return how many.
    Damaged ones are left out: `snap verify` reports them."""
    count = 0
    for name in names:
        try:
            data = source.store.get(name, bytes_max=RECORD_BYTES_MAX)
            if note_id(data, source.naming) != layout.hash_of(name):
                continue
            note = decode_note(data, f'note "{name}"')
        except (CorruptionError, ObjectNotFound):
            continue
        if note.snapshot is None or target.has_snapshot(note.snapshot):
            target.store.put(name, data)
            count += 1
    return count
