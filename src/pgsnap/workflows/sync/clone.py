"""A new repository that is to have everything that another one has."""

from __future__ import annotations

import re

from pgsnap.errors import RepositoryExists, RepositoryNotFound, StoreBehind, UsageError
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.places.opening import Where
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.sealing.wrapping_keys import NewOpener

_ID = re.compile(r"[0-9a-fA-F]{12,64}")


def begin_clone(
    where: Where,
    going_on: str,
    *,
    trust: Trust = ONLY_OURS,
    opener: NewOpener | None = None,
    unlock: Unlock | None = None,
) -> None:
    """Make the repository, encrypted if there is an *opener*, unless a clone that was cut short did
    so. Raises RepositoryExists if it has snapshots already; *going_on* is the command for that."""
    try:
        with Repository.open(where, trust=trust, unlock=unlock) as repo:
            if not repo.newest(None, 1, also_forgotten=True):
                return
    except RepositoryNotFound:
        Repository.create(where, trust=trust, opener=opener)
        return
    raise RepositoryExists(
        f'"{where}" is a repository with snapshots already',
        hint=f"Fetch what it lacks: {going_on}; or name a new place: snap clone URL PATH",
    )


def check_expected(repo: Repository, expected: str) -> None:
    """Raise StoreBehind unless *repo* has the snapshot whose id, or first id, is *expected*: what a
    store that was put back to an older state does not have. A name would prove nothing."""
    if not _ID.fullmatch(expected):
        raise UsageError(
            f'"{expected}" is not a snapshot\'s id',
            detail="It has at least 12 of its digits 0-9 and a-f.",
        )
    if not repo.by_prefix(expected.lower(), 1):
        raise StoreBehind(
            f'snapshot {expected} is not in "{repo.place}"',
            detail="The store was put back to an older state, keeps it back, or it was forgotten"
            " there. Nothing was copied.",
        )
