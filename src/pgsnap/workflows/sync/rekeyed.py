"""Snapshots travel between repositories with different keys, or of which one is encrypted.

Nothing can be copied as it is: ids, cuts and frames depend on the keys. So the text of a snapshot
is stored again, as a commit stores a dump; sections that did not change since the snapshot before
are taken over as they are there. The new manifest has the id of the first one as its *alias*, by
which both are known to be the same snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pgsnap.errors import CorruptionError
from pgsnap.format.manifest import encode_manifest, snapshot_id
from pgsnap.format.sections import SectionTable, decode_piece, encode_name, encode_section
from pgsnap.maintenance.publishing import guarded
from pgsnap.model import RecipeRoot, Section, Snapshot, SnapshotId
from pgsnap.progress import Progress
from pgsnap.repository.chunks.stream import stored_events
from pgsnap.repository.repository import Repository


@dataclass(slots=True)
class Aliases:
    """The snapshots of a repository by the id that they had first."""

    ids: dict[SnapshotId, SnapshotId] = field(default_factory=dict)
    forgotten: set[SnapshotId] = field(default_factory=set)

    @classmethod
    def of(cls, repo: Repository) -> Aliases:
        found = cls()
        for snapshot, read in repo.snapshots(repo.newest(None, also_forgotten=True)):
            first = read().alias or snapshot
            found.ids[first] = snapshot
            if repo.forgotten_since(snapshot) is not None:
                found.forgotten.add(first)
        for note in repo.sound_notes("forgotten"):
            # Of those that were dropped for good since.
            alias = note.body.get("alias")
            if isinstance(alias, str) and note.snapshot is not None:
                first = bytes.fromhex(alias)
                if repo.forgotten_since(note.snapshot) is not None:
                    found.forgotten.add(first)
            elif note.snapshot is not None and not repo.has_snapshot(note.snapshot):
                found.forgotten.add(note.snapshot)
        return found


def first_id(snapshot_id: SnapshotId, snapshot: Snapshot) -> SnapshotId:
    """Return the id that a snapshot had where it was committed."""
    return snapshot.alias or snapshot_id


class Rekeying:
    """Stores snapshots of *source* in *target*, one after another, the oldest first."""

    def __init__(
        self, source: Repository, target: Repository, there: Aliases, progress: Progress
    ) -> None:
        self._source = source
        self._target = target
        self._there = there
        self._progress = progress
        self.sent_bytes = 0

    def send(self, snapshot_id: SnapshotId) -> SnapshotId:
        """Store one snapshot; return its id there. Raises CorruptionError if it is damaged here."""
        # NumPy is slow to import.
        from pgsnap.repository.chunks.ingest import Ingest

        snapshot = self._source.snapshot(snapshot_id)
        before = self._before(snapshot)
        known = _encoded(self._target, before)
        earlier = [before] if before is not None else []
        with Ingest(self._target.chunk_store, earlier, self._progress) as ingest:
            changed = (one for one in self._source.sections(snapshot) if not _same(known, one))
            stored = ingest.store(stored_events(self._source, changed))
            sections = self._merged(snapshot, known, iter(stored))
            table = ingest.store_table(sections)
        self.sent_bytes += ingest.stored_bytes
        if sections.root() != snapshot.root:
            raise CorruptionError(f"snapshot {snapshot_id.hex()[:12]} does not read back")
        return self._publish(snapshot_id, snapshot, table)

    def _before(self, snapshot: Snapshot) -> Snapshot | None:
        """Return the snapshot there that this one is most like."""
        parent = self._parent(snapshot)
        if parent is None:
            newest = self._target.newest(snapshot.database, 1)
            parent = newest[0] if newest else None
        return self._target.snapshot(parent) if parent is not None else None

    def _parent(self, snapshot: Snapshot) -> SnapshotId | None:
        if snapshot.parent is None:
            return None
        first = snapshot.parent
        if self._source.has_snapshot(first):
            first = first_id(first, self._source.snapshot(first))
        found = self._there.ids.get(first)
        return found if found is not None and self._target.has_snapshot(found) else None

    def _merged(
        self, snapshot: Snapshot, known: dict[bytes, bytes], stored: Iterator[Section]
    ) -> SectionTable:
        """Return all sections in the dump's order: those taken over, and those just *stored*."""
        sections = SectionTable(self._target.chunks.scheme.piece_naming)
        for section in self._source.sections(snapshot):
            if _same(known, section):
                sections.add(next(decode_piece(known[encode_name(section.name)])))
            else:
                sections.add(next(stored))
        return sections

    def _publish(
        self, snapshot_id_here: SnapshotId, snapshot: Snapshot, table: RecipeRoot
    ) -> SnapshotId:
        first = first_id(snapshot_id_here, snapshot)
        made = replace(snapshot, parent=self._parent(snapshot), sections_recipe=table, alias=None)
        naming = self._target.naming
        if snapshot_id(encode_manifest(made), naming) != first:
            made = replace(made, alias=first)
        data = encode_manifest(made)
        new = snapshot_id(data, naming)
        guarded(self._target, [table], lambda: self._target.put_back(new, data))
        self._there.ids[first] = new
        return new


def _encoded(repo: Repository, snapshot: Snapshot | None) -> dict[bytes, bytes]:
    """Return the sections of *snapshot* by name, in the encoded form: a fifth of the memory."""
    sections: Iterable[Section] = repo.sections(snapshot) if snapshot is not None else ()
    return {encode_name(one.name): encode_section(one) for one in sections}


def _same(known: dict[bytes, bytes], section: Section) -> bool:
    """Return whether *known* has a section of this name with the same contents."""
    data = known.get(encode_name(section.name))
    if data is None:
        return False
    there = next(decode_piece(data))
    return replace(there, segments=section.segments) == section
