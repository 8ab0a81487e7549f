"""The operating system's lock on an open file (flock); a signal ends the wait for it."""

from __future__ import annotations

import fcntl
import time

from pgsnap import interrupts

_POLL_SECONDS = 0.02


def lock(file: int, how: int = fcntl.LOCK_EX, *, timeout: float | None = None) -> None:
    """Lock *file* until it is closed. Raises BlockingIOError after *timeout* seconds, OSError if
    the file system does not support flock, Stopped."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
        left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
        interrupts.sleep(min(_POLL_SECONDS, max(0.0, left)))


def try_to_lock(file: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock *file* if nobody else holds it; return whether that succeeded. Raises OSError."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
