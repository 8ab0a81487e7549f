"""A server's data folder on this host: what its control file and its pages say.

Pages in files are as old as the last checkpoint. A standby's checkpoint may write nothing at all,
so its files prove nothing.
"""

from __future__ import annotations

import os
import struct
from array import array
from pathlib import Path
from typing import Any

from pgsnap.limits import MIB
from pgsnap.sources.changes.facts import BLOCK_BYTES, SEGMENT_BLOCKS, Checkpoint

# System identifier; versions, state and time; the position of the latest checkpoint's record.
_CONTROL = struct.Struct("=Q24xQ")
_READ_BLOCKS = 4 * MIB // BLOCK_BYTES
_HALF_BITS = 32


class FilesUnreadable(Exception):
    """Pages could not be read; the text says why."""


class DataFolder:
    """The data folder at *path*."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def is_of(self, system_identifier: str, checkpoint: Checkpoint) -> bool:
        """Return whether it can be read, and a server on this host works in it whose latest
        checkpoint was *checkpoint*: a copy of it is older, another server's has another
        identifier, and what another host writes may be seen late."""
        try:
            pid = int((self._path / "postmaster.pid").read_text().split("\n", 1)[0])
            if not Path(f"/proc/{pid}/cwd").samefile(self._path):
                return False
            with (self._path / "global" / "pg_control").open("rb") as file:
                identifier, position = _CONTROL.unpack(file.read(_CONTROL.size))
            # What may be read of the folder may be read of the tables.
            (self._path / "base").stat()
        except (OSError, ValueError, struct.error):
            return False
        return str(identifier) == system_identifier and bool(position >= checkpoint.position)

    def changed_blocks(self, file: str, blocks: int, base: int, *, twice: bool) -> array[int]:
        """Return which of the first *blocks* pages of the table in *file* were written since
        *base*, or never.

        *twice*: the upper half of WAL positions has changed since *base*. A page that is being
        written could show the upper half of one position with the lower half of another, but not
        when it is read again. Raises FilesUnreadable.
        """
        import numpy

        try:
            positions = self._positions(file, blocks)
            if twice:
                positions = numpy.maximum(positions, self._positions(file, blocks))
        except OSError as error:
            raise FilesUnreadable(f"its file cannot be read: {error.strerror}") from error
        # A page of zeros may have taken the place of one that was truncated.
        found = numpy.flatnonzero((positions > numpy.uint64(base)) | (positions == 0))
        return array("I", found.astype("=u4").tobytes())

    def _positions(self, file: str, blocks: int) -> Any:
        """Return the WAL positions of the first *blocks* pages, as an array."""
        import numpy

        found = numpy.empty(blocks, dtype=numpy.uint64)
        buffer = bytearray(_READ_BLOCKS * BLOCK_BYTES)
        for first in range(0, blocks, SEGMENT_BLOCKS):
            suffix = f".{first // SEGMENT_BLOCKS}" if first else ""
            descriptor = os.open(self._path / f"{file}{suffix}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                end = min(blocks, first + SEGMENT_BLOCKS)
                for start in range(first, end, _READ_BLOCKS):
                    count = min(_READ_BLOCKS, end - start)
                    view = memoryview(buffer)[: count * BLOCK_BYTES]
                    _read_whole(descriptor, view, (start - first) * BLOCK_BYTES)
                    halves = numpy.frombuffer(view, dtype="=u4").reshape(count, -1)
                    upper = halves[:, 0].astype(numpy.uint64) << numpy.uint64(_HALF_BITS)
                    found[start : start + count] = upper | halves[:, 1]
            finally:
                os.close(descriptor)
        return found


def _read_whole(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise FilesUnreadable("its file is shorter than the server says")
        view, offset = view[count:], offset + count
