"""Mending manifests, notes and tags: from their contents, the index, or another repository."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.manifest import snapshot_id
from pgsnap.format.small import decode_note, decode_tag, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.verify.damage import REPAIR_FROM, Damage, delete_tag
from pgsnap.maintenance.verify.object_faults import (
    Fault,
    forgotten,
    given_up,
    is_any_left,
    is_manifest,
    is_stored,
    kept_manifest,
    lost_while_forgotten,
    manifest_faults,
    note_faults,
    tag_faults,
)
from pgsnap.model import Naming, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.objects import stored_name
from pgsnap.repository.places.base import Place
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Mended:
    """Something that was mended: *kind* and *name* as in a `Damage`, *how* as a phrase."""

    kind: str
    name: str
    how: str


def put_aside(place: Place, name: str) -> str:
    """Move an object of the bare store to ``damaged/`` and return its name there. Raises
    ObjectNotFound."""
    taken = {info.name for info in place.store.list(layout.DAMAGED)}
    target = layout.DAMAGED + name
    number = 2
    while target in taken:
        target = f"{layout.DAMAGED}{name}~{number}"
        number += 1
    place.move(name, target)
    return target


class ObjectMender:
    """Mends the small objects of *repo*, if need be from *other*."""

    def __init__(self, repo: Repository, other: Repository | None, mended: list[Mended]) -> None:
        self._repo = repo
        self._other = other
        self._mended = mended
        self.lost: list[Damage] = []
        self.put_aside: list[str] = []
        self.warnings: list[str] = []

    # -- manifests ----------------------------------------------------------------------------

    def manifests(self) -> None:
        repo = self._repo
        faults = list(manifest_faults(repo))
        wanted = {fault.snapshot: fault for fault in faults if fault.snapshot is not None}
        self._put_aside(faults)
        gone = forgotten(repo)
        for data, name in self._aside(layout.SNAPSHOTS):
            found = snapshot_id(data, repo.naming)
            if found not in gone and not is_stored(repo, found) and is_manifest(data):
                repo.put_back(found, data)
                self._tell("snapshot", layout.snapshot_name(found), f"it was whole in {name}")
        for snapshot in given_up(repo) - gone:
            if not is_stored(repo, snapshot):
                wanted.setdefault(snapshot, Fault(layout.snapshot_name(snapshot), "", None))
        if self._other is not None:
            # An accepted loss is restored if a copy has turned up.
            for snapshot in accepted_losses(repo):
                if is_stored(self._other, snapshot):
                    wanted.setdefault(snapshot, Fault(layout.snapshot_name(snapshot), "", None))
        for snapshot, fault in wanted.items():
            if not is_stored(repo, snapshot):
                self._manifest(snapshot, fault)
        for snapshot, data in list(lost_while_forgotten(repo)):
            repo.put_back(snapshot, data)
            name = layout.snapshot_name(snapshot)
            self._tell("snapshot", name, "the index had it; it is forgotten as before")

    def _manifest(self, snapshot: SnapshotId, fault: Fault) -> None:
        name = layout.snapshot_name(snapshot)
        data, how = kept_manifest(self._repo, snapshot), "the index had it"
        if data is None and self._other is not None:
            data, how = self._of_other(name), f"taken from {self._other.place}"
        if data is not None and self._other is None and not is_any_left(self._repo, data):
            problem = f"{fault.problem} So is all that it lists.".strip()
            self.lost.append(Damage("snapshot", name, problem, (snapshot,), (), REPAIR_FROM))
            return
        if data is not None and snapshot_id(data, self._repo.naming) == snapshot:
            self._repo.put_back(snapshot, data)
            self._tell("snapshot", name, how)
            return
        self._repo.index.drop_snapshots([snapshot])
        if fault.problem:
            self.lost.append(Damage("snapshot", name, fault.problem, (snapshot,), (), fault.remedy))

    # -- notes --------------------------------------------------------------------------------

    def notes(self) -> None:
        repo, other = self._repo, self._other
        faults = list(note_faults(repo))
        self._put_aside(faults)
        there = {info.name for info in repo.store.list(layout.NOTES)}
        for data, name in self._aside(layout.NOTES):
            belongs = _place_of_note(data, repo.naming)
            if belongs is not None and belongs not in there and not self._is_beyond(belongs):
                repo.store.put(belongs, data)
                there.add(belongs)
                self._tell("note", belongs, f"it was whole in {name}")
        if other is not None and other.config.repository_id == repo.config.repository_id:
            # Notes are only ever added, so any that only the copy has was lost here.
            for info in list(other.store.list(layout.NOTES)):
                found = self._of_other(info.name)
                if (
                    info.name not in there
                    and found
                    and _place_of_note(found, repo.naming) == info.name
                ):
                    repo.store.put(info.name, found)
                    there.add(info.name)
                    self._tell("note", info.name, f"taken from {other.place}")
        for fault in faults:
            if fault.name not in there and layout.hash_of(fault.name) is not None:
                hit = (fault.snapshot,) if fault.snapshot is not None else ()
                self.lost.append(Damage("note", fault.name, fault.problem, hit, (), REPAIR_FROM))

    def _is_beyond(self, note: str) -> bool:
        """Return whether a *note* belongs where only a gc may write. One that lay elsewhere may be
        of somebody who may not, and a repair must not carry out what it says."""
        store = self._repo.store
        return isinstance(store, CreatedOnly) and stored_name(store, note).startswith(
            layout.COLLECTIONS
        )

    # -- tags ---------------------------------------------------------------------------------

    def tags(self) -> None:
        """Mend tags. One that cannot be mended is moved aside, so that the others can be used."""
        repo = self._repo
        faults = list(tag_faults(repo))
        dangling = [f for f in faults if f.belongs is None and f.snapshot is not None]
        damaged = [f for f in faults if f not in dangling]
        self._put_aside(damaged)
        there = {info.name for info in repo.store.list(layout.TAGS)}
        for fault in damaged:
            if fault.belongs and fault.data and fault.belongs not in there:
                repo.store.put(fault.belongs, fault.data)
                there.add(fault.belongs)
                self._tell("tag", fault.belongs, f"it lay in {fault.name}")
        for fault in damaged:
            if fault.name in there:
                continue
            if self._take_tag_of_other(fault.name):
                there.add(fault.name)
            else:
                database, name = _tag_words(fault.name)
                command = f"snap tag {name} REV --database {database}"
                self.lost.append(Damage("tag", fault.name, fault.problem, (), (), command))
        # A killed repair may have moved them aside and done no more.
        for info in list(repo.store.list(layout.DAMAGED + layout.TAGS)):
            if (name := info.name.removeprefix(layout.DAMAGED)) not in there:
                self._take_tag_of_other(name)
        for fault in dangling:
            hit = (fault.snapshot,) if fault.snapshot is not None else ()
            command = delete_tag(*_tag_words(fault.name))
            self.lost.append(Damage("tag", fault.name, fault.problem, hit, (), command))

    def _take_tag_of_other(self, name: str) -> bool:
        """Take a tag from the other repository, if it has one that fits; return whether it had."""
        data = self._of_other(name)
        if data is None or self._other is None:
            return False
        try:
            tag = decode_tag(data, "a tag")
        except CorruptionError:
            return False
        if layout.tag_name(tag.database, tag.name) != name or not is_stored(
            self._repo, tag.snapshot
        ):
            return False
        self._repo.store.put(name, data)
        self._tell("tag", name, f"taken from {self._other.place}")
        return True

    # -- all of them --------------------------------------------------------------------------

    def _put_aside(self, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.data is not None:
                store, place = self._repo.store, self._repo.place
                stored = stored_name(store, fault.name)
                if isinstance(store, CreatedOnly) and fault.name.startswith(layout.TAGS):
                    # Else what the tag was before would count again.
                    store.delete(fault.name)
                self.put_aside.append(put_aside(place, stored))

    def _aside(self, prefix: str) -> Iterator[tuple[bytes, str]]:
        for info in list(self._repo.store.list(layout.DAMAGED + prefix)):
            try:
                data = self._repo.store.get(info.name, bytes_max=RECORD_BYTES_MAX)
            except CorruptionError:
                continue
            yield data, info.name

    def _of_other(self, name: str) -> bytes | None:
        if self._other is None:
            return None
        try:
            return self._other.store.get(name, bytes_max=RECORD_BYTES_MAX)
        except (ObjectNotFound, CorruptionError):
            return None

    def _tell(self, kind: str, name: str, how: str) -> None:
        self._mended.append(Mended(kind, name, how))


def _tag_words(name: str) -> tuple[str, str]:
    _, database, tag = name.split("/")
    return layout.decode_word(database), layout.decode_word(tag)


def _place_of_note(data: bytes, naming: Naming) -> str | None:
    try:
        note = decode_note(data, "a note")
    except CorruptionError:
        return None
    return layout.note_name(note.kind, note_id(data, naming))
