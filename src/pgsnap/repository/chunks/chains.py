"""The frames needed to read chunks, bases included: their locations and bytes, pack by pack."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import KIB, MIB
from pgsnap.model import ChunkId, Location, PackId
from pgsnap.repository.layout import pack_name
from pgsnap.repository.scopes import aside, side_by_side
from pgsnap.stores.base import Store

# Bytes of frames held in advance; the rest is read when needed. A batch of chunks needs half.
AHEAD_BYTES_MAX = 8 * MIB
# Reading the gap between two frames takes less time than a second request.
_GAP_BYTES_MAX = 64 * KIB


class Chains:
    """The frames of some chunks, and of every base needed to decode them.

    *frames* is the result of `Index.chains`. Within each version the deltas of consecutive chunks
    are next to each other in one pack, so that `read_ahead` needs only a few reads.
    """

    def __init__(self, frames: Mapping[ChunkId, Sequence[Location]]) -> None:
        self._frames = frames
        self._held: dict[tuple[PackId, int], bytes] = {}
        self.held_bytes = 0

    def of(self, chunk: ChunkId) -> Sequence[Location]:
        """Return the frames of *chunk*, least depth first."""
        return self._frames.get(chunk, ())

    def path(self, location: Location, known: Container[ChunkId] = ()) -> list[Location]:
        """Return the frames from *location* down to a plain one, or to one whose base is *known*,
        taking the first frame of each base. Raises CorruptionError if one is missing."""
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
        """Read the frames needed for *chunks*. Read errors are left to `frame`."""
        self.hold(store, self._wanted(chunks))

    def hold(self, store: Store, locations: Iterable[Location], at_once: int = 1) -> None:
        """Read the frames at *locations*, with *at_once* requests under way at a time. Read errors
        are left to `frame`."""

        def read(run: Sequence[Location]) -> bytes:
            with contextlib.suppress(CorruptionError, ObjectNotFound):
                start = run[0].offset
                return store.get(pack_name(run[0].pack), start, _end(run[-1]) - start)
            return b""

        for run, data in side_by_side(_runs(locations), read, at_once):
            start = run[0].offset
            for location in run if data else ():
                frame = data[location.offset - start : _end(location) - start]
                self._held[location.pack, location.offset] = frame
                self.held_bytes += len(frame)

    def frame(self, store: Store, location: Location) -> bytes:
        """Return the bytes of a frame. Raises CorruptionError, ObjectNotFound, StoreError."""
        held = self._held.get((location.pack, location.offset))
        if held is not None:
            return held
        name, size = pack_name(location.pack), location.frame.frame_bytes
        return aside(store.get, name, location.offset, size)

    def _wanted(self, chunks: Iterable[ChunkId]) -> list[Location]:
        """Return the frames needed for *chunks*, as many as may be held."""
        wanted: dict[tuple[PackId, int], Location] = {}
        size = 0
        for chunk in chunks:
            for first in self.of(chunk)[:1]:
                with contextlib.suppress(CorruptionError):
                    for location in self.path(first):
                        place = location.pack, location.offset
                        size += 0 if place in wanted else location.frame.frame_bytes
                        if size > AHEAD_BYTES_MAX:
                            return list(wanted.values())
                        wanted[place] = location
        return list(wanted.values())


def _end(location: Location) -> int:
    return location.offset + location.frame.frame_bytes


def _runs(locations: Iterable[Location]) -> Iterator[list[Location]]:
    """Yield *locations* grouped into runs: in one pack, in order, with small gaps."""
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
