"""Storing a dump: cut into chunks, hashed and compressed on threads, written by one writer.

events -> RowChunker -> batches -> [pool: hash, known?, base?, compress] -> in order -> packs
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from blake3 import blake3

from pgsnap import interrupts
from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.chunking.sketch import NO_SKETCH
from pgsnap.errors import CorruptionError
from pgsnap.format.sections import SectionTable, decode_piece
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, KIB
from pgsnap.model import (
    ChunkId,
    ChunkKind,
    DumpEvent,
    Frame,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionEnd,
    SectionName,
    SectionStart,
    Segment,
    Snapshot,
)
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.arenas import keep_freed_chunks
from pgsnap.repository.chunks.bases import Bases, SectionBases
from pgsnap.repository.chunks.chunks import CHAINS_AT_ONCE
from pgsnap.repository.chunks.recipes import RecipeBuilder
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.scopes import FinishedOrAbandoned

_WORKER_NICENESS = 10
# A shorter list of chunks or sections is stored plain: a delta would save little, and the loss of
# an older pack would take with it what tells which tables are lost.
_LIST_DELTA_BYTES_MIN = 8 * KIB

# What a chunk, or a section's end, of a batch takes of our memory beside its bytes.
_ITEM_BYTES = 1 * KIB
# A hasher takes 2 kB: that of a section goes when it ends.
_ENDED = blake3()

_Encoded: TypeAlias = "tuple[ChunkId, Frame | None, bytes]"


@dataclass(slots=True)
class _OpenSection:
    """A section whose chunks are still coming."""

    name: SectionName
    recipe: RecipeBuilder
    bases: SectionBases | None = None
    lines: int = 0
    hasher: blake3 = field(default_factory=blake3)
    end: SectionEnd | None = None
    digest: bytes = b""


@dataclass(slots=True)
class _Batch:
    """What goes to a worker: chunks, of which section each is, and the lines before it there; None
    marks a section's end."""

    items: list[tuple[_OpenSection, Chunk | None, int]] = field(default_factory=list)
    plain_bytes: int = 0


