"""Reads a child's output in large blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pgsnap.limits import KIB, READ_BYTES
from pgsnap.runners.base import Child

# pg_dump writes 4 KiB at a time. A reader that reads every small write wakes thousands of times a
# second and takes CPU time from the writer; after a short sleep there is ten times as much. The
# pipe holds more than is written meanwhile, and a full pipe is not a small read.
_CRUMB_BYTES = 32 * KIB
_NAP_SECONDS = 0.001


def blocks(child: Child) -> Iterator[bytes]:
    """Yield the output of *child* in blocks of READ_BYTES; only the last is shorter."""
    # One buffer, filled in place: allocating one per read costs more than the read.
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
