"""What the C library does with freed memory."""

from __future__ import annotations

import contextlib
import functools
import sys

from pgsnap.limits import MIB

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


@functools.cache
def keep_freed_chunks() -> None:
    """Let freed chunks serve the next ones, of whatever thread, where glibc is the C library.

    By default memory of a chunk's size goes back to the kernel at once, which hands it out again
    page by page, emptied: a quarter of the time of reading deltas. And each thread keeps what it
    freed for itself: a third more memory, and the more the more processors there are.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 16 * MIB)
        mallopt(_M_TRIM_THRESHOLD, 64 * MIB)
