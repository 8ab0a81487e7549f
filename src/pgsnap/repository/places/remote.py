"""A repository on a store that a URL names: no folder, no lock of an operating system.

Readers and writers take no lock. What protects them from a gc are its two phases
(`repository/rounds.py`); only that takes a lease. But where the store honours too few conditions,
whoever writes takes a turn (`repository/places/turn.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote

from blake3 import blake3

from pgsnap.errors import (
    ObjectNotFound,
    RepositoryError,
    RepositoryExists,
    RepositoryNotFound,
    StoreError,
)
from pgsnap.files.owned import make_folders
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.repository import layout
from pgsnap.repository.footprint import Footprint
from pgsnap.repository.index.place import is_writable
from pgsnap.repository.lock import Held
from pgsnap.repository.places.base import Room, only_slots, slots_in_the_way
from pgsnap.repository.places.lease import held_lease, lease_since
from pgsnap.repository.places.turn import StoreTurn, turn_since
from pgsnap.stores.base import Store
from pgsnap.stores.counting import Counted, Counts
from pgsnap.stores.local import LocalStore
from pgsnap.stores.one_writer import OneWriter
from pgsnap.stores.remembered import FolderState

# Parts of packs that a restore reads at a time. At 30 ms a request and 1.5 MiB a part that is 400
# MB/s; whole packs are bounded by their bytes.
_TRANSFERS = 8


class RemotePlace:
    """A store, named by *url*. The index is in the user's cache folder, the audit log in the user's
    state folder."""

    def __init__(self, url: str, store: Store, trust: Trust = ONLY_OURS) -> None:
        self.path: Path | None = None
        self.transfers = _TRANSFERS
        self.trust = trust
        self.store = store
        self._bare = store
        self._turn: StoreTurn | None = None
        self._url = url

    def __str__(self) -> str:
        return self._url

    def refuse_occupied(self, *, encrypted: bool = False) -> None:
        made = True
        try:
            self.store.get(layout.CONFIG, bytes_max=RECORD_BYTES_MAX)
        except ObjectNotFound:
            made = False
        if not made and self._has_slots_only():
            if not encrypted:
                raise slots_in_the_way(self._url)
            return
        if made or any(self._has(one) for one in layout.FOLDERS):
            raise RepositoryExists(
                f'"{self}" {"is a repository already" if made else "holds objects already"}',
                hint="Use it as it is." if made else "Name a place of its own: snap init URL",
            )

    def _has(self, folder: str) -> bool:
        return next(self.store.list(folder), None) is not None

    def _has_slots_only(self) -> bool:
        others = (one for one in (*layout.FOLDERS, layout.DAMAGED) if one != layout.KEYS)
        return self._has(layout.KEYS) and not any(map(self._has, others))

    def prepare(self, *, has_index: bool) -> None:
        if isinstance(self._bare, LocalStore):
            self._bare.make_root()

    def takes_one_writer(self) -> bool:
        from pgsnap.stores.objects.store import ObjectStore
        from pgsnap.stores.probe import Use, probe

        if not isinstance(self._bare, ObjectStore):
            return False
        try:
            found = probe(self._bare)
        except StoreError:
            # The credentials may only create: then whoever made the bucket knows what it honours.
            return False
        if found.use is Use.REFUSED:
            raise StoreError(
                f'the store of "{self}" cannot be relied on',
                detail=" ".join(found.reasons),
                hint="Use another store, or ask who runs it to mend that.",
            )
        return found.use is Use.ONE_WRITER

    def take_turns(self) -> None:
        if self._turn is None:
            self._turn = StoreTurn(self._bare)
            self.store = OneWriter(self._bare, self._turn)

    def why_no_config(self) -> RepositoryError:
        if self._has_slots_only():
            return only_slots(self._url)
        return RepositoryNotFound(
            f'there is no repository in "{self}"', hint=f"Make one: snap init {quote(self._url)}"
        )

    def refuse_links(self) -> None:
        """A store has none."""

    def remove_leftovers(self) -> None:
        """A store leaves none."""

    def lock(
        self, timeout_seconds: float, *, alone: bool, anonymous: bool = False
    ) -> contextlib.AbstractContextManager[Held]:
        if self._turn is not None:
            return self._turn.during(timeout_seconds, alone=alone)
        if alone:
            return held_lease(self.store, timeout_seconds)
        return contextlib.nullcontext(Held())

    def held_since(self) -> datetime | None:
        return lease_since(self.store) if self._turn is None else turn_since(self.store)

    def is_writable(self) -> bool:
        """Only a write shows that; one that is refused says so."""
        return True

    def index_file(
        self, repository_id: str, index_folder: Path | None, *, writable: bool
    ) -> Path | None:
        if index_folder is None:
            return None
        with contextlib.suppress(OSError):
            make_folders(index_folder)
        place = blake3(self._url.encode("utf-8", "surrogateescape")).hexdigest(length=4)
        file = index_folder / f"{repository_id}-{place}.sqlite"
        return file if is_writable(index_folder) else None

    def folds_case(self) -> bool:
        return False

    def move(self, name: str, target: str) -> None:
        data = self.store.get(name)
        self.store.create(target, data)
        self.store.delete(name)

    def folder_states(self, names: Sequence[str]) -> list[FolderState | None] | None:
        return None

    def footprint(self) -> Footprint:
        def total(*prefixes: str) -> int:
            return sum(info.object_bytes for one in prefixes for info in self.store.list(one))

        return Footprint(
            packs=total(layout.PACKS),
            manifests=total(layout.SNAPSHOTS),
            tags=total(layout.TAGS),
            notes=total(layout.NOTES),
            other=total(layout.DAMAGED, layout.COLLECTIONS, layout.CLAIMS, layout.TURNS),
        )

    def counts(self) -> Counts | None:
        return self._bare.counts() if isinstance(self._bare, Counted) else None

    def credentials(self) -> str:
        from pgsnap.stores.objects.store import ObjectStore

        return self._bare.backend.source if isinstance(self._bare, ObjectStore) else ""

    def room(self) -> Room | None:
        return None
