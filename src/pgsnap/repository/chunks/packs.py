"""Writing packs: frames are collected, made durable as one object, then indexed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.pack import Sealer, encode_body
from pgsnap.limits import PACK_FRAMES_MAX
from pgsnap.model import Frame, Location, PackId
from pgsnap.repository.index.index import Index
from pgsnap.repository.layout import pack_name
from pgsnap.repository.scopes import FinishedOrAbandoned
from pgsnap.stores.base import Store


class _OpenPack:
    """A pack that is being filled."""

    __slots__ = ("body", "frames")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        # One block of memory: thousands of small deltas, held while chunks are allocated and freed
        # between them, would fragment the heap.
        self.body = bytearray()

    def add_all(self, other: _OpenPack) -> None:
        """Take over everything from *other*."""
        frames, body = other.take()
        self.frames += frames
        self.body += body

    def take(self) -> tuple[list[Frame], bytes]:
        """Return its frames and their bytes, and begin another one."""
        taken = self.frames, bytes(self.body)
        self.frames, self.body = [], bytearray()
        return taken


class PackWriter(FinishedOrAbandoned):
    """Fills one pack while the previous one is being made durable. Not thread-safe.

    Order: the pack is made durable, then it is indexed, then *on_indexed* is called with its
    frames. Packs are indexed one by one, or once there are *frames_at_once*: adding to a large
    index takes about as long for many frames as for a few.

    With a *sealer* they are sealed. With *spread* two packs are filled, at random: so the sizes of
    what one reads from a pack do not tell which chunks followed each other. Then frames do not
    become durable in the order in which they were added.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        pack_bytes: int,
        on_indexed: Callable[[list[Frame]], None],
        *,
        frames_at_once: int = 0,
        sealer: Sealer | None = None,
        spread: bool = False,
    ) -> None:
        self._store = store
        self._index = index
        self._pack_bytes = pack_bytes
        self._on_indexed = on_indexed
        self._frames_at_once = frames_at_once
        self._sealer = sealer
        self._open = [_OpenPack() for _ in range(2 if spread else 1)]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snap-pack")
        self._under_way: Future[None] | None = None
        # Durable, but not indexed yet.
        self._written: list[tuple[PackId, int, list[Location]]] = []
        self.stored_bytes = 0
        # A pack that is rewritten may turn out identical to an existing one.
        self.written: set[PackId] = set()

    def add(self, frame: Frame, data: bytes | memoryview) -> None:
        """Add a frame. Raises any error from writing an earlier pack."""
        pack = self._open[secrets.randbelow(len(self._open))] if self._open[1:] else self._open[0]
        pack.frames.append(frame)
        pack.body += data
        if len(pack.body) >= self._pack_bytes or len(pack.frames) >= PACK_FRAMES_MAX:
            self._start(pack)

    def finish(self) -> None:
        """Wait until every frame is durable and indexed."""
        first, rest = self._open[0], self._open[1:]
        for pack in rest:
            # A small commit makes one pack.
            if (
                len(first.body) + len(pack.body) <= self._pack_bytes
                and len(first.frames) + len(pack.frames) <= PACK_FRAMES_MAX
            ):
                first.add_all(pack)
        for pack in self._open:
            if pack.frames:
                self._start(pack)
        self._wait()
        self._thread.shutdown()
        self.index_written()

    def abandon(self) -> None:
        """Stop: what is not durable yet is discarded."""
        for pack in self._open:
            pack.take()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._under_way = None
        # What is durable is kept; if this fails, it is found when the repository is next opened.
        with contextlib.suppress(CorruptionError, StoreError):
            self.index_written()

    def index_written(self) -> None:
        """Index the packs that are durable. Raises any error from writing a pack."""
        self._wait()
        written, self._written = self._written, []
        if written:
            self._index.add_packs(written)
            for _, _, locations in written:
                self._on_indexed([location.frame for location in locations])

    def _start(self, pack: _OpenPack) -> None:
        self._wait()
        if sum(len(locations) for _, _, locations in self._written) >= self._frames_at_once:
            self.index_written()
        self._under_way = self._thread.submit(self._write, *pack.take())

    def _wait(self) -> None:
        if self._under_way is not None:
            interrupts.result(self._under_way)
            self._under_way = None

    def _write(self, frames: list[Frame], body: bytes) -> None:
        pack, parts, locations = encode_body(frames, [body], self._sealer)
        self.written.add(pack)
        self._store.put(pack_name(pack), parts)
        size = sum(len(part) for part in parts)
        self.stored_bytes += size
        if self._frames_at_once:
            self._written.append((pack, size, locations))
        else:
            self._index.add_pack(pack, size, locations)
            self._on_indexed(frames)
