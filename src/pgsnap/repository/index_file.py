"""The index's file: who may make or rename it, and who may read it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pgsnap.errors import StoreError


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from making or renaming an index in *folder* meanwhile."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Where there is no flock, the worst is an index that is built twice.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def make_private(path: Path) -> None:
    """Make the file with mode 0600 before SQLite does: its -wal and -shm take the same mode."""
    try:
        # Never opened where it exists: closing it would take the locks of this process's other
        # connections with it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError("the index cannot be used", detail=f"{error}.") from error
