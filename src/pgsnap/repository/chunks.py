"""Reading chunks: located, read, decompressed and hashed, ahead of the reader on threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from blake3 import blake3

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError, ObjectNotFound, SnapError
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, DELTA_DEPTH_MAX, PLAIN_BYTES_MAX
from pgsnap.model import ChunkId, Location
from pgsnap.repository.index import Index
from pgsnap.repository.layout import pack_name
from pgsnap.stores.base import Store

_Mark = TypeVar("_Mark")
_NOTHING_NEAR: Mapping[ChunkId, bytes] = {}
_VERIFY = "See what else is damaged, and what mends it: snap verify --data"


class ChunkReader:
    """Reads chunks by name. What it returns was hashed against the name."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def read(self, chunk: ChunkId) -> bytes:
        """Return a chunk. Raises CorruptionError, naming it."""
        return self._decode(chunk, self._index.locations([chunk]).get(chunk, []), DELTA_DEPTH_MAX)

    def read_ahead(
        self, wanted: Iterable[tuple[_Mark, ChunkId | None, int]]
    ) -> Iterator[tuple[_Mark, bytes]]:
        """Yield the chunks of *wanted* (mark, chunk, its size) in order, each with its mark.

        Where the chunk is None the bytes are empty: such marks tell where something begins or
        ends. At most some BATCHES_IN_FLIGHT times BATCH_BYTES are held.
        """
        pool = ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="snap-read")
        under_way: deque[Future[list[tuple[_Mark, bytes]]]] = deque()
        try:
            for batch in _batches(wanted):
                under_way.append(pool.submit(self._read_batch, batch))
                if len(under_way) >= BATCHES_IN_FLIGHT:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read_batch(
        self, batch: Sequence[tuple[_Mark, ChunkId | None, int]]
    ) -> list[tuple[_Mark, bytes]]:
        found = self._index.locations(list({chunk for _, chunk, _ in batch if chunk is not None}))
        result = []
        # Two versions of a table read side by side: the base of one is a chunk of the other.
        near: dict[ChunkId, bytes] = {}
        for mark, chunk, _ in batch:
            data = b""
            if chunk is not None:
                data = self._decode(chunk, found.get(chunk, []), DELTA_DEPTH_MAX, near)
                near[chunk] = data
            result.append((mark, data))
        return result

    def _decode(
        self,
        chunk: ChunkId,
        locations: Sequence[Location],
        depth: int,
        near: Mapping[ChunkId, bytes] = _NOTHING_NEAR,
    ) -> bytes:
        """Return *chunk* through the first of *locations* that is sound and less deep than
        *depth* (so that a cycle of deltas ends). *near* are chunks that were decoded already."""
        failure: SnapError | None = None
        for location in locations:
            if location.frame.depth >= depth and location.frame.base is not None:
                continue
            try:
                return self._decode_frame(chunk, location, near)
            except (CorruptionError, ObjectNotFound) as error:
                failure = failure or error
        name = chunk.hex()[:12]
        if failure is None:
            raise CorruptionError(
                f"chunk {name} is missing", detail="No sound pack holds it.", hint=_VERIFY
            )
        detail = f"{failure.message[:1].upper()}{failure.message[1:]}."
        raise CorruptionError(f"chunk {name} is damaged", detail=detail, hint=_VERIFY) from failure

    def _decode_frame(
        self, chunk: ChunkId, location: Location, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        frame = location.frame
        if frame.chunk_bytes > PLAIN_BYTES_MAX or frame.frame_bytes > PLAIN_BYTES_MAX:
            raise CorruptionError("a pack's table claims a frame that is too large")
        base = None
        if frame.base is not None and (base := near.get(frame.base)) is None:
            bases = self._index.locations([frame.base]).get(frame.base, [])
            base = self._decode(frame.base, bases, frame.depth, near)
        data = self._store.get(pack_name(location.pack), location.offset, frame.frame_bytes)
        return self.decode(location, data, base)

    def check_frame(self, location: Location, data: bytes) -> bytes:
        """Return the chunk of a frame whose bytes are *data*. Raises CorruptionError."""
        base = location.frame.base
        return self.decode(location, data, None if base is None else self.read(base))

    def lacks_base(self, location: Location) -> bool:
        """Tell whether a frame is sound and useless: a base that it is read through is gone."""
        base = location.frame.base
        return base is not None and not self._index.with_bases([base])

    @staticmethod
    def decode(location: Location, data: bytes, base: bytes | None) -> bytes:
        """Return the chunk of a frame, hashed. Raises CorruptionError."""
        frame = location.frame
        chunk = frame.chunk
        plain = decompress(frame.codec, data, frame.chunk_bytes, base)
        if blake3(plain).digest() != chunk:
            raise CorruptionError(
                f"a frame of pack {location.pack.hex()[:12]} does not hash to its chunk's name"
            )
        return plain


def _batches(
    wanted: Iterable[tuple[_Mark, ChunkId | None, int]],
) -> Iterator[list[tuple[_Mark, ChunkId | None, int]]]:
    batch: list[tuple[_Mark, ChunkId | None, int]] = []
    size = 0
    for item in wanted:
        batch.append(item)
        # A mark costs something too, or a million empty sections would make one batch.
        size += item[2] + 1024
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
