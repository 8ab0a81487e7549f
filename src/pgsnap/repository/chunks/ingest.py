"""Storing a dump: it is cut into chunks, which threads hash and compress and one writer writes.

events -> RowChunker -> batches -> [pool: hash, known?, base?, compress] -> in order -> packs
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from pgsnap import interrupts
from pgsnap.errors import CorruptionError
from pgsnap.format.sections import SectionTable, decode_piece
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, KIB
from pgsnap.model import (
    ChunkId,
    ChunkKind,
    Frame,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionChanged,
    SectionClaim,
    SectionEnd,
    SectionKept,
    SectionName,
    SectionStart,
    Segment,
    Snapshot,
    SourceEvent,
)
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.arenas import keep_freed_chunks
from pgsnap.repository.chunks.bases import Bases
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.chunks.chunks import CHAINS_AT_ONCE
from pgsnap.repository.chunks.deltas import Like
from pgsnap.repository.chunks.recipes import RecipeBuilder
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.scopes import FinishedOrAbandoned, aside
from pgsnap.repository.sections.leaf_lists import SectionLeaves, is_listed
from pgsnap.repository.sections.open_sections import (
    ENDED,
    Batch,
    OpenSection,
    Resumed,
    find_bases,
    stand_back,
)
from pgsnap.repository.sections.probing import still_holds
from pgsnap.repository.sections.side_streams import nearest, read_block_map
from pgsnap.repository.splicing.watching import SpliceWatch

if TYPE_CHECKING:
    from pgsnap.chunking.rows import Chunk, RowChunker

# A shorter list of chunks or sections is stored plain: a delta would save little, and with the loss
# of an older pack one could no longer find out which tables are lost.
_LIST_DELTA_BYTES_MIN = 8 * KIB

# Memory that a chunk, or a section's end, in a batch takes beside its bytes.
_ITEM_BYTES = 1 * KIB

_Encoded: TypeAlias = "tuple[ChunkId, Frame | None, bytes]"


class Ingest(FinishedOrAbandoned):
    """Stores sections. Nothing that it writes is visible until a manifest names it.

    *earlier* are the snapshots that new chunks are compared with, best first. *beside_server*: the
    dump comes from a server on this machine. *watch* sees what splices change. Not thread-safe.
    """

    def __init__(
        self,
        chunks: ChunkStore,
        earlier: Sequence[Snapshot] = (),
        progress: Progress = SILENT,
        *,
        beside_server: bool = False,
        watch: SpliceWatch | None = None,
    ) -> None:
        self._index = chunks.index
        self._watch = watch
        self.chunks = chunks
        self._name = chunks.scheme.naming.name
        self._progress = progress
        self._bases = Bases(chunks.reader, earlier)
        self._encoder = chunks.encoder()
        self._packs = chunks.writer(self._forget_claims, new_chunks=True)
        keep_freed_chunks()
        workers = min(os.cpu_count() or 2, BATCHES_IN_FLIGHT)
        initializer = stand_back if beside_server else None
        self._pool = ThreadPoolExecutor(workers, "snap-store", initializer)
        # Whoever splices works beside these. Neither pool has threads before it has work.
        self.splicers = ThreadPoolExecutor(max(workers - 1, 1), "snap-splice", initializer)
        # Chunks that this commit is writing and that are not in the index yet.
        self._claimed: set[ChunkId] = set()
        self._claims = threading.Lock()
        self._under_way: deque[tuple[Batch, Future[list[_Encoded]]]] = deque()
        self._sections = SectionTable(chunks.scheme.piece_naming)
        self._side_chunker: RowChunker | None = None
        self.missed: list[SectionName] = []
        """Sections of which a former snapshot has other contents, though nothing had changed."""

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of the packs written, after `finish`."""
        return self._packs.stored_bytes

    def store(self, events: Iterable[SourceEvent]) -> SectionTable:
        """Store a dump and return its sections. Raises what *events* raises."""
        # The chunker comes late: NumPy is slow to import, and where nothing changed nothing is cut.
        chunker: RowChunker | None = None
        leaves = SectionLeaves()
        batch = Batch()
        section: OpenSection | None = None
        claim: Section | None = None
        source = Resumed(events)
        for event in source:
            if isinstance(event, SectionStart):
                section = self._begin(event.name)
                section.claim, claim = claim, None
                chunker = chunker or self.chunks.chunker()
                chunker.reset(self._bases.expected(event.name))
            elif isinstance(event, SectionClaim):
                claim = event.section
            elif isinstance(event, SectionKept | SectionChanged):
                if (ready := self._of_former(event, source)) is not None:
                    batch.items.append((ready, None, 0))
            elif section is None or chunker is None:
                raise AssertionError("a dump's bytes come before its first section")
            elif isinstance(event, SectionEnd):
                self._take(batch, section, leaves, chunker.finish())
                section.end, section.digest = event, section.hasher.digest()
                section.hasher = ENDED
                leaves.end(section)
                batch.items.append((section, None, 0))
                section = None
            else:
                section.hasher.update(event)
                self._take(batch, section, leaves, chunker.feed(event))
            # Sections take memory too: a dump may have two hundred thousand empty tables.
            if batch.plain_bytes + _ITEM_BYTES * len(batch.items) >= BATCH_BYTES:
                leaves.settle()
                self._submit(batch)
                batch = Batch()
        leaves.settle()
        self._submit(batch)
        while self._under_way:
            self._collect()
        sections = self._sections
        self._sections = SectionTable(self.chunks.scheme.piece_naming)
        return sections

    def _of_former(self, event: SectionKept | SectionChanged, source: Resumed) -> Section | None:
        """Return a section that is as in a former snapshot, but for some blocks; None if it comes
        as a whole, next in *source*."""
        former, reader = event.section, self.chunks.reader
        if isinstance(event, SectionKept):
            if event.probe is not None and not still_holds(reader, former, event.probe.changed):
                self.missed.append(former.name)
            return former
        from pgsnap.repository.splicing.block_edits import SpliceMismatch
        from pgsnap.repository.splicing.splicing import splice

        block_map = read_block_map(reader, former)
        if block_map is not None:
            watch = self._watch
            sink = watch.begin(former) if watch is not None else None
            with contextlib.suppress(SpliceMismatch):
                made = splice(self, former, block_map, event.changed, event.total_blocks, sink)
                if watch is not None:
                    watch.end(made)
                return made
        deque(event.changed, maxlen=0)
        source.resume_with(event.again())
        return None

    def _begin(self, name: SectionName) -> OpenSection:
        bases = self._bases.of(name)

        def store_node(node: bytes, level: int, first_line: int) -> ChunkId:
            base = bases.node(level, first_line) if bases is not None else None
            return self._store_chunk(node, ChunkKind.RECIPE, base)

        return OpenSection(name, RecipeBuilder(store_node), bases)

    def store_baseline(self, sections: SectionTable, baseline: bytes) -> None:
        """Store a baseline, and attach it to the sections."""
        earlier = self._bases.sides(sections.last_name)[2]
        sections.attach_baseline(self.store_side(baseline, earlier))

    def store_side(self, data: bytes, earlier: RecipeRoot | None) -> RecipeRoot:
        """Store a side stream, of which *earlier* is a former version; return its recipe."""
        recipe = RecipeBuilder(lambda node, *_: self._store_chunk(node, ChunkKind.RECIPE, None))
        base_at = nearest(self._bases.entries(earlier))
        place = 0
        for piece in self._pieces_of_side(data):
            name = self._store_chunk(piece, ChunkKind.DATA, base_at(place))
            recipe.add(RecipeEntry(name, len(piece), piece.count(b"\n")))
            place += len(piece)
        return recipe.finish()

    def _pieces_of_side(self, data: bytes) -> list[bytes]:
        if len(data) <= self.chunks.config.chunker.min_bytes:
            # Too short for a cut.
            return [data] if data else []
        self._side_chunker = self._side_chunker or self.chunks.chunker()
        self._side_chunker.reset()
        chunks = (*self._side_chunker.feed(data), *self._side_chunker.finish())
        return [chunk.data for chunk in chunks]

    def encode_new(
        self, texts: Sequence[tuple[bytes, Like]], bases: Chains
    ) -> list[tuple[ChunkId, Frame | None, bytes]]:
        """Return the name of each data chunk, with its frame if the repository has none yet: `add`
        must be called with that, whatever happens. *bases* is the result of `bases` for all that
        they are like."""
        names = [aside(self._name, data) for data, _ in texts]
        unknown = self._claim(names)
        found: list[_Encoded] = []
        for name, (data, like) in zip(names, texts, strict=True):
            if name not in unknown:
                found.append((name, None, b""))
                continue
            unknown.discard(name)
            if isinstance(like, bytes):
                encoded = self._encoder.encode(name, data, ChunkKind.DATA, like, bases)
            else:
                encoded = self._encoder.encode_edited(name, data, like, bases)
            found.append((name, *encoded))
        return found

    def bases(self, chunks: Iterable[ChunkId]) -> Chains:
        """Return the frames of those of *chunks* that are sound, and of their bases."""
        return self._encoder.bases(chunks)

    def add(self, frame: Frame, packed: bytes) -> None:
        """Write a frame."""
        self._packs.add(frame, packed)

    def store_node(self, node: bytes, base: ChunkId | None) -> ChunkId:
        """Store a node of a recipe, of which *base* is a former version."""
        return self._store_chunk(node, ChunkKind.RECIPE, base)

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
        """Wait until everything stored is durable and indexed."""
        self._packs.finish()
        self._pool.shutdown()
        self.splicers.shutdown()

    def abandon(self) -> None:
        """Stop. What is already written is left for `snap gc`."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.splicers.shutdown(wait=True, cancel_futures=True)
        self._packs.abandon()

    @staticmethod
    def _take(
        batch: Batch, section: OpenSection, leaves: SectionLeaves, chunks: list[Chunk]
    ) -> None:
        leaves.add(chunks)
        for chunk in chunks:
            batch.items.append((section, chunk, section.lines))
            batch.plain_bytes += len(chunk.data)
            section.lines += chunk.lines

    def _submit(self, batch: Batch) -> None:
        if not batch.items:
            return
        while len(self._under_way) >= BATCHES_IN_FLIGHT:
            self._collect()
        self._under_way.append((batch, self._pool.submit(self._encode, batch)))
        # Finished batches are taken at once, so that their memory is freed.
        while self._under_way and self._under_way[0][1].done():
            self._collect()

    def _collect(self) -> None:
        """Add the oldest batch's frames to packs and recipes."""
        batch, future = self._under_way.popleft()
        found = interrupts.result(future)
        encoded = iter(found)
        for section, chunk, _ in batch.items:
            if isinstance(section, Section):
                self._sections.add(section)
                continue
            if chunk is None:
                self._sections.add(self._finished(section))
                continue
            name, frame, packed = next(encoded)
            if frame is not None:
                self._packs.add(frame, packed)
            section.recipe.add(RecipeEntry(name, len(chunk.data), chunk.lines, chunk.stored_sketch))
        self._progress.advance(batch.plain_bytes, str(batch.items[-1][0].name))

    def _finished(self, section: OpenSection) -> Section:
        recipe, end = section.recipe.finish(), section.end
        assert end is not None
        rows = leaves = block_map = None
        if end.is_copy:
            rows = recipe.lines - end.head_lines - end.tail_lines
            if rows < 0:
                raise CorruptionError(f"the rows of {section.name} cannot be counted")
        if section.claim is not None and section.claim.leaf_digest != section.leaf_digest:
            self.missed.append(section.name)
        if end.block_map is not None:
            before = self._bases.sides(section.name)
            columns = end.block_map.byte_counts + end.block_map.row_counts
            block_map = self.store_side(columns, before[1])
            if is_listed(section.leaves, recipe.plain_bytes):
                leaves = self.store_side(section.leaves, before[0])
        return Section(
            name=section.name,
            plain_bytes=recipe.plain_bytes,
            lines=recipe.lines,
            digest=section.digest,
            segments=(Segment(recipe),),
            rows=rows,
            head_bytes=end.head_bytes,
            tail_bytes=end.tail_bytes,
            leaf_digest=section.leaf_digest,
            leaves=leaves,
            block_map=block_map,
        )

    def _store_chunk(self, data: bytes, kind: ChunkKind, base: ChunkId | None) -> ChunkId:
        name = self._name(data)
        if len(data) < _LIST_DELTA_BYTES_MIN:
            base = None
        if self._claim([name]):
            bases = self._encoder.bases([base] if base is not None else [])
            self._packs.add(*self._encoder.encode(name, data, kind, base, bases))
        return name

    def _encode(self, batch: Batch) -> list[_Encoded]:
        """Return each chunk's name, with its frame if the repository has none yet."""
        items = [
            (section, chunk, lines)
            for section, chunk, lines in batch.items
            if chunk is not None and isinstance(section, OpenSection)
        ]
        names = [chunk.name or self._name(chunk.data) for _, chunk, _ in items]
        unknown = self._claim(names)
        like = find_bases(items, names) if unknown else {}
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
        """Return those of *names* that this caller has to write."""
        # Both are checked under one lock; otherwise a chunk that is being indexed might be in
        # neither.
        with self._claims:
            mine = set(names) - self._index.known(list(set(names))) - self._claimed
            self._claimed |= mine
        return mine

    def _forget_claims(self, frames: list[Frame]) -> None:
        """Drop the claims on *frames*, which are in the index now."""
        with self._claims:
            self._claimed.difference_update(frame.chunk for frame in frames)
