"""Copying notes to another repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.small import decode_note, encode_note, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Note, SnapshotId
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


def rewrite_notes(
    source: Repository, target: Repository, ids: Mapping[SnapshotId, SnapshotId], *, dry_run: bool
) -> int:
    """Write the notes that the *target* lacks, about the snapshots *ids*: each by its id here, with
    its id there. Return how many."""
    there = {info.name for info in target.store.list(layout.NOTES)}
    count = 0
    for info in source.store.list(layout.NOTES):
        kind = info.name.split("/")[1]
        if kind in _STAY or layout.hash_of(info.name) is None:
            continue
        note = _sound_note(source, info.name)
        if note is None or (note.snapshot is not None and note.snapshot not in ids):
            continue
        if note.snapshot is not None:
            note = replace(note, snapshot=ids[note.snapshot])
        data = encode_note(note)
        name = layout.note_name(note.kind, note_id(data, target.naming))
        if name not in there:
            count += 1
            if not dry_run:
                target.store.put(name, data)
    return count


def _sound_note(source: Repository, name: str) -> Note | None:
    try:
        data = source.store.get(name, bytes_max=RECORD_BYTES_MAX)
        if note_id(data, source.naming) == layout.hash_of(name):
            return decode_note(data, f'note "{name}"')
    except (CorruptionError, ObjectNotFound):
        pass
    return None


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
