"""The index's file: who may create or rename it, and who may read it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pgsnap.errors import StoreError
from pgsnap.files import flock
from pgsnap.files.folder import Folder


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from creating or renaming an index in *folder* within the block."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Without flock, the worst case is an index that is built twice.
        with contextlib.suppress(OSError):
            flock.lock(file)
        yield
    finally:
        os.close(file)


def make_private(folder: Folder, name: str) -> int:
    """Create the file with mode 0600 before SQLite does: its -wal and -shm take the same mode.
    Returns its inode number. Raises StoreError, UntrustedPath."""
    try:
        # Never opened if it exists: closing it would release the locks of this process's other
        # connections.
        with contextlib.suppress(FileExistsError):
            os.close(folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        check_files(folder, name)
        return folder.close_to_others(name).st_ino
    except OSError as error:
        raise StoreError("the index cannot be used", detail=f"{error}.") from error


def check_files(folder: Folder, name: str) -> os.stat_result | None:
    """Return the status of the index file, None if it is gone. Raises UntrustedPath if it, or a
    file that SQLite keeps beside it, is not a regular file, or belongs to another user."""
    found = None
    for suffix in ("-wal", "-shm", "-journal", ""):
        try:
            found = folder.status(name + suffix)
        except FileNotFoundError:
            found = None
    folder.refuse_foreign()
    return found
