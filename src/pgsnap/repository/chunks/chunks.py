"""Reading chunks: locating, reading, decompressing and hashing them, in advance and on threads."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pgsnap import interrupts
from pgsnap.codecs.zstd import decompress, decompress_chain
from pgsnap.errors import CorruptionError, ObjectNotFound, SnapError
from pgsnap.limits import (
    BATCH_BYTES,
    BATCHES_IN_FLIGHT,
    DELTA_DEPTH_MAX,
    PLAIN_BYTES_MAX,
    SEAL_BYTES,
)
from pgsnap.model import ChunkId, Codec, Frame, Location
from pgsnap.repository.chunks.arenas import keep_freed_chunks
from pgsnap.repository.chunks.chains import AHEAD_BYTES_MAX, Chains
from pgsnap.repository.index.index import Index
from pgsnap.repository.scopes import aside, threads
from pgsnap.sealing.scheme import PLAIN, Scheme
from pgsnap.stores.base import Store

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_Mark = TypeVar("_Mark")
_Bytes = TypeVar("_Bytes", bytes, memoryview)
_Batch: TypeAlias = Sequence[tuple[_Mark, ChunkId | None, int]]
_Read: TypeAlias = list[tuple[_Mark, bytes]]
_NOTHING_NEAR: Mapping[ChunkId, bytes] = {}
# Number of chunks whose chains are looked up at once. A batch may have thousands of small chunks,
# each with its own chain.
CHAINS_AT_ONCE = 64
# Maximum size of a chain, a plain frame and its deltas, that is held at once.
_CHAIN_BYTES_MAX = 2 * PLAIN_BYTES_MAX
_VERIFY = "See what else is damaged, and what mends it: snap verify --data"


class ChunkReader:
    """Reads chunks by name. Every chunk returned has been checked against its hash. *transfers* is
    the place's."""

    def __init__(
        self, store: Store, index: Index, scheme: Scheme = PLAIN, transfers: int = 1
    ) -> None:
        self._store = store
        self._index = index
        self.scheme = scheme
        self.transfers = transfers

    def read(
        self, chunk: ChunkId, plain_bytes: int | None = None, chains: Chains | None = None
    ) -> bytes:
        """Return a chunk, of *plain_bytes* bytes if that is known. Raises CorruptionError, which
        names it.

        *chains* is the result of `chains`, if that was called for several chunks at once.
        """
        if chains is None:
            chains = self.chains([chunk])
        if plain_bytes is not None:
            _check_size(chunk, plain_bytes, chains)
        return self._decode(chunk, chains, DELTA_DEPTH_MAX, _NOTHING_NEAR)

    def chains(self, chunks: Sequence[ChunkId]) -> Chains:
        """Return the frames of *chunks* for `read`, with those needed to decode them already
        read."""
        chains = Chains(self.places(chunks))
        aside(chains.read_ahead, self._store, chunks)
        return chains

    def chains_of_known(self, chunks: Sequence[ChunkId]) -> Chains:
        """Return the same for those of *chunks* that are known to be sound, with all their
        bases."""
        chains = Chains(self._index.chains_of_known(chunks))
        aside(chains.read_ahead, self._store, chunks)
        return chains

    def places(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the frames of *chunks* and of every base in their chains, least depth first."""
        return self._index.chains(chunks)

    def read_ahead(
        self, wanted: Iterable[tuple[_Mark, ChunkId | None, int]], *, exact: bool = False
    ) -> Generator[tuple[_Mark, bytes]]:
        """Yield the chunks of *wanted* (mark, chunk, its size) in order, each with its mark.

        If the chunk is None the bytes are empty: such marks show where something begins or ends.
        About BATCHES_IN_FLIGHT times BATCH_BYTES are held at most, whatever *wanted* says: its
        sizes are guesses. If they are *exact*, one that differs from the chunk's is damage. From a
        remote store the frames of as many batches as *transfers* are read before. Raises
        CorruptionError.
        """
        keep_freed_chunks()
        batches = _batches(wanted)
        first = list(islice(batches, 2))
        if len(first) < 2:
            # Starting threads takes longer than reading a few chunks.
            for one in first:
                yield from self._all_of([], one, exact)
            return
        workers = min(os.cpu_count() or 2, BATCHES_IN_FLIGHT)
        under_way: deque[Future[tuple[_Read[_Mark], _Batch[_Mark]]]] = deque()
        with (
            threads(self.transfers, "snap-fetch") as fetching,
            threads(workers, "snap-read") as pool,
        ):
            for batch, fetched in self._fetched_ahead(chain(first, batches), fetching):
                under_way.append(pool.submit(self._read_batch, batch, exact, fetched))
                if len(under_way) >= BATCHES_IN_FLIGHT:
                    yield from self._all_of(*interrupts.result(under_way.popleft()), exact)
            while under_way:
                yield from self._all_of(*interrupts.result(under_way.popleft()), exact)

    def _fetched_ahead(
        self, batches: Iterable[_Batch[_Mark]], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[_Batch[_Mark], Future[list[Chains]] | None]]:
        """Yield *batches*, each with what reads its frames meanwhile: of a folder nothing does."""
        if self.transfers == 1:
            yield from ((batch, None) for batch in batches)
            return
        ahead: deque[tuple[_Batch[_Mark], Future[list[Chains]]]] = deque()
        for batch in batches:
            ahead.append((batch, pool.submit(self._fetch, batch)))
            if len(ahead) > self.transfers:
                yield ahead.popleft()
        yield from ahead

    def _fetch(self, batch: _Batch[_Mark]) -> list[Chains]:
        """Return the chains of a batch, some chunks at a time, as far as they may be held."""
        found: list[Chains] = []
        held = 0
        for some in _groups(batch):
            if held > AHEAD_BYTES_MAX:
                break
            found.append(self._chains_of(some))
            held += found[-1].held_bytes
        return found

    def _chains_of(self, some: _Batch[_Mark]) -> Chains:
        return self.chains(list({chunk for _, chunk, _ in some if chunk is not None}))

    def _all_of(
        self, found: _Read[_Mark], rest: _Batch[_Mark], exact: bool
    ) -> Iterator[tuple[_Mark, bytes]]:
        yield from found
        while rest:
            found, rest = self._read_batch(rest, exact)
            yield from found

    def _read_batch(
        self, batch: _Batch[_Mark], exact: bool, fetched: Future[list[Chains]] | None = None
    ) -> tuple[_Read[_Mark], _Batch[_Mark]]:
        """Return a batch's chunks, and the rest of the batch: it may be larger than guessed. Some
        of its chains may have been *fetched*."""
        result: _Read[_Mark] = []
        held = 0
        # Two versions of a table are read side by side: a base in one is a chunk of the other.
        near: dict[ChunkId, bytes] = {}
        ready = iter(fetched.result() if fetched is not None else [])
        for some in _groups(batch):
            chains = next(ready, None) or self._chains_of(some)
            inside = {chunk for _, chunk, _ in some if chunk is not None}
            for mark, chunk, size in some:
                data = b""
                if chunk is not None:
                    if held > 2 * BATCH_BYTES:
                        return result, batch[len(result) :]
                    if exact:
                        _check_size(chunk, size, chains)
                    self._decode_bases(chunk, chains, inside, near)
                    if chunk not in near:
                        near[chunk] = self._decode(chunk, chains, DELTA_DEPTH_MAX, near)
                    data = near[chunk]
                    held += len(data)
                result.append((mark, data))
        return result, []

    def _decode_bases(
        self, chunk: ChunkId, chains: Chains, inside: Container[ChunkId], near: dict[ChunkId, bytes]
    ) -> None:
        """Decode the nearest base of *chunk* that is wanted as well (*inside*), but comes after it:
        so the chain below is decoded once. Where it cannot be, its own turn says so."""
        for first in chains.of(chunk)[:1]:
            with contextlib.suppress(CorruptionError, ObjectNotFound):
                for location in chains.path(first, near)[1:]:
                    base = location.frame.chunk
                    if base in inside:
                        self._decode_bases(base, chains, inside, near)
                        near[base] = self._decode(base, chains, DELTA_DEPTH_MAX, near)
                        return

    def _decode(
        self,
        chunk: ChunkId,
        chains: Chains,
        depth: int,
        near: Mapping[ChunkId, bytes],
        failed: dict[ChunkId, int] | None = None,
    ) -> bytes:
        """Return *chunk*, decoded from the first sound frame with a depth below *depth* (so that a
        cycle of deltas ends). *near* are chunks decoded already, *failed* those that could not be,
        and below which depth: none is tried twice."""
        failed = {} if failed is None else failed
        if failed.get(chunk, -1) >= depth:
            raise CorruptionError(f"chunk {chunk.hex()[:12]} is damaged", hint=_VERIFY)
        failure: SnapError | None = None
        for location in chains.of(chunk):
            if location.frame.depth >= depth and location.frame.base is not None:
                continue
            if location.frame.base is not None:
                # If the decoded chunk is sound, so are its bases: hashing every base would take as
                # long as decoding it. Each of them is hashed only if something is wrong.
                with contextlib.suppress(CorruptionError, ObjectNotFound):
                    return self.check(location, self._unchecked(location, chains, near))
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
        return self.check(location, self._decompress(location, chains, plain))

    def _unchecked(
        self, location: Location, chains: Chains, near: Mapping[ChunkId, bytes]
    ) -> bytes:
        """Return a frame's content, decoded through the first frame of each base, unverified."""
        path = chains.path(location, near)
        path.reverse()
        base = path[0].frame.base
        plain = None if base is None else near[base]
        first = 0
        if base is None:
            # All frames of a chain are held at once, so only if they are small.
            first = _length_of_chain(path)
            frames = [self.frame(below, chains) for below in path[:first]]
            if frames:
                sizes = [below.frame.chunk_bytes for below in path[:first]]
                plain = aside(decompress_chain, frames, sizes)
        for below in path[first:]:
            plain = self._decompress(below, chains, plain)
        assert plain is not None
        return plain

    def _decompress(self, location: Location, chains: Chains, base: bytes | None) -> bytes:
        data = self.frame(location, chains)
        return decompress(location.frame.codec, data, location.frame.chunk_bytes, base)

    def frame(self, location: Location, chains: Chains) -> bytes:
        """Return the frame at *location*, opened if it is sealed. Raises CorruptionError,
        ObjectNotFound."""
        frame = location.frame
        if frame.chunk_bytes > PLAIN_BYTES_MAX or frame.frame_bytes > PLAIN_BYTES_MAX + SEAL_BYTES:
            raise CorruptionError("a pack's table claims a frame that is too large")
        return self.opened(location, chains.frame(self._store, location))[1]

    def opened(self, location: Location, data: _Bytes) -> tuple[Frame, _Bytes | bytes]:
        """Return the frame at *location*, whose stored bytes are *data*, and its own bytes: the
        same unless it is sealed. Raises CorruptionError."""
        sealer = self.scheme.packs
        if sealer is not None:
            return sealer.open(location, data)
        if location.seal is not None:
            raise CorruptionError(
                f"a frame of pack {location.pack.hex()[:12]} is sealed",
                detail="The repository is not encrypted.",
            )
        return location.frame, data

    def check_frame(
        self, location: Location, data: bytes, bases: Chains | None = None
    ) -> tuple[Frame, bytes]:
        """Return the same as `opened` for a frame that yields its chunk; *bases* is the result of
        `chains` for its base. Raises CorruptionError."""
        frame, packed = self.opened(location, data)
        base = None if frame.base is None else self.read(frame.base, chains=bases)
        self.check(location, decompress(frame.codec, packed, frame.chunk_bytes, base))
        return frame, packed

    def lacks_base(self, location: Location) -> bool:
        """Return whether a frame is sound but useless, because a base in its chain is gone."""
        base = location.frame.base
        return base is not None and not self._index.with_bases([base])

    def check(self, location: Location, plain: bytes) -> bytes:
        """Return *plain* if it is the chunk of the frame at *location*. Raises CorruptionError."""
        if aside(self.scheme.naming.name, plain) != location.frame.chunk:
            raise CorruptionError(
                f"a frame of pack {location.pack.hex()[:12]} does not hash to its chunk's name"
            )
        return plain


def _check_size(chunk: ChunkId, plain_bytes: int, chains: Chains) -> None:
    """Raise CorruptionError if a list gives a chunk a different size than the packs do: a reader
    that trusts it would hold much more memory than it expects."""
    frames = chains.of(chunk)
    if frames and all(location.frame.chunk_bytes != plain_bytes for location in frames):
        size = frames[0].frame.chunk_bytes
        raise CorruptionError(
            f"chunk {chunk.hex()[:12]} has another size than a recipe says",
            detail=f"Its pack has {size} bytes of it, the recipe {plain_bytes}.",
            hint=_VERIFY,
        )


def _length_of_chain(path: Sequence[Location]) -> int:
    """Return how many of the first frames are a chain of zstd frames; 0 if they are too large."""
    size = count = 0
    for location in path:
        if location.frame.codec is not (Codec.ZSTD_DELTA if count else Codec.ZSTD):
            break
        size += location.frame.frame_bytes
        count += 1
    return count if size <= _CHAIN_BYTES_MAX else 0


def _groups(batch: _Batch[_Mark]) -> Iterator[_Batch[_Mark]]:
    """Yield a batch in groups of chunks whose chains are looked up at once."""
    for start in range(0, len(batch), CHAINS_AT_ONCE):
        yield batch[start : start + CHAINS_AT_ONCE]


def _batches(
    wanted: Iterable[tuple[_Mark, ChunkId | None, int]],
) -> Iterator[list[tuple[_Mark, ChunkId | None, int]]]:
    batch: list[tuple[_Mark, ChunkId | None, int]] = []
    size = 0
    for item in wanted:
        batch.append(item)
        # A mark costs memory too; otherwise a million empty sections would be one batch.
        size += item[2] + 1024
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
