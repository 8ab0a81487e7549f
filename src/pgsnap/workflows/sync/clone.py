"""A new repository that is to have everything that another one has."""

from __future__ import annotations

from pgsnap.errors import RepositoryExists, RepositoryNotFound
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.places.opening import Where
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.sealing.wrapping_keys import NewOpener


def begin_clone(
    where: Where,
    *,
    trust: Trust = ONLY_OURS,
    opener: NewOpener | None = None,
    unlock: Unlock | None = None,
) -> None:
    """Make the repository, encrypted if there is an *opener*, unless a clone that was cut short did
    so. Raises RepositoryExists if it has snapshots already."""
    try:
        with Repository.open(where, trust=trust, unlock=unlock) as repo:
            if not repo.newest(None, 1, also_forgotten=True):
                return
    except RepositoryNotFound:
        Repository.create(where, trust=trust, opener=opener)
        return
    raise RepositoryExists(
        f'"{where}" is a repository with snapshots already',
        hint="Fetch what it lacks with snap pull, or name a new place: snap clone URL PATH",
    )
