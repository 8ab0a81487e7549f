"""A child's output in large blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pgsnap.limits import KIB, READ_BYTES
from pgsnap.runners.base import Child

# pg_dump writes 4 KiB at a time. A reader that takes every crumb wakes thousands of times a second
# and takes the processor from those who make the crumbs; asleep for a moment it finds ten times
# as much. The pipe holds more than is written meanwhile, and a full pipe is no crumb.
_CRUMB_BYTES = 32 * KIB
_NAP_SECONDS = 0.001


def blocks(child: Child) -> Iterator[bytes]:
    """Yield the output of *child* in blocks of READ_BYTES; only the last is shorter."""
    # One buffer, filled in place: a new one for each read costs more than what is read.
    buffer = bytearray(READ_BYTES)
    room = memoryview(buffer)
    filled = 0
    while count := child.readinto(room[filled:]):
        filled += count
        if filled == READ_BYTES:
            yield bytes(buffer)
            filled = 0
        elif count < _CRUMB_BYTES:
            time.sleep(_NAP_SECONDS)
    if filled:
        yield bytes(room[:filled])
