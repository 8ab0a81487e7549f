"""Writing packs: frames are collected, made durable as one object, then indexed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.pack import Sealer, encode_body
from pgsnap.limits import PACK_FRAMES_MAX, WRITER_BYTES_MAX
from pgsnap.model import Frame, Location, PackId
from pgsnap.repository.index.index import Index
from pgsnap.repository.layout import pack_name
from pgsnap.repository.scopes import FinishedOrAbandoned, Window
from pgsnap.stores.base import Data, Store

_Written: TypeAlias = "tuple[PackId, int, list[Location]]"


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
        taken = other.taken()
        self.frames += taken.frames
        self.body += taken.body

    def taken(self) -> _OpenPack:
        """Return what it holds, and begin another one."""
        taken = _OpenPack()
        taken.frames, taken.body = self.frames, self.body
        self.frames, self.body = [], bytearray()
        return taken


class PackWriter(FinishedOrAbandoned):
    """Fills one pack while earlier ones are being made durable, *at_once* at most. Not thread-safe.

    Order: the pack is made durable, then it is indexed, then *on_indexed* is called with its
    frames. Packs are indexed one by one, or once there are *frames_at_once*: adding to a large
    index takes about as long for many frames as for a few. Then *on_indexed* gets the frames in
    the order in which they were added, none of them after a pack that could not be written.

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
        at_once: int = 1,
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
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="snap-pack")
        room = WRITER_BYTES_MAX - len(self._open) * pack_bytes
        self._under_way: Window[_Written] = Window(self._pool, at_once, room)
        # Held while a pack is put together: that takes twice its bytes.
        self._encoding = threading.Lock()
        # Durable, but not indexed yet.
        self._written: list[_Written] = []
        self.stored_bytes = 0
        # A pack that is rewritten may turn out identical to an existing one.
        self.written: set[PackId] = set()

    def add(self, frame: Frame, data: bytes | memoryview) -> None:
        """Add a frame. Raises any error from writing an earlier pack."""
        pack = self._open[0]
        if self._open[1:]:
            # Imported here: a plain repository has one, and these libraries take 5 ms.
            import secrets

            pack = secrets.choice(self._open)
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
        self._pool.shutdown()
        self.index_written()

    def abandon(self) -> None:
        """Stop: what is not durable yet is discarded."""
        for pack in self._open:
            pack.taken()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for written in self._under_way.left():
            self._note(written)
        # What is durable is kept; if this fails, and after a pack that could not be written, it is
        # found when the repository is next opened.
        with contextlib.suppress(CorruptionError, StoreError):
            self.index_written()

    def index_written(self) -> None:
        """Index the packs that are durable. Raises any error from writing a pack."""
        self._wait()
        self._index_written()

    def _index_written(self) -> None:
        written, self._written = self._written, []
        if written:
            self._index.add_packs(written)
            for _, _, locations in written:
                self._on_indexed([location.frame for location in locations])

    def _start(self, pack: _OpenPack) -> None:
        while not self._under_way.has_room(len(pack.body)):
            self._note(self._under_way.take())
        if sum(len(locations) for _, _, locations in self._written) >= self._frames_at_once:
            self._index_written()
        self._under_way.start(len(pack.body), partial(self._write, pack.taken()))

    def _wait(self) -> None:
        while self._under_way:
            self._note(self._under_way.take())

    def _note(self, written: _Written) -> None:
        self.stored_bytes += written[1]
        if self._frames_at_once:
            self._written.append(written)

    def _write(self, full: _OpenPack) -> _Written:
        with self._encoding:
            frames = full.frames
            # Its bytes are not held twice: on a slow line they are held for long.
            pack, parts, locations = encode_body(frames, [bytes(full.taken().body)], self._sealer)
            size = sum(len(part) for part in parts)
            data: Data = parts
            if self._at_once > 1:
                # Else an object store would join them, and hold both.
                data = b"".join(parts)
                parts.clear()
        self.written.add(pack)
        self._store.put(pack_name(pack), data)
        if not self._frames_at_once:
            self._index.add_pack(pack, size, locations)
            self._on_indexed(frames)
        return pack, size, locations
