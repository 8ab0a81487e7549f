"""The repository's lock: shared for commits and readers, exclusive for deletion.

It is an operating-system lock (flock), so it never outlives its process. Where the file system does
not support it, a lease is used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pgsnap.errors import RepositoryLocked, StoreError
from pgsnap.files import flock
from pgsnap.files.folder import NO_ROOM, Folder
from pgsnap.repository.layout import LOCK_FILE
from pgsnap.stores import lease

LEASES = "leases"

_HOLDER_BYTES_MAX = 64 * 1024
_WAIT_HINT = "Wait for it, or wait longer with: --lock-timeout 1h"


class Leased(Protocol):
    """A lock that ends by itself where its holder gives no sign of life."""

    def is_held(self) -> bool:
        """Return whether it is still held."""


class Held:
    """A held lock. An operating-system lock cannot be lost, a lease can."""

    def __init__(self, held: Leased | None = None) -> None:
        self._lease = held

    def check(self) -> None:
        """Raise RepositoryLocked if others took this process for dead: what it reads may be
        deleted."""
        if self._lease is not None and not self._lease.is_held():
            raise RepositoryLocked(
                "the lease of the repository was lost",
                detail="This process gave no sign of life for so long that it was taken for dead.",
                hint="Run the command again.",
            )


@contextlib.contextmanager
def shared(folder: Folder, timeout_seconds: float, *, anonymous: bool = False) -> Iterator[Held]:
    """Hold the lock in shared mode; nothing is deleted meanwhile. *anonymous*: nothing that is
    written names this host. Raises RepositoryLocked.

    A folder that cannot be written (read-only media) cannot be collected either, so needs no lock.
    """
    try:
        file = _open(folder)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
            yield Held()
            return
        raise _unusable(folder.path / LOCK_FILE, error) from error
    try:
        if not _acquire(file, fcntl.LOCK_SH, folder, timeout_seconds):
            with _lease(folder, timeout_seconds, alone=False, anonymous=anonymous) as held:
                yield held
            return
        yield Held()
    finally:
        os.close(file)


@contextlib.contextmanager
def exclusive(folder: Folder, timeout_seconds: float, *, anonymous: bool = False) -> Iterator[Held]:
    """Hold the lock exclusively; *anonymous* as in `shared`. Raises RepositoryLocked."""
    try:
        file = _open(folder)
    except OSError as error:
        raise _unusable(folder.path / LOCK_FILE, error) from error
    try:
        if not _acquire(file, fcntl.LOCK_EX, folder, timeout_seconds):
            with _lease(folder, timeout_seconds, alone=True, anonymous=anonymous) as held:
                yield held
            return
        try:
            _write_holder(file, anonymous=anonymous)
        except OSError as error:
            # On a full disk the lock holds all the same, and a gc must get it to free space.
            if error.errno not in NO_ROOM:
                raise _unusable(folder.path / LOCK_FILE, error) from error
        try:
            yield Held()
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def held_since(folder: Folder) -> datetime | None:
    """Return since when a process has held the lock exclusively; None if none is recorded."""
    try:
        holder = json.loads(folder.read(LOCK_FILE, _HOLDER_BYTES_MAX))
        found = datetime.fromisoformat(holder["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if found.tzinfo is not None else None


def _open(folder: Folder) -> int:
    try:
        return folder.open(LOCK_FILE, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return folder.open(LOCK_FILE)


def _acquire(file: int, how: int, folder: Folder, timeout_seconds: float) -> bool:
    """Return True once flock granted the lock, False if the file system does not support it."""
    try:
        flock.lock(file, how, timeout=timeout_seconds)
    except BlockingIOError:
        raise RepositoryLocked(
            "the repository is locked by another process",
            detail=_holder(folder),
            hint=_WAIT_HINT,
        ) from None
    except OSError as error:
        if error.errno in lease.NO_FLOCK:
            return False
        raise _unusable(folder.path / LOCK_FILE, error) from error
    return True


@contextlib.contextmanager
def _lease(
    folder: Folder, timeout_seconds: float, *, alone: bool, anonymous: bool
) -> Iterator[Held]:
    with contextlib.ExitStack() as stack:
        try:
            leases = folder.below(LEASES)
            taken = lease.hold(
                leases, alone=alone, timeout_seconds=timeout_seconds, anonymous=anonymous
            )
            held = Held(stack.enter_context(taken))
        except lease.LeaseTaken as error:
            names = [_words(h.pid, h.host, h.since) for h in error.holders]
            raise RepositoryLocked(
                "the repository is locked by another process",
                detail=" ".join(names[:3]) or "Commits or readers hold it.",
                hint=_WAIT_HINT,
            ) from None
        except OSError as error:
            if not alone and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                held = Held()
            else:
                raise _unusable(leases.path, error) from error
        yield held


def _write_holder(file: int, *, anonymous: bool) -> None:
    holder = {
        "host": "" if anonymous else socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(holder).encode(), 0)


def _holder(folder: Folder) -> str:
    try:
        holder = json.loads(folder.read(LOCK_FILE, _HOLDER_BYTES_MAX))
        return _words(holder["pid"], holder["host"], holder["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "Commits or readers hold it."


def _words(pid: int, host: str, since: str) -> str:
    # In an encrypted repository no host is named.
    return f"Process {pid} on {host or 'a host'} holds it since {since}."


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        "cannot lock the repository",
        detail=f"{error.strerror} ({path}).",
        hint="The folder must be writable: see `ls -ld` of it, or name another with --repo PATH.",
    )
