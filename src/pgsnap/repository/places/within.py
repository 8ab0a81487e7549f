"""Whether a place lies among the objects of another repository, which would count it as its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgsnap.errors import RepositoryExists, SnapError
from pgsnap.repository import layout
from pgsnap.repository.config import read_config
from pgsnap.repository.places.base import Place
from pgsnap.repository.places.opening import place_of

_TAKEN = {
    folder.rstrip("/")
    for folder in (
        *layout.FOLDERS,
        layout.COLLECTIONS,
        layout.CLAIMS,
        layout.DAMAGED,
        layout.LOG,
        layout.TURNS,
    )
}


def refuse_within_another(place: Place) -> None:
    """Raise RepositoryExists if *place* is in one of the folders in which another repository has
    its objects."""
    for above in _above(str(place)):
        try:
            read_config(place_of(above if "://" in above else Path(above)))
        except SnapError:
            # There is none, or none that these credentials may see.
            continue
        raise RepositoryExists(
            f'"{place}" is within the repository in "{above}"',
            detail="What is there counts as its objects: a gc stops at it, and a repair moves it"
            " away.",
            hint="Name a place outside of it: snap init PATH, or a URL",
        )


def _above(place: str) -> Iterator[str]:
    """Yield the places in which a repository would have some part of the path of *place* as its
    own, by that part's name."""
    base, mark, query = place.partition("?") if "://" in place else (place, "", "")
    first = base.find("://") + 3 if "://" in base else 0
    parts = base[first:].split("/")
    for number, part in enumerate(parts):
        if number and part in _TAKEN:
            yield base[:first] + ("/".join(parts[:number]) or "/") + mark + query
