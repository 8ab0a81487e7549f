"""From the address of a repository to its place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.places.address import Address
from pgsnap.repository.places.base import Place
from pgsnap.repository.places.local import LocalPlace

Where: TypeAlias = "Address | Place"


def place_of(
    where: Where,
    trust: Trust = ONLY_OURS,
    *,
    hastily: bool = False,
    bytes_per_second: float | None = None,
) -> Place:
    """Return the place that *where* names. *hastily*: requests to a store are given up soon;
    *bytes_per_second* limits what they take of the line. Raises UsageError for a URL that no store
    has, StoreError."""
    if isinstance(where, Path):
        return LocalPlace(where, trust)
    if not isinstance(where, str):
        return where
    # Imported late: a repository in a folder needs no client of an object store.
    from pgsnap.repository.places.remote import RemotePlace
    from pgsnap.stores.opening import open_store
    from pgsnap.stores.pacing import HASTY, Pace

    pace = replace(HASTY if hastily else Pace(), bytes_per_second=bytes_per_second)
    return RemotePlace(where, open_store(where, os.environ, trust=trust, pace=pace), trust)


def is_same(one: Where, other: Where) -> bool:
    """Return whether both name the same place, as far as that can be seen."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.exists() and other.exists() and one.samefile(other)
    return str(one).rstrip("/") == str(other).rstrip("/")
