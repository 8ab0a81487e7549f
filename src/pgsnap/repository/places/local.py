"""A repository in a folder of this host, or of a network file system."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote

from pgsnap.errors import (
    NotARepository,
    RepositoryError,
    RepositoryExists,
    RepositoryLocked,
    RepositoryNotFound,
    StoreError,
)
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository import layout, lock
from pgsnap.repository.footprint import Footprint, footprint
from pgsnap.repository.index.index import Index
from pgsnap.repository.index.place import (
    has_true_times,
    index_path,
    is_on_network,
    is_writable,
)
from pgsnap.repository.places.base import Room, only_slots, slots_in_the_way
from pgsnap.stores.base import Store
from pgsnap.stores.counting import Counts
from pgsnap.stores.local import CAS_LEASES, CAS_LOCK, TEMPORARY, LocalStore
from pgsnap.stores.remembered import FolderState, Remembered, state_of


class LocalPlace:
    """A folder. It has everything in it: objects, lock, audit log and, if it is not on a network
    file system, the index. *remembered* are the folders of snapshots and packs as an earlier place
    saw them."""

    def __init__(
        self, path: Path, trust: Trust = ONLY_OURS, remembered: Remembered | None = None
    ) -> None:
        self.path: Path | None = path
        self.transfers = 1
        self.trust = trust
        self._path = path
        self._local = LocalStore(path, trust, remembered)
        self.store: Store = self._local

    def __str__(self) -> str:
        return str(self._path)

    def refuse_occupied(self, *, encrypted: bool = False) -> None:
        path = self._path
        if self._has_slots_only():
            if not encrypted:
                raise slots_in_the_way(str(path))
            return
        if path.exists() and (not path.is_dir() or layout.occupants(path)):
            made = (path / layout.CONFIG).exists()
            raise RepositoryExists(
                f'"{path}" {"is a repository already" if made else "is not an empty folder"}',
                hint="Use it as it is." if made else "Name a new folder: snap init PATH",
            )

    def _has_slots_only(self) -> bool:
        """Return whether there is what `snap init --encrypt` writes before the config, and nothing
        else."""
        keys = layout.KEYS.rstrip("/")
        found = set(layout.occupants(self._path)) if self._path.is_dir() else set()
        return keys in found and found <= {keys, TEMPORARY, CAS_LOCK, CAS_LEASES}

    def prepare(self, *, has_index: bool) -> None:
        self._local.make_root()
        # Keeps dumps out of version control, wherever the repository is.
        if not layout.ignores_all(self._local.folder):
            self.store.put(layout.GITIGNORE_FILE, b"*\n")
        if has_index and not is_on_network(self._path):
            index = Index(self._path / layout.INDEX_FILE, self.trust)
            index.set_complete()
            index.close()

    def takes_one_writer(self) -> bool:
        return False

    def take_turns(self) -> None:
        """Its locks are those of the operating system."""

    def why_no_config(self) -> RepositoryError:
        path = self._path
        if self._has_slots_only():
            return only_slots(str(path))
        if path.is_dir() and any(path.iterdir()):
            return NotARepository(
                f'"{path}" is not a repository',
                detail="The folder is not empty, and it has no config.",
                hint="Name the repository with --repo PATH, or make one: snap init PATH",
            )
        return RepositoryNotFound(
            f'there is no repository in "{path}"', hint=f"Make one: snap init {quote(str(path))}"
        )

    def refuse_links(self) -> None:
        layout.refuse_links(self._local.folder)

    def remove_leftovers(self) -> None:
        with contextlib.suppress(StoreError, RepositoryLocked):
            # A reader takes the exclusive lock only if there is something to delete.
            if self._local.has_leftovers() and not self._local.folder.has_foreign:
                with lock.exclusive(self._local.folder, 0.0):
                    self._local.remove_leftovers()

    def lock(
        self, timeout_seconds: float, *, alone: bool, anonymous: bool = False
    ) -> contextlib.AbstractContextManager[lock.Held]:
        take = lock.exclusive if alone else lock.shared
        return take(self._local.folder, timeout_seconds, anonymous=anonymous)

    def held_since(self) -> datetime | None:
        return lock.held_since(self._local.folder)

    def is_writable(self) -> bool:
        return not self._local.folder.has_foreign and is_writable(self._path)

    def index_file(
        self, repository_id: str, index_folder: Path | None, *, writable: bool
    ) -> Path | None:
        return index_path(self._path, repository_id, index_folder, writable=writable)

    def folds_case(self) -> bool:
        return self._local.folder.folds_case(layout.CONFIG)

    def move(self, name: str, target: str) -> None:
        self._local.move(name, target)

    def folder_states(self, names: Sequence[str]) -> list[FolderState | None] | None:
        if not has_true_times(self._path):
            return None
        return [state_of(self._local.folder, name.rstrip("/")) for name in names]

    def footprint(self) -> Footprint:
        return footprint(self._path)

    def counts(self) -> Counts | None:
        return None

    def credentials(self) -> str:
        return ""

    def room(self) -> Room | None:
        found = os.statvfs(self._path)
        return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def lists_remembered(path: Path) -> Remembered | None:
    """Return what remembers the folders of snapshots and packs between one opening and the next;
    None where that cannot be relied on."""
    names = (name.rstrip("/") for name in (layout.SNAPSHOTS, layout.PACKS))
    return Remembered(*names) if has_true_times(path) else None
