"""A child's output in large blocks."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.limits import READ_BYTES
from pgsnap.runners.base import Child


def blocks(child: Child) -> Iterator[bytes]:
    """Yield the output of *child* in blocks of about READ_BYTES; only the last is shorter.

    pg_dump writes 4 KiB at a time, so one read brings what happens to lie in the pipe. What
    follows works on whole blocks many times faster than on crumbs.
    """
    parts: list[bytes] = []
    size = 0
    while data := child.read(READ_BYTES):
        parts.append(data)
        size += len(data)
        if size >= READ_BYTES:
            yield b"".join(parts) if len(parts) > 1 else data
            parts.clear()
            size = 0
    if parts:
        yield b"".join(parts)
