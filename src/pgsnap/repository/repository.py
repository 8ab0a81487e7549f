"""The repository: one object that gives access to everything that is stored.

The store is authoritative: config, packs, manifests, tags, notes. The index is derived from it and
brought up to date when a repository is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

from pgsnap import interrupts, limits
from pgsnap.errors import CorruptionError
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.format.manifest import decode_manifest, encode_manifest, snapshot_id
from pgsnap.format.small import encode_note, note_id
from pgsnap.model import (
    ChunkId,
    Naming,
    Note,
    RepositoryConfig,
    Section,
    SectionName,
    Snapshot,
    SnapshotHead,
    SnapshotId,
)
from pgsnap.repository import catching_up, layout, lock
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.presence import Presence, lost_sections
from pgsnap.repository.chunks.recipes import section_pieces
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.config import read_config
from pgsnap.repository.creating import create_in
from pgsnap.repository.index.connection import IndexDamaged
from pgsnap.repository.index.index import Index
from pgsnap.repository.index.place import open_index
from pgsnap.repository.known import KnownSnapshots
from pgsnap.repository.objects import objects_of, publications_of
from pgsnap.repository.places.base import Place
from pgsnap.repository.places.opening import Where, place_of
from pgsnap.repository.rounds import Round, read_rounds
from pgsnap.repository.sealed.unlocking import (
    Unlock,
    Unlocked,
    keys_of,
    refuse_slots_of_a_plain_one,
    unlocked_by,
)
from pgsnap.repository.snapshots import forgetting
from pgsnap.repository.snapshots.manifests import (
    known_heads,
    known_manifests,
    sound_manifest,
    with_parent_here,
)
from pgsnap.repository.snapshots.notes import about_copies, about_original, all_notes, notes_here
from pgsnap.repository.snapshots.tags import Tags
from pgsnap.sealing.scheme import scheme_of
from pgsnap.sealing.wrapping_keys import NewOpener
from pgsnap.stores.base import Store


class Repository(KnownSnapshots):
    """An open repository. Made by `open`; use it as a context manager.

    While open it holds the repository's shared lock, so nothing that it can see is deleted.
    """

    def __init__(
        self,
        place: Place,
        config: RepositoryConfig,
        index: Index,
        unlocked: Unlocked | None = None,
    ) -> None:
        self.place = place
        self.config = config
        self.index = index
        self._use(unlocked)
        self._unlock: Unlock | None = None
        self._resources = contextlib.ExitStack()
        self._held = lock.Held()
        self._packs_are_known = False
        self.rounds_seen: list[Round] = []

    def _use(self, unlocked: Unlocked | None) -> None:
        keys, place = keys_of(unlocked), self.place
        self.unlocked = unlocked
        self.store: Store = objects_of(
            place.store, self.config, keys, self.index, transfers=place.transfers
        )
        known, self.log = self.log, publications_of(self.store)
        if self.log is not None and known is not None:
            self.log.is_direct = known.is_direct
        # Encrypted names differ in more than their case.
        self.tags = Tags(self.store, folds_case=keys is None and place.folds_case())
        self.chunks = ChunkReader(self.store, self.index, scheme_of(keys), place.transfers)

    @classmethod
    def create(
        cls,
        where: Where,
        *,
        trust: Trust = ONLY_OURS,
        pack_bytes: int = limits.PACK_BYTES,
        opener: NewOpener | None = None,
    ) -> None:
        """Create a repository in *where*: a folder that is new, or empty except for a README.md and
        a .gitignore, or a URL of a store; an encrypted one if there is an *opener*. Raises
        RepositoryExists, StoreError, UsageError."""
        create_in(place_of(where, trust), pack_bytes, opener)

    @classmethod
    def open(
        cls,
        where: Where,
        *,
        lock_timeout_seconds: float = limits.LOCK_TIMEOUT_SECONDS,
        index_folder: Path | None = None,
        alone: bool = False,
        whole: bool = False,
        trust: Trust = ONLY_OURS,
        unlock: Unlock | None = None,
    ) -> Self:
        """Open the repository in *where* (a folder, a URL) to read, and to write if it permits.

        *index_folder* is where the index goes if the repository's own folder cannot be written;
        None: in memory. *alone*: take the lock exclusively. *whole* (always if *alone*): a remote
        store is listed, whatever its log says. *unlock* gives the keys of an encrypted one. Raises
        RepositoryNotFound, NotARepository, RepositoryLocked, UntrustedPath, WrongKey, StoreError.
        """
        place = place_of(where, trust)
        config = read_config(place, alone=alone)
        place.refuse_links()
        unlocked = unlocked_by(unlock, str(place), config, place.store)
        is_plain = unlocked is None
        with contextlib.ExitStack() as resources:
            place.remove_leftovers()
            held = resources.enter_context(
                place.lock(lock_timeout_seconds, alone=alone, anonymous=not is_plain)
            )
            if alone or place.path is not None:
                # Who held the lock until now may have rotated the keys.
                unlocked = unlocked_by(unlock, str(place), config, place.store)
            writable = place.is_writable()
            # The index shows what is stored: never in an encrypted repository's own folder.
            file = place.index_file(
                config.repository_id, index_folder, writable=writable and is_plain
            )
            opened = partial(
                cls._caught_up, place, config, file, unlocked, writable, is_whole=alone or whole
            )
            try:
                repo = opened()
            except IndexDamaged:
                # It was moved aside; being derived, it can be rebuilt.
                repo = opened()
            resources.callback(repo.index.close)
            repo._held = held
            repo._unlock = unlock
            repo._resources = resources.pop_all()
        return repo

    @property
    def path(self) -> Path:
        """The repository's folder. Only for one that is in a folder."""
        assert self.place.path is not None
        return self.place.path

    @classmethod
    def _caught_up(
        cls,
        place: Place,
        config: RepositoryConfig,
        file: Path | None,
        unlocked: Unlocked | None,
        writable: bool,
        *,
        is_whole: bool,
    ) -> Self:
        if unlocked is None and place.path is not None:
            refuse_slots_of_a_plain_one(str(place), place.store)
        index = open_index(file, place.trust)
        with interrupts.undone_by(index.close):
            if unlocked is None and place.path is None and not index.is_complete:
                refuse_slots_of_a_plain_one(str(place), place.store)
            repo = cls(place, config, index, unlocked)
            index.belong_to(config.repository_id)
            if repo.log is not None:
                repo.log.refresh(whole=is_whole)
            # An index of this user or host alone lacks what others committed: nobody was killed.
            finish = writable and file is not None and file.parent == place.path
            catching_up.catch_up_if_changed(
                *(place, repo.store, repo.index, repo.tags, repo.naming),
                finish_tags=finish,
                is_whole=is_whole,
            )
            if repo.log is not None:
                # What is decided now must not rely on a listing that others have outdated.
                repo.log.is_direct = is_whole
        return repo

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def at_close(self, call: Callable[[], None]) -> None:
        """Call *call* when the repository is closed."""
        self._resources.callback(call)

    def close(self) -> None:
        self._resources.close()

    def check_lock(self) -> None:
        """Raise RepositoryLocked if the lock was lost. To be called before deleting anything."""
        self._held.check()

    @property
    def naming(self) -> Naming:
        """What gives chunks, snapshots and notes their ids."""
        return self.chunks.scheme.naming

    @property
    def chunk_store(self) -> ChunkStore:
        """Return the chunk store, for code that writes chunks or deletes packs."""
        return ChunkStore(self.store, self.index, self.chunks, self.config, self.check_lock)

    def many_reads(self) -> contextlib.AbstractContextManager[None]:
        return self.store.many_reads()

    def catch_up_packs(self, *, again: bool = False) -> None:
        """Bring the index's packs up to date with the store. Cheap if nothing changed. With *again*
        also if that was done before: others may write meanwhile."""
        if again or not self._packs_are_known:
            if self.place.path is None:
                self.rounds_seen = read_rounds(self.store)
            catching_up.catch_up_packs(self.store, self.index, self.chunks.scheme)
            self._packs_are_known = True

    def renew_keys(self) -> None:
        """Use the newest keys from now on, if they were rotated since this was opened: nobody was
        locked out of a remote store meanwhile. Raises WrongKey if its own secret was."""
        if self.unlocked is not None:
            now = unlocked_by(self._unlock, str(self.place), self.config, self.place.store)
            if now is not None and now.keys.epoch > self.unlocked.keys.epoch:
                self._use(now)

    def look_again(self) -> None:
        """Bring the index up to date with what other processes wrote since it was opened."""
        self.look_at_log()
        # Packs last: what a snapshot needs is there before it is.
        seen = self.store, self.index, self.tags, self.naming
        catching_up.catch_up_snapshots(*seen, finish_tags=False)
        self.catch_up_packs(again=True)
        forgetting.catch_up(self.store, self.index, self.naming)

    def publish(self, snapshot: Snapshot) -> tuple[SnapshotId, list[str]]:
        """Make *snapshot* visible: THE COMMIT POINT. Everything it refers to must be durable.

        Returns its id and those of its requested tags that were set.
        """
        data = encode_manifest(snapshot)
        new = snapshot_id(data, self.naming)
        if decode_manifest(data, new, self.naming) != snapshot:
            raise CorruptionError("a new snapshot's manifest does not read back")
        self._held.check()
        with self.together():
            self.store.put(layout.snapshot_name(new), data)
            given = catching_up.admit(self.index, self.tags, new, data, self.naming, with_tags=True)
            # The same snapshot, byte for byte, was committed again, so it is no longer forgotten.
            self.unforget(new)
        return new, given

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager for publishing much at once: one entry of a remote store's log
        has all of it."""
        return contextlib.nullcontext() if self.log is None else self.log.together()

    def put_back(self, snapshot: SnapshotId, data: bytes) -> None:
        """Store the manifest of a snapshot that was published before, here or in another
        repository; its tags are not set. Everything it refers to must be durable."""
        seen = self.place, self.store, self.index, self.tags, self.naming
        catching_up.put_back(*seen, snapshot, data)

    def manifest(self, snapshot: SnapshotId) -> bytes:
        """Return a snapshot's manifest. Raises UnknownRevision, CorruptionError."""
        return sound_manifest(self.store, snapshot, self.index.manifest(snapshot), self.naming)

    def has_snapshot(self, snapshot: SnapshotId) -> bool:
        return self.index.manifest(snapshot) is not None

    def snapshot(self, snapshot: SnapshotId) -> Snapshot:
        """Return a snapshot. Raises UnknownRevision, CorruptionError."""
        return self._decoded(snapshot, self.index.manifest(snapshot))

    def snapshots(
        self, snapshots: Sequence[SnapshotId]
    ) -> Iterator[tuple[SnapshotId, Callable[[], Snapshot]]]:
        """Yield *snapshots* in order, each with a function that returns it as `snapshot` does: for
        thousands this takes half the time."""
        for one, data in known_manifests(self.index, snapshots):
            yield one, partial(self._decoded, one, data)

    def _decoded(self, snapshot: SnapshotId, data: bytes | None) -> Snapshot:
        sound = sound_manifest(self.store, snapshot, data, self.naming)
        return with_parent_here(self.index, decode_manifest(sound, snapshot, self.naming))

    def heads(self, snapshots: Sequence[SnapshotId]) -> Iterator[tuple[SnapshotId, SnapshotHead]]:
        """Yield *snapshots* in order, each with its head. Raises UnknownRevision,
        CorruptionError."""
        return known_heads(self.index, self.store, snapshots, self.naming)

    def sections(self, snapshot: Snapshot) -> Iterator[Section]:
        """Yield the sections of *snapshot* in dump order. Raises CorruptionError."""
        for _, sections in self.section_pieces(snapshot):
            yield from sections

    def section_pieces(self, snapshot: Snapshot) -> Iterator[tuple[ChunkId, Iterator[Section]]]:
        """Yield the pieces of *snapshot*'s section table, each with its sections. Raises
        CorruptionError."""
        self.catch_up_packs()
        return section_pieces(snapshot.sections_recipe, self.chunks)

    def check_present(
        self, snapshot: Snapshot, only: Collection[SectionName] | None = None
    ) -> None:
        """Raise CorruptionError unless every chunk of *snapshot*, or of its sections *only*, has a
        frame in a pack that exists in its full size. Reads recipes, not data."""
        presence = Presence(self.index, self.chunks)
        for section in self.sections(snapshot):
            if only is None or section.name in only:
                presence.check(section)

    def lost_sections(self, sections: Sequence[Section]) -> frozenset[SectionName]:
        """Return which of *sections* cannot be read as a whole, as far as is known. Reads
        recipes, not data."""
        return lost_sections(self.index, self.chunks, sections)

    def forget(
        self, snapshot: SnapshotId, *, by: str, reason: str, now: datetime | None = None
    ) -> None:
        """Hide *snapshot* from *now* on; a gc drops it after its grace period. If it is already
        forgotten, the earlier time stays. Raises UnknownRevision, CorruptionError, StoreError."""
        found = self.snapshot(snapshot)
        self._held.check()
        forgetting.forget(
            self.store,
            self.index,
            snapshot,
            found.database,
            by=by,
            reason=reason,
            naming=self.naming,
            alias=found.alias,
            now=now,
        )

    def unforget(self, snapshot: SnapshotId, *, by: str = "snap") -> None:
        """Bring a forgotten snapshot back; a no-op if it is not forgotten. Raises UnknownRevision
        if it was dropped, CorruptionError, StoreError."""
        if self.forgotten_since(snapshot) is not None:
            database = self.snapshot(snapshot).database
            self._held.check()
            forgetting.unforget(
                self.store, self.index, snapshot, database, by=by, naming=self.naming
            )

    def forgotten(self) -> dict[SnapshotId, datetime]:
        """Return the forgotten snapshots that still exist, each with the time since when."""
        return forgetting.all_forgotten(self.index)

    def forgotten_since(self, snapshot: SnapshotId) -> datetime | None:
        """Return since when *snapshot* has been forgotten, even if its manifest was dropped; None
        if it is not."""
        return forgetting.forgotten_since(self.index, snapshot)

    def add_note(self, note: Note) -> None:
        """Record a note. It is durable on return."""
        data = encode_note(about_original(self.index, note))
        self.store.put(layout.note_name(note.kind, note_id(data, self.naming)), data)

    def notes(self, kind: str, database: str | None = None) -> list[Note]:
        """Return the notes of a kind, newest first. Raises CorruptionError."""
        return [
            *about_copies(self.index, all_notes(self.store, kind, database, naming=self.naming))
        ]

    def sound_notes(
        self, kind: str, *, damaged: list[str] | None = None, bytes_min: int = 0
    ) -> Iterator[Note]:
        """Yield the intact notes of a kind; the names of damaged ones are added to *damaged*. Those
        smaller than *bytes_min* are not read. Raises FormatTooNew, StoreError."""
        return notes_here(self.store, self.index, kind, self.naming, damaged, bytes_min)
