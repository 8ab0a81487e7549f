"""Whole files: under its name a file is complete, durable and of the right mode, or not there.

It is written under another name, synced, and renamed or linked; then its folder is synced, because
otherwise the new name itself could be lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pgsnap.files.folder import Folder
from pgsnap.files.owned import FILE_MODE
from pgsnap.files.trust import ANYONE

_IOV_MAX = 512
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def write(folder: Folder, name: str, data: bytes, mode: int = FILE_MODE) -> None:
    """Create or replace a file of *folder*. Raises OSError, UntrustedPath."""
    unfinished = unfinished_name(name)
    with draft(folder, unfinished, lambda file: write_all(file, [data]), mode):
        publish(folder, unfinished, name)


def write_at(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Create or replace the file at a path that the user chose. Raises OSError."""
    write(chosen_folder(path.parent), path.name, data, mode)


def chosen_folder(path: Path) -> Folder:
    """Return a folder that the user chose, where files may belong to anyone: a file server may give
    new ones to a user of its own."""
    return Folder(path, ANYONE)


def unfinished_name(name: str) -> str:
    """Return a name for the time until a file is complete: hidden, and with another ending."""
    return f".{name}.{os.urandom(4).hex()}.partial"


@contextlib.contextmanager
def draft(
    folder: Folder, name: str, fill: Callable[[int], object], mode: int = FILE_MODE
) -> Iterator[None]:
    """Create a file that *fill* writes, given its descriptor, and make its contents durable. After
    the block it is deleted, unless it has another name by then."""
    file = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            fill(file)
            if mode != FILE_MODE:
                os.fchmod(file, mode)
            os.fsync(file)
        finally:
            os.close(file)
        yield
    finally:
        folder.unlink(name, missing_ok=True)


def publish(folder: Folder, unfinished: str, name: str) -> None:
    """Give a draft its name, which may replace another file."""
    folder.rename(unfinished, name)
    folder.sync(name.rpartition("/")[0])


def publish_new(
    folder: Folder,
    unfinished: str,
    name: str,
    alone: contextlib.AbstractContextManager[None] | None = None,
) -> None:
    """Give a draft a name that must be free. Raises FileExistsError. Without hard links, two
    processes may do so at once unless both hold the lock *alone*."""
    try:
        folder.link(unfinished, name)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        with alone or contextlib.nullcontext():
            if folder.exists(name):
                raise FileExistsError(errno.EEXIST, "exists", name) from None
            folder.rename(unfinished, name)
    folder.sync(name.rpartition("/")[0])


def write_all(file: int, parts: Sequence[bytes]) -> None:
    """Write *parts* one after another, in as few calls as the kernel permits."""
    views = [memoryview(part) for part in parts if part]
    first = 0
    while first < len(views):
        written = os.writev(file, views[first : first + _IOV_MAX])
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]