class Ingest(FinishedOrAbandoned):
    """Stores sections. Nothing that it writes is visible until a manifest names it.

    *earlier* are the snapshots that new chunks are compared with, best first. *beside_server*: what
    it is fed by is a server's work on this machine. One thread calls it.
    """

    def __init__(
        self,
        chunks: ChunkStore,
        earlier: Sequence[Snapshot] = (),
        progress: Progress = SILENT,
        *,
        beside_server: bool = False,
    ) -> None:
        self._index = chunks.index
        self._config = chunks.config
        self._progress = progress
        self._bases = Bases(chunks.reader, earlier)
        self._encoder = chunks.encoder()
        self._packs = chunks.writer(self._forget_claims)
        keep_freed_chunks()
        self._pool = ThreadPoolExecutor(
            min(os.cpu_count() or 2, BATCHES_IN_FLIGHT),
            thread_name_prefix="snap-store",
            initializer=_stand_back if beside_server else None,
        )
        # Chunks that this commit writes and that the index does not know yet.
        self._claimed: set[ChunkId] = set()
        self._claims = threading.Lock()
        self._under_way: deque[tuple[_Batch, Future[list[_Encoded]]]] = deque()
        self._sections = SectionTable()

    @property
    def stored_bytes(self) -> int:
        """What the packs took, once it was finished."""
        return self._packs.stored_bytes

    def store(self, events: Iterable[DumpEvent]) -> SectionTable:
        """Store a dump and return its sections. Raises what *events* raises."""
        chunker = RowChunker(self._config.chunker)
        batch = _Batch()
        section: _OpenSection | None = None
        for event in events:
            if isinstance(event, SectionStart):
                section = self._begin(event.name)
                chunker.reset(self._bases.expected(event.name))
            elif section is None:
                raise AssertionError("a dump's bytes come before its first section")
            elif isinstance(event, SectionEnd):
                self._take(batch, section, chunker.finish())
                section.end, section.digest = event, section.hasher.digest()
                section.hasher = _ENDED
                batch.items.append((section, None, 0))
                section = None
            else:
                section.hasher.update(event)
                self._take(batch, section, chunker.feed(event))
            # A section costs memory too: a dump may be two hundred thousand empty tables.
            if batch.plain_bytes + _ITEM_BYTES * len(batch.items) >= BATCH_BYTES:
                self._submit(batch)
                batch = _Batch()
        self._submit(batch)
        while self._under_way:
            self._collect()
        sections, self._sections = self._sections, SectionTable()
        return sections

    def _begin(self, name: SectionName) -> _OpenSection:
        bases = self._bases.of(name)

        def store_node(node: bytes, level: int, first_line: int) -> ChunkId:
            base = bases.node(level, first_line) if bases is not None else None
            return self._store_chunk(node, ChunkKind.RECIPE, base)

        return _OpenSection(name, RecipeBuilder(store_node), bases)

    def store_table(self, sections: SectionTable) -> RecipeRoot:
        """Store the section table, and return its recipe."""

        def store_node(node: bytes, level: int, first_line: int) -> ChunkId:
            return self._store_chunk(node, ChunkKind.RECIPE, None)

        recipe = RecipeBuilder(store_node)
        for piece, count in sections.pieces():
            base = self._bases.of_piece(next(decode_piece(piece)).name)
            chunk = self._store_chunk(piece, ChunkKind.SECTIONS, base)
            recipe.add(RecipeEntry(chunk, len(piece), count))
        return recipe.finish()

    def finish(self) -> None:
        """Return when all that was stored is durable and indexed."""
        self._packs.finish()
        self._pool.shutdown()

    def abandon(self) -> None:
        """Stop. What was written already is left for `snap gc`."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._packs.abandon()

    @staticmethod
    def _take(batch: _Batch, section: _OpenSection, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            batch.items.append((section, chunk, section.lines))
            batch.plain_bytes += len(chunk.data)
            section.lines += chunk.lines

    def _submit(self, batch: _Batch) -> None:
        if not batch.items:
            return
        while len(self._under_way) >= BATCHES_IN_FLIGHT:
            self._collect()
        self._under_way.append((batch, self._pool.submit(self._encode, batch)))
        # What is ready is taken at once, so that its memory is given back.
        while self._under_way and self._under_way[0][1].done():
            self._collect()

    def _collect(self) -> None:
        """Take the oldest batch's frames into packs and recipes."""
        batch, future = self._under_way.popleft()
        found = interrupts.result(future)
        encoded = iter(found)
        for section, chunk, _ in batch.items:
            if chunk is None:
                self._sections.add(_finished(section))
                continue
            name, frame, packed = next(encoded)
            if frame is not None:
                self._packs.add(frame, packed)
            sketch = chunk.sketch if chunk.sketch != NO_SKETCH else b""
            section.recipe.add(RecipeEntry(name, len(chunk.data), chunk.lines, sketch))
        self._progress.advance(batch.plain_bytes, str(batch.items[-1][0].name))

    def _store_chunk(self, data: bytes, kind: ChunkKind, base: ChunkId | None) -> ChunkId:
        name = blake3(data).digest()
        if len(data) < _LIST_DELTA_BYTES_MIN:
            base = None
        if self._claim([name]):
            bases = self._encoder.bases([base] if base is not None else [])
            self._packs.add(*self._encoder.encode(name, data, kind, base, bases))
        return name

    def _encode(self, batch: _Batch) -> list[_Encoded]:
        """Return each chunk's name, with its frame where the repository has none yet."""
        items = [
            (section, chunk, lines) for section, chunk, lines in batch.items if chunk is not None
        ]
        names = [chunk.name or blake3(chunk.data).digest() for _, chunk, _ in items]
        unknown = self._claim(names)
        like = _find_bases(items, names) if unknown else {}
        encoded: list[_Encoded] = []
        for start in range(0, len(items), CHAINS_AT_ONCE):
            some = names[start : start + CHAINS_AT_ONCE]
            bases = self._encoder.bases({like[name] for name in unknown.intersection(like, some)})
            for name, (_, chunk, _) in zip(some, items[start:], strict=False):
                if name not in unknown:
                    encoded.append((name, None, b""))
                    continue
                unknown.discard(name)
                frame, packed = self._encoder.encode(
                    name, chunk.data, ChunkKind.DATA, like.get(name), bases
                )
                encoded.append((name, frame, packed))
        return encoded

    def _claim(self, names: list[ChunkId]) -> set[ChunkId]:
        """Return those of *names* that this call is to write."""
        # Both are looked at in one go, or a chunk that is being indexed would be in neither.
        with self._claims:
            mine = set(names) - self._index.known(list(set(names))) - self._claimed
            self._claimed |= mine
        return mine

    def _forget_claims(self, frames: list[Frame]) -> None:
        """Hear that *frames* are in the index now."""
        with self._claims:
            self._claimed.difference_update(frame.chunk for frame in frames)


def _stand_back() -> None:
    """Let the server and pg_dump have a processor before this thread does.

    They are what a commit waits for; compression takes what they leave. A tenth less wall time on
    two processors, and other users of the machine feel it less.
    """
    if sys.platform == "linux":
        # On Linux each thread has a priority of its own. Under `nice -n 19` it is low enough, and
        # only root may raise it.
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _WORKER_NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, _WORKER_NICENESS)


def _find_bases(
    items: Sequence[tuple[_OpenSection, Chunk, int]], names: Sequence[ChunkId]
) -> dict[ChunkId, ChunkId]:
    """Return a base for each of the chunks *names* that has one."""
    found: dict[ChunkId, ChunkId] = {}
    for _, group in groupby(zip(names, items, strict=True), key=lambda pair: id(pair[1][0])):
        chunks = list(group)
        bases = chunks[0][1][0].bases
        if bases is not None:
            found |= bases.find((name, chunk.sketch, lines) for name, (_, chunk, lines) in chunks)
    return found


def _finished(section: _OpenSection) -> Section:
    recipe, end = section.recipe.finish(), section.end
    assert end is not None
    rows = None
    if end.is_copy:
        rows = recipe.lines - end.head_lines - end.tail_lines
        if rows < 0:
            raise CorruptionError(f"the rows of {section.name} cannot be counted")
    return Section(
        name=section.name,
        plain_bytes=recipe.plain_bytes,
        lines=recipe.lines,
        digest=section.digest,
        segments=(Segment(recipe),),
        rows=rows,
        head_bytes=end.head_bytes,
        tail_bytes=end.tail_bytes,
    )
