"""The Place protocol: what a repository needs to know about where it is, besides its objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Protocol

from pgsnap.errors import RepositoryError, RepositoryExists, RepositoryNotFound
from pgsnap.files.trust import Trust
from pgsnap.repository.footprint import Footprint
from pgsnap.repository.lock import Held
from pgsnap.stores.base import Store
from pgsnap.stores.counting import Counts
from pgsnap.stores.remembered import FolderState
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """The space of the disk that a repository is on."""

    free_bytes: int
    total_bytes: int


def slots_in_the_way(place: str) -> RepositoryExists:
    """Return the error for a plain repository where there are key slots and nothing else."""
    return RepositoryExists(
        f'"{place}" holds key slots and nothing else',
        detail="That is what is left of a snap init --encrypt that was interrupted.",
        hint=f"Make an encrypted repository there: snap init --encrypt {quote(place)}; for another"
        " one, delete what is below keys/ first.",
    )


def only_slots(place: str) -> RepositoryNotFound:
    """Return the error for opening what has key slots and nothing else."""
    return RepositoryNotFound(
        f'there is no repository in "{place}"',
        detail="It holds key slots and nothing else: what is left of a snap init --encrypt that was"
        " interrupted.",
        hint=f"Make it now: snap init --encrypt {quote(place)}",
    )


class Place(Protocol):
    """Where a repository is. `str` of it is its name in messages and in `--repo`."""

    store: Store
    """All objects of the repository."""
    trust: Trust
    """Whose files are trusted in its folder, or in that of its index."""
    path: Path | None
    """The repository's folder, None if it is not on this host."""
    transfers: int
    """How many requests for packs, or parts of them, are made at a time: 1 for a folder."""

    def refuse_occupied(self, *, encrypted: bool = False) -> None:
        """Raise RepositoryExists unless a repository, an *encrypted* one or not, can be made here.
        Key slots that were left by an interrupted attempt are in the way only of a plain one."""

    def prepare(self, *, has_index: bool) -> None:
        """Make what has to exist before the first object is written, and, if the repository
        *has_index* of its own, an empty one."""

    def takes_one_writer(self) -> bool:
        """Try out the store; return whether it honours too few conditions for several writers at a
        time. Raises StoreError if it cannot be relied on at all."""

    def take_turns(self) -> None:
        """Let *store* be written by one process at a time only."""

    def why_no_config(self) -> RepositoryError:
        """Return the error for a place without a config."""

    def refuse_links(self) -> None:
        """Raise UntrustedPath if one of snap's names here is a link or special file."""

    def remove_leftovers(self) -> None:
        """Delete what killed writers left behind, if nobody else uses the repository."""

    def lock(
        self, timeout_seconds: float, *, alone: bool, anonymous: bool = False
    ) -> AbstractContextManager[Held]:
        """Return a context manager that holds the repository's lock, shared, or exclusive if
        *alone*; *anonymous*: nothing that is written names this host. Raises RepositoryLocked."""

    def held_since(self) -> datetime | None:
        """Return since when a process has held the lock exclusively; None if none is recorded."""

    def is_writable(self) -> bool:
        """Return whether objects can be written."""

    def index_file(
        self, repository_id: str, index_folder: Path | None, *, writable: bool
    ) -> Path | None:
        """Return where the index of the repository is kept, None for memory."""

    def folds_case(self) -> bool:
        """Return whether names that differ only in case mean the same object."""

    def move(self, name: str, target: str) -> None:
        """Rename an object; the new name must be free. Raises ObjectExists, ObjectNotFound."""

    def folder_states(self, names: Sequence[str]) -> list[FolderState | None] | None:
        """Return the state of each of the folders *names*, None for one that does not exist; None
        where such states do not tell of every change."""

    def footprint(self) -> Footprint:
        """Return how much space the repository's objects take."""

    def counts(self) -> Counts | None:
        """Return what was asked of the store by now, None if nobody charges for that."""

    def credentials(self) -> str:
        """Return where the credentials for the store are from, "" if it needs none or nobody knows.
        Raises StoreError."""

    def room(self) -> Room | None:
        """Return the space of its disk, None if there is no limit that is known."""
