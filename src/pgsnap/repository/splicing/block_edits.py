"""Changed blocks of a table as edits of its section's text: where their former text is, and checks.

What does not fit raises SpliceMismatch: then the section is not what its block map says, or the
blocks were not read as they should have been, and the table has to be read in full.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.leaves import leaf_ends_of_rows
from pgsnap.errors import SnapError
from pgsnap.model import BlockMap, ChangedBlocks, Section
from pgsnap.values import dataclass

Numbers = NDArray[np.int64]

LINE_END = 10
# Offsets of this many blocks are held at a time.
_SLAB_BLOCKS = 1 << 18


class SpliceMismatch(SnapError):
    """A section cannot be made of its former version and changed blocks."""


@dataclass(frozen=True, slots=True)
class BlockEdits:
    """The former places of some blocks in a section's text, ascending, the *rows* that were there
    and those that are there now (*added*), and the new text of each: from *ends* of the one before
    to its own, in *text*. At *leaf_ends* rows of it end a leaf.

    They are lists, not arrays: a chunk has a few of them, for which NumPy's calls take longer."""

    starts: list[int]
    stops: list[int]
    rows: list[int]
    added: list[int]
    ends: list[int]
    text: memoryview
    leaf_ends: list[int]

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, first: int, last: int) -> BlockEdits:
        """Return those from *first* to before *last*."""
        begin = self.ends[first - 1] if first else 0
        end = self.ends[last - 1] if last else 0
        some = slice(first, last)
        within = slice(bisect_right(self.leaf_ends, begin), bisect_right(self.leaf_ends, end))
        return BlockEdits(
            self.starts[some],
            self.stops[some],
            self.rows[some],
            self.added[some],
            [each - begin for each in self.ends[some]],
            self.text[begin:end],
            [each - begin for each in self.leaf_ends[within]],
        )

    def regions(self) -> list[tuple[int, int, int]]:
        """Return start, stop and end of the new text of the edits, those that touch joined."""
        found: list[tuple[int, int, int]] = []
        for start, stop, end in zip(self.starts, self.stops, self.ends, strict=True):
            if found and found[-1][1] == start:
                found[-1] = found[-1][0], stop, end
            else:
                found.append((start, stop, end))
        return found


def joined(parts: Sequence[BlockEdits]) -> BlockEdits:
    """Return the edits of several parts, which follow each other."""
    if len(parts) == 1:
        return parts[0]
    sizes = list(accumulate((len(part.text) for part in parts), initial=0))
    placed = list(zip(parts, sizes, strict=False))
    return BlockEdits(
        [each for part in parts for each in part.starts],
        [each for part in parts for each in part.stops],
        [each for part in parts for each in part.rows],
        [each for part in parts for each in part.added],
        [each + size for part, size in placed for each in part.ends],
        memoryview(b"".join(part.text for part in parts)),
        [each + size for part, size in placed for each in part.leaf_ends],
    )


