"""Copying notes to another repository."""

from __future__ import annotations

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.small import decode_note, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.transfer.counterparts import Counterparts
from pgsnap.repository import layout
from pgsnap.repository.index.copied_ids import Role
from pgsnap.repository.snapshots.notes import STAY


def missing_notes(both: Counterparts) -> list[str]:
    """Return the names of the notes that the target lacks and that travel; with other keys there,
    also those of which that is not known."""
    there = {info.name for info in both.target.store.list(layout.NOTES)}
    names: dict[str, tuple[str, bytes]] = {}
    for info in both.source.store.list(layout.NOTES):
        name = layout.hash_of(info.name)
        kind = info.name.split("/")[1]
        if name is not None and kind not in STAY:
            names[info.name] = kind, name
    known = both.ids([name for _, name in names.values()], Role.NOTE)
    return [
        full
        for full, (kind, name) in names.items()
        if name not in known or layout.note_name(kind, known[name]) not in there
    ]


def copy_notes(both: Counterparts, names: list[str]) -> int:
    """Copy the notes *names*, if their snapshots are there or they have none; return how many.
    Damaged ones are left out: `snap verify` reports them."""
    count = 0
    source, target = both.source, both.target
    there = {info.name for info in target.store.list(layout.NOTES)} if names else set()
    for name in names:
        try:
            data = source.store.get(name, bytes_max=RECORD_BYTES_MAX)
            old = note_id(data, source.naming)
            if old != layout.hash_of(name):
                continue
            note = decode_note(data, f'note "{name}"')
        except (CorruptionError, ObjectNotFound):
            continue
        # It names the original of its snapshot, whatever that is called here.
        if note.snapshot is None or target.index.named(note.snapshot) is not None:
            new = note_id(data, target.naming)
            if layout.note_name(note.kind, new) not in there:
                target.store.put(layout.note_name(note.kind, new), data)
                count += 1
            both.learn({old: new}, Role.NOTE)
    return count
