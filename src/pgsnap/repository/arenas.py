"""How much freed memory the C library keeps for the threads that freed it."""

from __future__ import annotations

import contextlib
import functools
import sys

# From glibc's malloc.h.
_M_ARENA_MAX = -8


@functools.cache
def share_one_arena() -> None:
    """Let all threads from now on take memory from one place, where glibc is the C library.

    By default each thread has an arena, and each keeps what was freed in it: a third more memory,
    and the more the more processors there are. Blocks here are large, so threads hardly wait.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
