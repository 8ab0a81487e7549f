"""Names of objects."""

from __future__ import annotations

from pgsnap.errors import StoreError

_NO_PARTS = frozenset({"", ".", ".."})


def checked(name: str) -> str:
    """Return *name* if it is a valid object name: one that leaves the root is not. Raises
    StoreError."""
    if not name.isascii() or not _NO_PARTS.isdisjoint(name.split("/")):
        raise StoreError(f'"{name}" is no object name')
    return name


def above(name: str) -> str:
    """Return the folder that an object is in, "" for the root."""
    return name.rpartition("/")[0]
