"""Reading chunks: located, read, decompressed and hashed, ahead of the reader on threads."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

from blake3 import blake3

from pgsnap.codecs.zstd import decompress, decompress_chain
from pgsnap.errors import CorruptionError, ObjectNotFound, SnapError
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, DELTA_DEPTH_MAX, PLAIN_BYTES_MAX
from pgsnap.model import ChunkId, Codec, Location
from pgsnap.repository.arenas import keep_freed_chunks
from pgsnap.repository.chains import Chains
from pgsnap.repository.index import Index
from pgsnap.stores.base import Store

_Mark = TypeVar("_Mark")
_NOTHING_NEAR: Mapping[ChunkId, bytes] = {}
# Chunks whose chains are asked for at once. In a batch may be thousands of small chunks, each with
# its own.
CHAINS_AT_ONCE = 64
_VERIFY = "See what else is damaged, and what mends it: snap verify --data"


class ChunkReader:
    """Reads chunks by name. What it returns was hashed against the name."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def read(self, chunk: ChunkId, chains: Chains | None = None) -> bytes:
        """Return a chunk. Raises CorruptionError, naming it.

        *chains* is what `chains` says of it, where it was asked for several chunks at once.
        """
        if chains is None:
            chains = self.chains([chunk])
        return self._decode(chunk, chains, DELTA_DEPTH_MAX, _NOTHING_NEAR)

    def chains(self, chunks: Sequence[ChunkId]) -> Chains:
        """Return where *chunks* are, for `read`, with what they are read through read ahead."""
        chains = Chains(self._index.chains(chunks))
        chains.read_ahead(self._store, chunks)
        return chains

    def read_ahead(
        self, wanted: Iterable[tuple[_Mark, ChunkId | None, int]]
    ) -> Generator[tuple[_Mark, bytes]]:
        """Yield the chunks of *wanted* (mark, chunk, its size) in order, each with its mark.

        Where the chunk is None the bytes are empty: such marks tell where something begins or
        ends. At most some BATCHES_IN_FLIGHT times BATCH_BYTES are held.
        """
        keep_freed_chunks()
        batches = _batches(wanted)
        first = list(islice(batches, 2))
        if len(first) < 2:
            # To start threads takes longer than to read a few chunks.
            for batch in first:
                yield from self._read_batch(batch)
            return
        workers = min(os.cpu_count() or 2, BATCHES_IN_FLIGHT)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="snap-read")
        under_way: deque[Future[list[tuple[_Mark, bytes]]]] = deque()
        try:
            for batch in chain(first, batches):
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
        result = []
        # Two versions of a table read side by side: the base of one is a chunk of the other.
        near: dict[ChunkId, bytes] = {}
        for start in range(0, len(batch), CHAINS_AT_ONCE):
            some = batch[start : start + CHAINS_AT_ONCE]
            chains = self.chains(list({chunk for _, chunk, _ in some if chunk is not None}))
            for mark, chunk, _ in some:
                data = b""
                if chunk is not None:
                    data = near[chunk] = self._decode(chunk, chains, DELTA_DEPTH_MAX, near)
                result.append((mark, data))
        return result

    def _decode(
        self, chunk: ChunkId, chains: Chains, depth: int, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        """Return *chunk* through the first of its frames that is sound and less deep than *depth*
        (so that a cycle of deltas ends). *near* are chunks that were decoded already."""
        failure: SnapError | None = None
        for location in chains.of(chunk):
            if location.frame.depth >= depth and location.frame.base is not None:
                continue
            if location.frame.base is not None:
                # What a sound chunk was decoded through is sound: hashing every base would take
                # as long as decoding it. Only where something is wrong each of them is hashed.
                with contextlib.suppress(CorruptionError, ObjectNotFound):
                    return self._check(location, self._unchecked(location, chains, near))
            try:
                return self._decode_frame(location, chains, near)
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
        self, location: Location, chains: Chains, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        base = location.frame.base
        plain = None
        if base is not None and (plain := near.get(base)) is None:
            plain = self._decode(base, chains, location.frame.depth, near)
        return self._check(location, self._decompress(location, chains, plain))

    def _unchecked(
        self, location: Location, chains: Chains, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        """Return what a frame holds, through the first frame of each base, none of it hashed."""
        path = chains.path(location, near)
        path.reverse()
        base = path[0].frame.base
        plain = None if base is None else near[base]
        if base is None and [below.frame.codec for below in path] == _codecs_of_a_chain(len(path)):
            frames = [self._frame(below, chains) for below in path]
            return decompress_chain(frames, [below.frame.chunk_bytes for below in path])
        for below in path:
            plain = self._decompress(below, chains, plain)
        assert plain is not None
        return plain

    def _decompress(self, location: Location, chains: Chains, base: bytes | None) -> bytes:
        data = self._frame(location, chains)
        return decompress(location.frame.codec, data, location.frame.chunk_bytes, base)

    def _frame(self, location: Location, chains: Chains) -> bytes:
        frame = location.frame
        if frame.chunk_bytes > PLAIN_BYTES_MAX or frame.frame_bytes > PLAIN_BYTES_MAX:
            raise CorruptionError("a pack's table claims a frame that is too large")
        return chains.frame(self._store, location)

    def check_frame(self, location: Location, data: bytes, bases: Chains | None = None) -> bytes:
        """Return the chunk of a frame whose bytes are *data*; *bases* is what `chains` says of its
        base. Raises CorruptionError."""
        base = location.frame.base
        return self.decode(location, data, None if base is None else self.read(base, bases))

    def lacks_base(self, location: Location) -> bool:
        """Tell whether a frame is sound and useless: a base that it is read through is gone."""
        base = location.frame.base
        return base is not None and not self._index.with_bases([base])

    @classmethod
    def decode(cls, location: Location, data: bytes, base: bytes | None) -> bytes:
        """Return the chunk of a frame, hashed. Raises CorruptionError."""
        frame = location.frame
        return cls._check(location, decompress(frame.codec, data, frame.chunk_bytes, base))

    @staticmethod
    def _check(location: Location, plain: bytes) -> bytes:
        if blake3(plain).digest() != location.frame.chunk:
            raise CorruptionError(
                f"a frame of pack {location.pack.hex()[:12]} does not hash to its chunk's name"
            )
        return plain


def _codecs_of_a_chain(length: int) -> list[Codec]:
    return [Codec.ZSTD, *[Codec.ZSTD_DELTA] * (length - 1)]


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
