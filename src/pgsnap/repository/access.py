"""Access to a repository's folder: it holds whole databases, so only its owner may enter it."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

from pgsnap.repository.index.place import MOUNTS, file_system_of

_WITHOUT_MODES = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "fuse.exfat"})


def open_to_others(path: Path) -> int | None:
    """Return the mode of the folder *path* if others than its owner may enter it, else None."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        # Without search permission on the folder nothing below it can be reached.
        return mode if mode & 0o077 else None
    return None


def closing_command(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the command that removes others' access, or what to do where files have no modes."""
    if file_system_of(path, mounts) in _WITHOUT_MODES:
        # All its files have the owner and mode given when it was mounted.
        return f"mount its file system with -o uid={os.geteuid()},umask=077"
    return f"chmod -R go= {shlex.quote(str(path))}"
