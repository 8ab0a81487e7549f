"""What was in folders when they were last listed, for a process that opens a repository again and
again: folders of tens of thousands of files take most of the time of that."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from typing import TypeAlias

from pgsnap.files.folder import Folder
from pgsnap.stores.base import ObjectInfo
from pgsnap.values import dataclass

# A change within one tick of the file system's clock after a listing would not show in the folder's
# times; ticks are of milliseconds, on some file systems of two seconds.
_TICK_NANOSECONDS = 2_500_000_000

Listed: TypeAlias = "list[ObjectInfo | str]"
"""The objects in a folder, and the names of the folders in it."""


@dataclass(frozen=True, slots=True)
class FolderState:
    """What changes with each entry that is added to a folder, removed or renamed, *state*; and
    whether that *is_settled*: a change from now on gives another state. Only on file systems with
    true times."""

    state: tuple[int, ...]
    is_settled: bool


def state_of(folder: Folder, name: str) -> FolderState | None:
    """Return the state of the folder *name* in *folder*; None if there is no such folder."""
    now = time.time_ns()
    try:
        found = (folder.root / name).lstat()
        device = folder.root.stat().st_dev
    except OSError:
        return None
    is_old = max(found.st_mtime_ns, found.st_ctime_ns) < now - _TICK_NANOSECONDS
    # Of the repository's own file system it is known that its times are true.
    is_own = stat.S_ISDIR(found.st_mode) and found.st_dev == device
    # Of files of strangers everybody who opens the repository is to learn.
    is_settled = is_old and is_own and not folder.has_foreign
    state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return FolderState(state, is_settled)


class Remembered:
    """The entries of some folders and of those below them, as long as a folder's times say that
    none was added, removed or renamed in it. The sizes of its files may be others by now. Used by
    several threads: what they find at the same time is the same."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._known: dict[str, tuple[tuple[int, ...], Listed]] = {}

    def covers(self, name: str) -> bool:
        """Return whether the folder *name* is one of them."""
        return name.partition("/")[0] in self._names

    def listed(self, folder: Folder, name: str, look: Callable[[str], Listed]) -> Listed:
        """Return what *look* finds in the folder *name* in *folder*."""
        found = state_of(folder, name)
        if found is None:
            self._known.pop(name, None)
            return look(name)
        known = self._known.get(name)
        if known is not None and known[0] == found.state:
            return known[1]
        listed = look(name)
        if found.is_settled and not folder.has_foreign:
            self._known[name] = found.state, listed
        return listed
