"""Copying notes to another repository, and what is noted there of a copy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.manifest import decode_indexed
from pgsnap.format.small import decode_note, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.transfer.counterparts import Counterparts
from pgsnap.model import Note, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.copied_ids import Role
from pgsnap.repository.snapshots.notes import SHALLOW, STAY

# Of 130 bytes each, in a note that may have 16 MiB.
_PARENTS_IN_NOTE = 10_000


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


def copy_notes(
    both: Counterparts,
    names: list[str],
    *,
    coming: Collection[SnapshotId] = (),
    dry_run: bool = False,
) -> int:
    """Copy the notes *names*, if their snapshots are there or they have none; return how many. In a
    *dry_run* nothing is written, and the originals *coming* count as there. Damaged ones are left
    out: `snap verify` reports them."""
    count = 0
    source, target = both.source, both.target
    there = {info.name for info in target.store.list(layout.NOTES)} if names else set()
    for name in names:
        try:
            data = source.store.get(name, bytes_max=RECORD_BYTES_MAX)
            old = note_id(data, source.naming)
            note = decode_note(data, f'note "{name}"')
            # Of another kind than its folder's, it would take effect only there: somebody who may
            # not write where notes that forget lie may have put it where others travel from.
            if layout.note_name(note.kind, old) != name:
                continue
        except (CorruptionError, ObjectNotFound):
            continue
        # It names the original of its snapshot, whatever that is called here.
        about = note.snapshot
        if about is None or about in coming or target.index.named(about) is not None:
            new = note_id(data, target.naming)
            if layout.note_name(note.kind, new) not in there:
                if not dry_run:
                    target.store.put(layout.note_name(note.kind, new), data)
                count += 1
            both.learn({old: new}, Role.NOTE)
    return count


def absent_parents(
    both: Counterparts, snapshots: Sequence[SnapshotId]
) -> dict[str, dict[str, str]]:
    """Return, by label, which of *snapshots* will come without their parents: a gc dropped these,
    or only some were named. Of copies with other keys nobody looks for the parents."""
    found: dict[str, dict[str, str]] = {}
    if both.renaming is not None:
        return found
    known = {*snapshots}
    for snapshot in snapshots:
        head, _, alias = decode_indexed(both.source.manifest(snapshot), snapshot)
        parent = head.parent
        if parent is None or alias is not None or parent in known:
            continue
        if not both.target.has_snapshot(parent) and both.target.forgotten_since(parent) is None:
            found.setdefault(head.database, {})[snapshot.hex()] = parent.hex()
    return found


def note_absent(both: Counterparts, absent: dict[str, dict[str, str]]) -> None:
    """Record in the target which parents it never had: they are not missing there. Durable on
    return, so that no snapshot is seen before."""
    now = datetime.now(UTC)
    for label, parents in absent.items():
        pairs = sorted(parents.items())
        for start in range(0, len(pairs), _PARENTS_IN_NOTE):
            some = dict(pairs[start : start + _PARENTS_IN_NOTE])
            both.target.add_note(Note(SHALLOW, label, now, None, {"parents": some}))
