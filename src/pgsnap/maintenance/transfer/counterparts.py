"""Two repositories, and what is called how in both of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from pgsnap.format.copies import copied_manifest
from pgsnap.maintenance.transfer.renaming import Renaming
from pgsnap.model import RecipeRoot, SnapshotId
from pgsnap.repository.index.copied_ids import CopiedIds, Role
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.forgetting import FORGOTTEN

_UNKNOWN = (
    "SELECT 1 FROM forgotten WHERE snapshot NOT IN (SELECT id FROM snapshots) AND snapshot NOT IN"
    f" (SELECT new FROM copied_ids WHERE role = {int(Role.SNAPSHOT)}) LIMIT 1"
)


class Counterparts:
    """What goes from *source* to *target*. With the same keys it has the same ids there; else a
    snapshot there is a copy, whose alias is the id of the original."""

    def __init__(self, source: Repository, target: Repository) -> None:
        self.source = source
        self.target = target
        self.renaming: Renaming | None = None
        if source.naming != target.naming:
            ids = CopiedIds(target.index, source.naming, target.naming)
            self.renaming = Renaming(source.chunk_store, target.chunk_store, ids)

    def learn_dropped(self) -> None:
        """Learn which snapshots were forgotten in the target and dropped, where that is not known:
        the notes about them name the originals. Raises StoreError."""
        if self.renaming is not None and self.target.index.query(_UNKNOWN):
            found = {}
            for note in self.target.sound_notes(FORGOTTEN):
                if note.snapshot is not None:
                    alias = str(note.body.get("alias") or note.snapshot.hex())
                    with contextlib.suppress(ValueError):
                        found[bytes.fromhex(alias)] = note.snapshot
            self.learn(found, Role.SNAPSHOT)
            self.save()

    def ids(self, old: Sequence[bytes], role: Role) -> dict[bytes, bytes]:
        """Return the ids in the target of those of *old* for which they are known."""
        if self.renaming is None:
            return {one: one for one in old}
        return self.renaming.known.of(old, role)

    def learn(self, new: Mapping[bytes, bytes], role: Role) -> None:
        if self.renaming is not None:
            self.renaming.known.learn(new, role)

    def save(self) -> None:
        """Store what was learned. Raises StoreError."""
        if self.renaming is not None:
            self.renaming.known.save()

    def original(self, snapshot: SnapshotId) -> SnapshotId:
        """Return the id by which both name a snapshot of the source."""
        return self.source.index.alias(snapshot) or snapshot

    def there(self, snapshot: SnapshotId) -> SnapshotId | None:
        """Return what a snapshot of the source is called in the target, even if it was forgotten
        there and dropped; None if it is not known ever to have been there."""
        if self.renaming is None:
            # The same bytes have the same id. Another one that claims to be a copy of the original
            # may be forged, and must not keep the true one out.
            return snapshot
        original = self.original(snapshot)
        found = self.target.index.named(original)
        return found or self.ids([original], Role.SNAPSHOT).get(original)

    def is_there(self, snapshot: SnapshotId) -> bool:
        there = self.there(snapshot)
        return there is not None and self.target.has_snapshot(there)

    def here(self, snapshot: SnapshotId) -> SnapshotId:
        """Return what a snapshot of the target is called in the source, its own id if it is not
        there."""
        if self.renaming is None:
            return snapshot
        original = self.target.index.alias(snapshot) or snapshot
        return self.source.index.named(original) or original

    def manifest(self, snapshot: SnapshotId, table: RecipeRoot) -> tuple[SnapshotId, bytes]:
        """Return the manifest of a snapshot of the source as the target has it, and its id there;
        *table* is the root of its section table there."""
        data = self.source.manifest(snapshot)
        if self.renaming is None:
            return snapshot, data
        parent = self.source.snapshot(snapshot).parent
        if parent is not None:
            parent = self.original(parent)
        new, copy = copied_manifest(
            data, table.chunk, parent, self.source.naming, self.target.naming
        )
        self.learn({self.original(snapshot): new}, Role.SNAPSHOT)
        return new, copy
