"""Units of a spliced text: read, checked, put together, cut and encoded, by threads."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from pgsnap.chunking.leaf_updates import Edit
from pgsnap.chunking.row_edits import Edits, RowEdits
from pgsnap.chunking.rows import Chunk, RowChunker
from pgsnap.chunking.sketch import NO_SKETCH
from pgsnap.model import ChunkerParams, Frame, RecipeEntry
from pgsnap.repository.chunks.deltas import Like
from pgsnap.repository.splicing.block_edits import (
    LINE_END,
    BlockEdits,
    SpliceMismatch,
    other_rows,
)
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.repository.chunks.ingest import Ingest

_ROW_EDITS = RowEdits()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stored chunk, from *begin* to *stop* (offsets in the section, in which the chunk
    begins at *start*), with the *edits* in it. From *removed_from* to *begin* an edit that begins
    in an earlier chunk removes it."""

    entry: RecipeEntry
    start: int
    removed_from: int
    begin: int
    stop: int
    edits: BlockEdits | None

    @property
    def plain_bytes(self) -> int:
        size = self.stop - self.begin
        if self.edits is None:
            return size
        # The last one may end in a later chunk.
        removed = sum(self.edits.stops) - sum(self.edits.starts)
        beyond = max(self.edits.stops[-1] - self.stop, 0)
        return size - removed + beyond + len(self.edits.text)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the chunk is in another piece."""
        size = self.entry.plain_bytes
        return self.removed_from == self.start and self.stop == self.start + size


@dataclass(slots=True)
class Unit:
    """Pieces that make one chunk, or several if they are too many bytes for one."""

    pieces: list[Piece] = field(default_factory=list)
    plain_bytes: int = 0

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.plain_bytes += piece.plain_bytes

    def taken(self) -> Unit:
        """Return what it holds, and begin another one."""
        taken = Unit(self.pieces, self.plain_bytes)
        self.pieces, self.plain_bytes = [], 0
        return taken

    def edits(self) -> Iterator[Edit]:
        """Yield the edits of the former text."""
        for piece in self.pieces:
            if piece.edits is None:
                continue
            leaf_ends = piece.edits.leaf_ends
            begin = first = 0
            for start, stop, end in piece.edits.regions():
                last = bisect(leaf_ends, end)
                within = [leaf_end - begin for leaf_end in leaf_ends[first:last]]
                yield Edit(start, stop - start, end - begin, within)
                begin, first = end, last


@dataclass(frozen=True, slots=True)
class Spliced:
    """The new chunks of a unit, each with its frame unless it is stored already."""

    removed_rows: int
    chunks: list[tuple[RecipeEntry, bytes, Frame | None, bytes]]
    edited: Sequence[tuple[bytes, bytes]]
    """What was removed and added, piece by piece, if that was asked for."""

    def take(self, ingest: Ingest) -> Iterator[tuple[RecipeEntry, bytes]]:
        """Add the frames to packs, and yield the chunks with their bytes."""
        for entry, data, frame, packed in self.chunks:
            if frame is not None:
                ingest.add(frame, packed)
            yield entry, data


def spliced(ingest: Ingest, units: Sequence[Unit], keep_edited: bool = False) -> list[Spliced]:
    """Return the new chunks of *units*, and with *keep_edited* what differs in them. Raises
    SpliceMismatch, CorruptionError; but not once it has claimed a chunk."""
    store = ingest.chunks
    bases = ingest.bases({piece.entry.chunk for unit in units for piece in unit.pieces})

    def read(entry: RecipeEntry) -> bytes:
        known = bases if bases.of(entry.chunk) else None
        return store.reader.read(entry.chunk, entry.plain_bytes, known)

    edited: list[list[tuple[bytes, bytes]]] = [[] for _ in units]
    made = [
        _made(unit, read, store.chunker, store.config.chunker, texts if keep_edited else None)
        for unit, texts in zip(units, edited, strict=True)
    ]
    encoded = iter(
        ingest.encode_new(
            [(chunk.data, like) for chunks, like, _ in made for chunk in chunks], bases
        )
    )
    found = []
    for (chunks, _, removed_rows), texts in zip(made, edited, strict=True):
        result = Spliced(removed_rows, [], texts)
        for chunk in chunks:
            name, frame, packed = next(encoded)
            entry = RecipeEntry(name, len(chunk.data), chunk.lines, chunk.stored_sketch)
            result.chunks.append((entry, chunk.data, frame, packed))
        found.append(result)
    return found


def _made(
    unit: Unit,
    read: Callable[[RecipeEntry], bytes],
    new_chunker: Callable[[], RowChunker],
    bounds: ChunkerParams,
    edited: list[tuple[bytes, bytes]] | None,
) -> tuple[list[Chunk], Like, int]:
    """Return the chunks of a unit, what they are like, and how many rows were removed. What was
    removed and added is appended to *edited*."""
    parts: list[bytes | memoryview] = []
    removed_rows = lines = 0
    like: Like = unit.pieces[0].entry.chunk
    whole: _PieceText | None = None
    for piece in unit.pieces:
        former = read(piece.entry)
        text = _PieceText(piece, former)
        text.check()
        parts += text.parts()
        if edited is not None:
            edited.append(text.edited())
        removed_rows += text.removed_rows
        lines += piece.entry.lines - text.removed_rows + text.added_rows
        if len(unit.pieces) == 1 and piece.is_whole and piece.edits is not None:
            whole = text
    data = b"".join(parts)
    if len(data) > bounds.max_bytes:
        return _cut(data, new_chunker(), bounds), unit.pieces[0].entry.chunk, removed_rows
    if not data:
        return [], like, removed_rows
    if whole is not None:
        # Few edits are found sooner by comparing both texts than by the rows of all blocks.
        edits = _ROW_EDITS.step_by_step(whole.former, data, whole.regions())
        known = whole.row_edits() if edits is None else edits
        like = unit.pieces[0].entry.chunk, whole.former, known
    if not all(piece.is_whole for piece in unit.pieces):
        lines = data.count(b"\n")
    sketch = unit.pieces[0].entry.sketch if len(unit.pieces) == 1 else b""
    return [Chunk(data, lines, sketch or NO_SKETCH)], like, removed_rows


def _cut(data: bytes, chunker: RowChunker, bounds: ChunkerParams) -> list[Chunk]:
    """Return a text in chunks none of which is too small."""
    chunks = [*chunker.feed(data), *chunker.finish()]
    if len(chunks[-1].data) >= bounds.min_bytes:
        return chunks
    both = chunks[-2].data + chunks[-1].data
    middle = len(both)
    if middle > bounds.max_bytes:
        # In the middle, if there is a row end before it.
        middle = both.rfind(b"\n", bounds.min_bytes, middle // 2) + 1 or middle // 2
    halves = [both[:middle], both[middle:]]
    return chunks[:-2] + [Chunk(half, half.count(b"\n")) for half in halves if half]


class _PieceText:
    """A piece with the text of its chunk: where it is edited, as offsets in the chunk."""

    def __init__(self, piece: Piece, former: bytes) -> None:
        self._piece = piece
        self.former = former
        start_of = piece.start
        # The first region is what an earlier chunk's edit removes, mostly nothing.
        self._regions = [(piece.removed_from - start_of, piece.begin - start_of, 0)]
        self._new = memoryview(b"")
        self.added_rows = 0
        if piece.edits is not None:
            self._regions += [
                (start - start_of, min(stop, piece.stop) - start_of, end)
                for start, stop, end in piece.edits.regions()
            ]
            self._new = piece.edits.text
            self.added_rows = sum(piece.edits.added)
        self._old = b"".join([former[start:stop] for start, stop, _ in self._regions])
        self._line_ends = (np.frombuffer(self._old, np.uint8) == LINE_END).nonzero()[0]
        self.removed_rows = len(self._line_ends)

    def check(self) -> None:
        """Raise SpliceMismatch unless the text removed is whole blocks with their rows."""
        piece, former = self._piece, self.former
        begins = [self._regions[0][1], *(start for start, _, _ in self._regions[1:])]
        for begin in begins:
            if 0 < begin < len(former) and former[begin - 1] != LINE_END:
                raise SpliceMismatch("a block does not begin where a row ended")
        if piece.edits is None:
            return
        edits, old = piece.edits, self._old
        sizes = [stop - start for start, stop in zip(edits.starts, edits.stops, strict=True)]
        if edits.stops[-1] > piece.stop:
            # The last block ends in a later chunk.
            sizes.pop()
        # Where each ends in the old text; before the first is what an earlier edit removes.
        ends = list(accumulate(sizes, initial=piece.begin - piece.removed_from))
        rows = self._line_ends.searchsorted(ends).tolist()
        for number, (size, counted) in enumerate(zip(sizes, edits.rows, strict=False)):
            is_whole = not size or old[ends[number + 1] - 1] == LINE_END
            if not is_whole or rows[number + 1] - rows[number] != counted:
                raise other_rows()

    def regions(self) -> list[tuple[int, int, int, int]]:
        """Return where the text differs: from where to where in the former, and in the new one."""
        found, shift, taken = [], 0, 0
        for start, stop, end in self._regions:
            found.append((start, stop, start + shift, start + shift + end - taken))
            shift += start - stop + end - taken
            taken = end
        return found

    def parts(self) -> Iterator[memoryview]:
        """Yield the new text of the piece."""
        former, at, taken = memoryview(self.former), self._regions[0][0], 0
        for start, stop, end in self._regions:
            yield former[at:start]
            yield self._new[taken:end]
            at, taken = stop, end
        yield former[at : self._piece.stop - self._piece.start]

    def edited(self) -> tuple[bytes, bytes]:
        """Return the text that is removed, and the text that is added."""
        return self._old, bytes(self._new)

    def row_edits(self) -> Edits:
        """Return the edits of the chunk, row by row."""
        starts, stops, ends = np.array(self._regions).T
        added = np.diff(ends, prepend=0)
        old_stops = np.cumsum(stops - starts)
        new = np.frombuffer(self._new, np.uint8)
        old = np.frombuffer(self._old, np.uint8)
        edits = _ROW_EDITS.within(old, new, old_stops, ends)
        if edits is None:
            return np.stack((starts, stops - starts, added), axis=1)
        # Where regions touch, what is added tells to which an edit belongs, else what is removed.
        places = edits[:, 0] + np.cumsum(edits[:, 2] - edits[:, 1]) - (edits[:, 2] - edits[:, 1])
        region = np.where(
            edits[:, 2] > 0,
            np.searchsorted(ends, places, side="right"),
            np.searchsorted(old_stops, edits[:, 0], side="right"),
        )
        first = old_stops - (stops - starts)
        edits[:, 0] += starts[region] - first[region]
        return edits
