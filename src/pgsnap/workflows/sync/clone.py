"""A new repository that is to have everything that another one has."""

from __future__ import annotations

from pgsnap.errors import RepositoryExists, RepositoryNotFound
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.places.opening import Where
from pgsnap.repository.repository import Repository


def begin_clone(where: Where, *, trust: Trust = ONLY_OURS) -> None:
    """Make the repository, unless a clone that was cut short did so. Raises RepositoryExists if it
    has snapshots already, whole or damaged: what clone is for is another place."""
    try:
        with Repository.open(where, trust=trust) as repo:
            if not repo.newest(None, 1, also_forgotten=True):
                return
    except RepositoryNotFound:
        Repository.create(where, trust=trust)
        return
    raise RepositoryExists(
        f'"{where}" is a repository with snapshots already',
        hint="Fetch what it lacks with snap pull, or name a new place: snap clone URL PATH",
    )
