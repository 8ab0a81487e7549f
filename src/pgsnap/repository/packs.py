"""Writing packs: frames are collected, made durable as one object, then indexed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pgsnap.format.pack import encode_body
from pgsnap.limits import PACK_FRAMES_MAX
from pgsnap.model import Frame, PackId
from pgsnap.repository.index import Index
from pgsnap.repository.layout import pack_name
from pgsnap.stores.base import Store


class PackWriter:
    """Fills one pack while the one before is being made durable. Not for several threads.

    Order: the pack is durable, then it is indexed, then `on_indexed` hears of its chunks.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        pack_bytes: int,
        on_indexed: Callable[[list[Frame]], None],
    ) -> None:
        self._store = store
        self._index = index
        self._pack_bytes = pack_bytes
        self._on_indexed = on_indexed
        self._frames: list[Frame] = []
        # One block of memory: thousands of small deltas that are held while chunks come and go
        # between them would keep the memory of those from being used again.
        self._body = bytearray()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snap-pack")
        self._under_way: Future[None] | None = None
        self.stored_bytes = 0
        self.stored_frames = 0
        # A pack that is written anew may come out as one that was there.
        self.written: set[PackId] = set()

    def add(self, frame: Frame, data: bytes) -> None:
        """Take a frame. Raises what the writing of an earlier pack raised."""
        self._frames.append(frame)
        self._body += data
        if len(self._body) >= self._pack_bytes or len(self._frames) >= PACK_FRAMES_MAX:
            self._start()

    def finish(self) -> None:
        """Return when every frame is durable and indexed."""
        if self._frames:
            self._start()
        self._wait()
        self._thread.shutdown()

    def abandon(self) -> None:
        """Give up: what is not durable yet never will be."""
        self._frames.clear()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        self._wait()
        frames, self._frames = self._frames, []
        body, self._body = bytes(self._body), bytearray()
        self._under_way = self._thread.submit(self._write, frames, body)

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _write(self, frames: list[Frame], body: bytes) -> None:
        pack, parts, locations = encode_body(frames, [body])
        self.written.add(pack)
        self._store.put(pack_name(pack), parts)
        size = sum(len(part) for part in parts)
        self._index.add_pack(pack, size, locations)
        self.stored_bytes += size
        self.stored_frames += len(frames)
        self._on_indexed(frames)
