"""The frames that chunks are read through: where they are, and their bytes, read pack by pack."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import KIB, MIB
from pgsnap.model import ChunkId, Location, PackId
from pgsnap.repository.layout import pack_name
from pgsnap.stores.base import Store

# What is held of frames; the rest is read when its turn comes. A batch of chunks needs half of it.
_AHEAD_BYTES_MAX = 8 * MIB
# To read what lies between two frames takes less than to ask again.
_GAP_BYTES_MAX = 64 * KIB


class Chains:
    """Where some chunks are, and every base that they are read through.

    *frames* is what `Index.chains` says of them. The deltas of chunks that follow each other lie
    together in one pack of each version, so that `read_ahead` takes a few reads for all.
    """

    def __init__(self, frames: Mapping[ChunkId, Sequence[Location]]) -> None:
        self._frames = frames
        self._held: dict[tuple[PackId, int], bytes] = {}

    def of(self, chunk: ChunkId) -> Sequence[Location]:
        """Return the frames of *chunk*, those nearest to plain first."""
        return self._frames.get(chunk, ())

    def path(self, location: Location, known: Container[ChunkId] = ()) -> list[Location]:
        """Return the frames from *location* down to a plain one, or to one whose base is *known*,
        by the first frame of each base. Raises CorruptionError where one is missing."""
        path = [location]
        while (base := path[-1].frame.base) is not None and base not in known:
            for below in self.of(base):
                if below.frame.depth < path[-1].frame.depth:
                    path.append(below)
                    break
            else:
                raise CorruptionError("a base is missing")
        return path

    def read_ahead(self, store: Store, chunks: Iterable[ChunkId]) -> None:
        """Read the frames that lead to *chunks*. What cannot be read is left to `frame`."""
        for run in _runs(self._wanted(chunks)):
            start = run[0].offset
            with contextlib.suppress(CorruptionError, ObjectNotFound):
                data = store.get(pack_name(run[0].pack), start, _end(run[-1]) - start)
                for location in run:
                    frame = data[location.offset - start : _end(location) - start]
                    self._held[location.pack, location.offset] = frame

    def frame(self, store: Store, location: Location) -> bytes:
        """Return the bytes of a frame. Raises CorruptionError, ObjectNotFound, StoreError."""
        held = self._held.get((location.pack, location.offset))
        if held is not None:
            return held
        return store.get(pack_name(location.pack), location.offset, location.frame.frame_bytes)

    def _wanted(self, chunks: Iterable[ChunkId]) -> list[Location]:
        """Return the frames that lead to *chunks*, as many as may be held."""
        wanted: dict[tuple[PackId, int], Location] = {}
        size = 0
        for chunk in chunks:
            for first in self.of(chunk)[:1]:
                with contextlib.suppress(CorruptionError):
                    for location in self.path(first):
                        place = location.pack, location.offset
                        size += 0 if place in wanted else location.frame.frame_bytes
                        if size > _AHEAD_BYTES_MAX:
                            return list(wanted.values())
                        wanted[place] = location
        return list(wanted.values())


def _end(location: Location) -> int:
    return location.offset + location.frame.frame_bytes


def _runs(locations: Iterable[Location]) -> Iterator[list[Location]]:
    """Yield *locations* by neighbourhood: of one pack, in order, with small gaps."""
    run: list[Location] = []
    for location in sorted(locations, key=attrgetter("pack", "offset")):
        if run and (
            location.pack != run[0].pack
            or not 0 <= location.offset - _end(run[-1]) <= _GAP_BYTES_MAX
        ):
            yield run
            run = []
        run.append(location)
    if run:
        yield run
