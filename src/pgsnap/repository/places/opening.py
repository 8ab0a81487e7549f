"""From the address of a repository to its place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pgsnap.errors import SnapError
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.format.small import decode_config
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.repository.layout import CONFIG
from pgsnap.repository.places.address import Address
from pgsnap.repository.places.base import Place
from pgsnap.repository.places.local import LocalPlace
from pgsnap.stores.local import LocalStore

Where: TypeAlias = "Address | Place"


def place_of(
    where: Where,
    trust: Trust = ONLY_OURS,
    *,
    hastily: bool = False,
    bytes_per_second: float | None = None,
) -> Place:
    """Return the place that *where* names. *hastily*: requests to a store are given up soon;
    *bytes_per_second* limits what they take of the line. A repository in a folder of this host is
    used as it was made, by its path or by a URL, however it is named now: of two that use it in
    different ways neither would see the other's locks. Raises UsageError for a URL that no store
    has, StoreError."""
    if not isinstance(where, Path | str):
        return where
    if (folder := _folder(where)) is not None:
        # Whoever opens it warns of what is somebody else's.
        looked_at = LocalStore(folder, replace(trust, warn=None))
        if not _made_by_url(looked_at, otherwise=isinstance(where, str)):
            return LocalPlace(folder, trust)
        where = folder.resolve().as_uri() if isinstance(where, Path) else where
    assert isinstance(where, str)
    # Imported late: a repository in a folder needs no client of an object store.
    from pgsnap.repository.places.remote import RemotePlace
    from pgsnap.stores.opening import open_store
    from pgsnap.stores.pacing import HASTY, Pace

    pace = replace(HASTY if hastily else Pace(), bytes_per_second=bytes_per_second)
    return RemotePlace(where, open_store(where, os.environ, trust=trust, pace=pace), trust)


def _folder(where: Address) -> Path | None:
    """Return the folder that a path or URL names, None for a URL of another kind."""
    if isinstance(where, Path):
        return where
    from pgsnap.stores.address import parse

    address = parse(where)
    return Path(address.path) if address.scheme == "file" else None


def _made_by_url(store: LocalStore, *, otherwise: bool) -> bool:
    """Return whether the repository in a folder was made by a URL, *otherwise* where nothing there
    says so."""
    try:
        return decode_config(store.get(CONFIG, bytes_max=RECORD_BYTES_MAX)).tag_generations
    except SnapError:
        # Whoever opens it says why.
        return otherwise


def is_same(one: Where, other: Where) -> bool:
    """Return whether both name the same place, as far as that can be seen."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.exists() and other.exists() and one.samefile(other)
    return str(one).rstrip("/") == str(other).rstrip("/")
