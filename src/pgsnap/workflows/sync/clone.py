"""A new repository that is to have everything that another one has."""

from __future__ import annotations

import contextlib

from pgsnap.errors import (
    CorruptionError,
    ObjectNotFound,
    RepositoryExists,
    RepositoryNotFound,
    StoreBehind,
    UsageError,
    WrongKey,
)
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.patterns import regex
from pgsnap.repository.places.opening import Where
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.sealing.wrapping_keys import NewOpener

_ID = regex(r"[0-9a-fA-F]{12,64}")
_HEAD = regex(r"([0-9]{1,12})-([0-9a-fA-F]{12,64})")


def begin_clone(
    where: Where,
    going_on: str,
    *,
    trust: Trust = ONLY_OURS,
    opener: NewOpener | None = None,
    unlock: Unlock | None = None,
) -> None:
    """Make the repository, encrypted if there is an *opener*, unless a clone that was cut short did
    so. Raises RepositoryExists if it has snapshots already (*going_on* is the command for that), or
    is not encrypted and should be."""
    try:
        with Repository.open(where, trust=trust, unlock=unlock) as repo:
            if not repo.newest(None, 1, also_forgotten=True):
                if opener is not None and repo.config.encryption is None:
                    raise RepositoryExists(
                        f'"{where}" is a repository already, and not an encrypted one',
                        detail="Nothing was copied: it would not have been encrypted.",
                        hint="Name a new place: snap clone URL PATH --encrypt",
                    )
                return
    except RepositoryNotFound:
        Repository.create(where, trust=trust, opener=opener)
        return
    raise RepositoryExists(
        f'"{where}" is a repository with snapshots already',
        hint=f"Fetch what it lacks: {going_on}; or name a new place: snap clone URL PATH",
    )


def check_expected(repo: Repository, expected: str) -> None:
    """Raise StoreBehind unless *repo* has what a store that was put back to an older state does not
    have: the snapshot whose id, or its beginning, is *expected*, or the entry of the log whose head
    that is. A name would prove nothing."""
    if head := _HEAD.fullmatch(expected):
        _check_head(repo, expected, int(head[1]), head[2].lower())
        return
    if not _ID.fullmatch(expected):
        raise UsageError(
            f'"{expected}" is not a snapshot\'s id, nor a head of the log',
            detail='An id has at least 12 of its digits 0-9 and a-f, a head its number and "-"'
            " before them.",
        )
    found = repo.by_prefix(expected.lower(), 1)
    if found and repo.config.encryption is None and not found[0].hex().startswith(expected.lower()):
        raise StoreBehind(
            f'snapshot {expected} is in "{repo.place}" only as what another one says it is a copy'
            " of",
            detail="Whoever may write to a repository that is not encrypted can make one that says"
            " so. Nothing was copied.",
            hint=f"Expect the id that it has there ({found[0].hex()[:16]} if it is the true one),"
            " or a head of the log.",
        )
    if not found:
        raise StoreBehind(
            f'snapshot {expected} is not in "{repo.place}"',
            detail="The store was put back to an older state, keeps it back, or it was forgotten"
            " there. Nothing was copied.",
        )


def head_of(repo: Repository) -> str | None:
    """Return the head of the log of *repo*, which was listed: the number and the id of its newest
    entry; None if it has none. Raises StoreError."""
    chain = repo.chain()
    if chain is None or chain.head is None:
        return None
    return f"{chain.head.number}-{chain.head.id.hex()[:16]}"


def _check_head(repo: Repository, expected: str, number: int, name: str) -> None:
    numbers = () if repo.log is None else repo.log.numbers()
    detail = "The store was put back to an older state, or keeps it back. Nothing was copied."
    hint = ""
    if repo.log is not None and number in numbers:
        with contextlib.suppress(CorruptionError, WrongKey, ObjectNotFound):
            if repo.log.read(number)[0].position.id.hex().startswith(name):
                return
        detail = "Another entry has its number: the store was put back to an older state, and"
        detail += " written to from there. Nothing was copied."
    elif numbers and number < numbers[0]:
        detail = f"The log begins with entry {numbers[0]}: a gc removed what is older, or somebody"
        detail += " else did. Nothing was copied."
        hint = "Expect a newer head, or the id of a snapshot."
    raise StoreBehind(
        f'entry {expected} is not in the log of "{repo.place}"', detail=detail, hint=hint
    )
