"""Reading chunks: located, read, decompressed and hashed, ahead of the reader on threads."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from typing import TypeAlias, TypeVar

from blake3 import blake3

from pgsnap import interrupts
from pgsnap.codecs.zstd import decompress, decompress_chain
from pgsnap.errors import CorruptionError, ObjectNotFound, SnapError
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, DELTA_DEPTH_MAX, PLAIN_BYTES_MAX
from pgsnap.model import ChunkId, Codec, Location
from pgsnap.repository.chunks.arenas import keep_freed_chunks
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.index.index import Index
from pgsnap.repository.scopes import threads
from pgsnap.stores.base import Store

_Mark = TypeVar("_Mark")
_Batch: TypeAlias = Sequence[tuple[_Mark, ChunkId | None, int]]
_Read: TypeAlias = list[tuple[_Mark, bytes]]
_NOTHING_NEAR: Mapping[ChunkId, bytes] = {}
# Chunks whose chains are asked for at once. In a batch may be thousands of small chunks, each with
# its own.
CHAINS_AT_ONCE = 64
# A chain of a chunk and its deltas.
_CHAIN_BYTES_MAX = 2 * PLAIN_BYTES_MAX
_VERIFY = "See what else is damaged, and what mends it: snap verify --data"


class ChunkReader:
    """Reads chunks by name. What it returns was hashed against the name."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def read(
        self, chunk: ChunkId, plain_bytes: int | None = None, chains: Chains | None = None
    ) -> bytes:
        """Return a chunk, of *plain_bytes* bytes where that is known. Raises CorruptionError,
        naming it.

        *chains* is what `chains` says of it, where it was asked for several chunks at once.
        """
        if chains is None:
            chains = self.chains([chunk])
        if plain_bytes is not None:
            _check_size(chunk, plain_bytes, chains)
        return self._decode(chunk, chains, DELTA_DEPTH_MAX, _NOTHING_NEAR)

    def chains(self, chunks: Sequence[ChunkId]) -> Chains:
        """Return where *chunks* are, for `read`, with what they are read through read ahead."""
        chains = Chains(self._index.chains(chunks))
        chains.read_ahead(self._store, chunks)
        return chains

    def read_ahead(
        self, wanted: Iterable[tuple[_Mark, ChunkId | None, int]], *, exact: bool = False
    ) -> Generator[tuple[_Mark, bytes]]:
        """Yield the chunks of *wanted* (mark, chunk, its size) in order, each with its mark.

        Where the chunk is None the bytes are empty: such marks tell where something begins or
        ends. At most some BATCHES_IN_FLIGHT times BATCH_BYTES are held, whatever *wanted* says:
        its sizes are guesses. Where they are to be *exact*, one that is not the chunk's is damage.
        Raises CorruptionError.
        """
        keep_freed_chunks()
        batches = _batches(wanted)
        first = list(islice(batches, 2))
        if len(first) < 2:
            # To start threads takes longer than to read a few chunks.
            for batch in first:
                yield from self._all_of([], batch, exact)
            return
        workers = min(os.cpu_count() or 2, BATCHES_IN_FLIGHT)
        under_way: deque[Future[tuple[_Read[_Mark], _Batch[_Mark]]]] = deque()
        with threads(workers, "snap-read") as pool:
            for batch in chain(first, batches):
                under_way.append(pool.submit(self._read_batch, batch, exact))
                if len(under_way) >= BATCHES_IN_FLIGHT:
                    yield from self._all_of(*interrupts.result(under_way.popleft()), exact)
            while under_way:
                yield from self._all_of(*interrupts.result(under_way.popleft()), exact)

    def _all_of(
        self, found: _Read[_Mark], rest: _Batch[_Mark], exact: bool
    ) -> Iterator[tuple[_Mark, bytes]]:
        yield from found
        while rest:
            found, rest = self._read_batch(rest, exact)
            yield from found

    def _read_batch(self, batch: _Batch[_Mark], exact: bool) -> tuple[_Read[_Mark], _Batch[_Mark]]:
        """Return the chunks of a batch, and what of it is left: it may be larger than guessed."""
        result: _Read[_Mark] = []
        held = 0
        # Two versions of a table read side by side: the base of one is a chunk of the other.
        near: dict[ChunkId, bytes] = {}
        for start in range(0, len(batch), CHAINS_AT_ONCE):
            some = batch[start : start + CHAINS_AT_ONCE]
            chains = self.chains(list({chunk for _, chunk, _ in some if chunk is not None}))
            for number, (mark, chunk, size) in enumerate(some, start):
                data = b""
                if chunk is not None:
                    if held > 2 * BATCH_BYTES:
                        return result, batch[number:]
                    if exact:
                        _check_size(chunk, size, chains)
                    data = near[chunk] = self._decode(chunk, chains, DELTA_DEPTH_MAX, near)
                    held += len(data)
                result.append((mark, data))
        return result, []

    def _decode(
        self,
        chunk: ChunkId,
        chains: Chains,
        depth: int,
        near: Mapping[ChunkId, bytes],
        failed: dict[ChunkId, int] | None = None,
    ) -> bytes:
        """Return *chunk* through the first of its frames that is sound and less deep than *depth*
        (so that a cycle of deltas ends). *near* are chunks that were decoded already, *failed*
        those that could not be, and below which depth: none is tried twice."""
        failed = {} if failed is None else failed
        if failed.get(chunk, -1) >= depth:
            raise CorruptionError(f"chunk {chunk.hex()[:12]} is damaged", hint=_VERIFY)
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
                return self._decode_frame(location, chains, near, failed)
            except (CorruptionError, ObjectNotFound) as error:
                failure = failure or error
        failed[chunk] = depth
        name = chunk.hex()[:12]
        if failure is None:
            raise CorruptionError(
                f"chunk {name} is missing", detail="No sound pack holds it.", hint=_VERIFY
            )
        detail = f"{failure.message[:1].upper()}{failure.message[1:]}."
        raise CorruptionError(f"chunk {name} is damaged", detail=detail, hint=_VERIFY) from failure

    def _decode_frame(
        self,
        location: Location,
        chains: Chains,
        near: Mapping[ChunkId, bytes],
        failed: dict[ChunkId, int],
    ) -> bytes:
        base = location.frame.base
        plain = None
        if base is not None and (plain := near.get(base)) is None:
            plain = self._decode(base, chains, location.frame.depth, near, failed)
        return self._check(location, self._decompress(location, chains, plain))

    def _unchecked(
        self, location: Location, chains: Chains, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        """Return what a frame holds, through the first frame of each base, none of it hashed."""
        path = chains.path(location, near)
        path.reverse()
        base = path[0].frame.base
        plain = None if base is None else near[base]
        # All of a chain's frames are held at once, so only where that is little.
        is_small = sum(below.frame.frame_bytes for below in path) <= _CHAIN_BYTES_MAX
        codecs = [below.frame.codec for below in path]
        if base is None and is_small and codecs == _codecs_of_a_chain(len(path)):
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
        plain = None if base is None else self.read(base, chains=bases)
        return self.decode(location, data, plain)

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


def _check_size(chunk: ChunkId, plain_bytes: int, chains: Chains) -> None:
    """Raise CorruptionError where a list gives a chunk another size than the packs do: who trusts
    it would hold much more than it thinks."""
    frames = chains.of(chunk)
    if frames and all(location.frame.chunk_bytes != plain_bytes for location in frames):
        size = frames[0].frame.chunk_bytes
        raise CorruptionError(
            f"chunk {chunk.hex()[:12]} has another size than a recipe says",
            detail=f"Its pack has {size} bytes of it, the recipe {plain_bytes}.",
            hint=_VERIFY,
        )


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