class BlockEditor:
    """Turns changed blocks into edits, and makes the new block map of what it saw."""

    def __init__(self, section: Section, block_map: BlockMap, total_blocks: int) -> None:
        old_bytes = np.frombuffer(block_map.byte_counts, "<u4")
        old_rows = np.frombuffer(block_map.row_counts, "<u4")
        size = section.head_bytes + int(old_bytes.sum(dtype=np.int64)) + section.tail_bytes
        if size != section.plain_bytes or int(old_rows.sum(dtype=np.int64)) != section.rows:
            raise SpliceMismatch(f"the block map of {section.name} is not that of its text")
        self._name = section.name
        self._old_bytes, self._old_rows = old_bytes, old_rows
        kept = min(len(old_bytes), total_blocks)
        self._bytes, self._rows = np.zeros((2, total_blocks), "<u4")
        self._bytes[:kept], self._rows[:kept] = old_bytes[:kept], old_rows[:kept]
        self._seen = 0
        self._unseen = len(old_bytes)
        # Offsets of the blocks from *slab_first* on, and of the end of the last one.
        self._slab_first = 0
        self._slab = self._offsets_from(0, section.head_bytes)
        self.removed_rows = self.added_rows = 0

    def edits(self, changed: Iterable[ChangedBlocks]) -> Iterator[BlockEdits]:
        """Yield the edits, also for the blocks that there are no more."""
        total = len(self._bytes)
        for some in changed:
            if edits := self._edits(some):
                yield edits
        if self._unseen < total:
            raise self._mismatch(f"block {self._unseen} is new and was not read")
        if total < len(self._old_bytes):
            ends = np.array([total, len(self._old_bytes)])
            start, stop = self._offsets(ends).tolist()
            rows = int(self._old_rows[total:].sum(dtype=np.int64))
            self.removed_rows += rows
            if stop > start:
                yield BlockEdits([start], [stop], [rows], [0], [0], memoryview(b""), [])

    def block_map(self) -> BlockMap:
        """Return the new block map, once all edits were taken."""
        return BlockMap(self._bytes.tobytes(), self._rows.tobytes())

    @property
    def text_bytes(self) -> int:
        """The bytes of all rows, once all edits were taken."""
        return int(self._bytes.sum(dtype=np.int64))

    def _edits(self, changed: ChangedBlocks) -> BlockEdits | None:
        blocks = np.frombuffer(changed.blocks, "<u4").astype(np.int64)
        sizes = np.frombuffer(changed.byte_counts, "<u4")
        rows = np.frombuffer(changed.row_counts, "<u4")
        text = memoryview(changed.text).cast("B")
        if not len(blocks):
            return None
        line_ends = self._check_new(blocks, sizes, rows, text)
        old = blocks < len(self._old_bytes)
        old_sizes, old_rows = np.zeros((2, len(blocks)), np.int64)
        old_sizes[old], old_rows[old] = self._old_bytes[blocks[old]], self._old_rows[blocks[old]]
        self._bytes[blocks], self._rows[blocks] = sizes, rows
        self.removed_rows += int(old_rows.sum())
        self.added_rows += int(rows.sum(dtype=np.int64))
        starts = self._offsets(blocks)
        ends = np.cumsum(sizes, dtype=np.int64)
        return BlockEdits(
            starts.tolist(),
            (starts + old_sizes).tolist(),
            old_rows.tolist(),
            rows.tolist(),
            ends.tolist(),
            text,
            leaf_ends_of_rows(changed.text, line_ends).tolist(),
        )

    def _check_new(
        self, blocks: Numbers, sizes: NDArray[np.uint32], rows: NDArray[np.uint32], text: memoryview
    ) -> Numbers:
        """Return where the rows of *text* end."""
        if not len(blocks) == len(sizes) == len(rows) or int(sizes.sum(dtype=np.int64)) != len(
            text
        ):
            raise self._mismatch("the sizes of changed blocks do not fit their text")
        if blocks[0] < self._seen or blocks[-1] >= len(self._bytes) or np.any(np.diff(blocks) <= 0):
            raise self._mismatch("its changed blocks are not in ascending order")
        new = blocks[blocks >= self._unseen]
        if len(new) and not np.array_equal(new, np.arange(self._unseen, self._unseen + len(new))):
            raise self._mismatch(f"block {self._unseen} is new and was not read")
        self._seen = int(blocks[-1]) + 1
        self._unseen += len(new)
        return _check_rows(np.frombuffer(text, np.uint8), np.cumsum(sizes, dtype=np.int64), rows)

    def _offsets(self, blocks: Numbers) -> Numbers:
        """Return where *blocks* begin, which are ascending, also from call to call."""
        found, done = np.empty(len(blocks), np.int64), 0
        while True:
            end = self._slab_first + len(self._slab) - 1
            last = int(np.searchsorted(blocks, end, side="right"))
            found[done:last] = self._slab[blocks[done:last] - self._slab_first]
            done = last
            if done == len(blocks) or end == len(self._old_bytes):
                break
            self._slab = self._offsets_from(end, int(self._slab[-1]))
            self._slab_first = end
        # New blocks are where the last one ended.
        found[done:] = self._slab[-1]
        return found

    def _offsets_from(self, block: int, offset: int) -> Numbers:
        sizes = self._old_bytes[block : block + _SLAB_BLOCKS]
        return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))) + offset

    def _mismatch(self, why: str) -> SpliceMismatch:
        return SpliceMismatch(f"{self._name} has to be read in full", detail=f"{why}.")


def _sizes_of(ends: Numbers) -> Numbers:
    """Return how far each of *ends* is from the one before it, the first from 0."""
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    return sizes


def _check_rows(text: NDArray[np.uint8], ends: Numbers, rows: NDArray[np.generic]) -> Numbers:
    """Raise SpliceMismatch unless the parts of *text*, up to *ends*, are as many whole *rows*;
    return where the line ends of these are."""
    line_ends: Numbers = (text == LINE_END).nonzero()[0]
    counts = _sizes_of(line_ends.searchsorted(ends))
    filled = ends[_sizes_of(ends) > 0]
    if not np.array_equal(counts, rows) or not np.all(text[filled - 1] == LINE_END):
        raise other_rows()
    return line_ends


def other_rows() -> SpliceMismatch:
    """Return the error for a block whose rows are not whole, or not as many as were counted."""
    return SpliceMismatch("the rows of a block are not those that were counted")
