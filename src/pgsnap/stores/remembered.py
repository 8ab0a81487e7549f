"""What was in a folder when it was last listed, for a process that opens a repository again and
again: a folder of tens of thousands of files takes most of the time of that."""

from __future__ import annotations

import stat
import time

from pgsnap.files.folder import Entry, Folder

# A change within one tick of the file system's clock after a listing would not show in the folder's
# times; ticks are of milliseconds, on some file systems of two seconds.
_TICK_NANOSECONDS = 2_500_000_000


class Remembered:
    """The entries of one folder, as long as its times say that none was added, removed or renamed.
    The sizes of its files may be others by now. Used by several threads: what they find at the same
    time is the same. Not for network file systems, whose clients remember such times themselves."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._known: tuple[tuple[int, ...], list[Entry]] | None = None

    def entries(self, folder: Folder) -> list[Entry]:
        """Return the entries of the folder of this name in *folder*."""
        now = time.time_ns()
        try:
            found = (folder.root / self.name).lstat()
        except OSError:
            return folder.entries(self.name)
        state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known
        if known is not None and known[0] == state:
            return known[1]
        listed = folder.entries(self.name)
        is_old = max(found.st_mtime_ns, found.st_ctime_ns) < now - _TICK_NANOSECONDS
        # Of files of strangers everybody who opens the repository is to learn.
        if is_old and stat.S_ISDIR(found.st_mode) and not folder.has_foreign:
            self._known = state, listed
        return listed
