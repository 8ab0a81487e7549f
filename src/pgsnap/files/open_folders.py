"""Folders that are kept open while many files in them are read: each is opened only once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

Reached: TypeAlias = tuple[int, int]
"""A folder's descriptor, and the owner of the root above it."""

# The 256 folders of packs, and some more; a process may typically have 1,024 files open.
_FOLDERS_MAX = 300


class OpenFolders:
    """Open folders by name, within a block of `keep`; outside of one nothing is kept."""

    def __init__(self, descend: Callable[[str], Reached]) -> None:
        self._descend = descend
        self._open: dict[str, Reached] | None = None

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        """Keep folders open until the end of the block. Threads that call `reach` must have ended
        by then. A nested block is part of the outer one."""
        if self._open is not None:
            yield
            return
        self._open = {}
        try:
            yield
        finally:
            kept, self._open = self._open, None
            for at, _ in kept.values():
                os.close(at)

    def reach(self, name: str) -> tuple[int, int, bool]:
        """Return a descriptor of the folder *name*, the owner of the root, and whether it is kept
        open: if not, the caller closes it."""
        kept = self._open
        found = kept.get(name) if kept is not None else None
        if found is not None:
            return *found, True
        found = self._descend(name)
        if kept is None or len(kept) >= _FOLDERS_MAX:
            return *found, False
        # Another thread may have been faster.
        first = kept.setdefault(name, found)
        if first is not found:
            os.close(found[0])
        return *first, True
