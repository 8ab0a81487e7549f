"""The repository's lock: shared for commits and readers, exclusive for what deletes.

It is a lock of the operating system (flock), so it never outlives its process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pgsnap.errors import RepositoryLocked, StoreError

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def shared(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock with others; nothing is deleted meanwhile. Raises RepositoryLocked.

    A folder that cannot be written (read-only media) cannot be collected either: no lock then.
    """
    try:
        file = _open(path)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
            yield
            return
        raise _unusable(path, error) from error
    try:
        _acquire(file, fcntl.LOCK_SH, path, timeout_seconds)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock alone. Raises RepositoryLocked."""
    try:
        file = _open(path)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _acquire(file, fcntl.LOCK_EX, path, timeout_seconds)
        try:
            _write_holder(file)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            yield
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def _open(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    # An odd umask must not shut the next process out.
    if stat.S_IMODE(os.fstat(file).st_mode) != 0o600:
        with contextlib.suppress(PermissionError):
            os.fchmod(file, 0o600)
    return file


def _acquire(file: int, how: int, path: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RepositoryLocked(
                    "the repository is locked by another process",
                    detail=_holder(path),
                    hint="Wait for it, or wait longer with: --lock-timeout 1h",
                ) from None
        except OSError as error:
            raise _unusable(path, error) from error
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _write_holder(file: int) -> None:
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        return f"Process {holder['pid']} on {holder['host']} holds it since {holder['since']}."
    except (OSError, ValueError, KeyError, TypeError):
        return "Commits or readers hold it."


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        "cannot lock the repository",
        detail=f"{error.strerror} ({path}).",
        hint="The folder must be writable, on a file system that supports flock.",
    )
