"""The chunker: splits a segment's bytes into chunks, at row ends chosen by the rows' content.

Where a chunk ends (it begins at *start*; a row is whatever ends with a line end):

1. at the first chosen row end from start + min to start + max. A row end is chosen by the hash of
   its row, with a probability that grows with the row's length, so that chosen row ends are
   equally far apart in all tables;
2. else, if there are row ends in that range, at the one whose row has the least hash; rows that
   look the same in the sample are told apart by all their bytes; of equal rows it is the last;
3. else, inside the row, at the first byte in that range that the 16 bytes before it choose;
4. else at start + max.

All of this depends only on the bytes from *start* to start + max. So two streams with a common cut
have the same cuts from there on as long as their bytes are the same, and after a change they soon
have a common cut again. Rules 2 to 4 need all bytes up to start + max, or the end of the segment,
where the rest is the last chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking import leaves
from pgsnap.chunking.expected import Expected
from pgsnap.chunking.in_row import CONTEXT_BYTES, InRowCutter
from pgsnap.chunking.row_hash import SAMPLED_BYTES, Hashes, Offsets, RowHash, UnalignedWords
from pgsnap.chunking.secret import Permutation, Purpose
from pgsnap.chunking.sketch import NO_SKETCH, Sketcher
from pgsnap.errors import UsageError
from pgsnap.limits import KIB, PLAIN_BYTES_MAX
from pgsnap.model import PLAIN_NAMES, ChunkerKeys, ChunkerParams, ChunkId, Naming, RecipeEntry
from pgsnap.values import dataclass

_LINE_END = 10

# How many new bytes are scanned at a time, however they arrive. If smaller, NumPy's overhead per
# call shows; if larger, the temporaries do not fit into the cache.
_STEP_BYTES = 512 * KIB

# Room around the data, so that a word can be loaded at any of its bytes.
_MARGIN = CONTEXT_BYTES


@dataclass(frozen=True, slots=True)
class Chunk:
    """A cut of a segment. *lines* counts its line ends; *sketch* serves to find similar chunks;
    *name* is its hash, if that is known already. *leaf_ends* is where leaves end in it, if that is
    known."""

    data: bytes
    lines: int
    sketch: bytes = NO_SKETCH
    name: ChunkId = b""
    leaf_ends: Sequence[int] | None = field(default=None, compare=False)

    @property
    def stored_sketch(self) -> bytes:
        """The sketch as a recipe has it: empty if there is none."""
        return self.sketch if self.sketch != NO_SKETCH else b""


class RowChunker:
    """Cuts one segment. After `finish` nothing more may be fed until `reset`.

    It holds at most max_bytes + 2 MiB of the segment, whatever the size of blocks and rows, and
    some 8 MiB of work arrays; 105 MiB for a segment of nothing but line ends. Not thread-safe;
    NumPy releases the GIL while it works. Raises `UsageError` for inconsistent parameters.

    *naming* names the chunks. With *keys* cuts and sketches are secret (`secret`); *key* only makes
    them different.
    """

    def __init__(
        self,
        params: ChunkerParams,
        key: int = 0,
        *,
        naming: Naming = PLAIN_NAMES,
        keys: ChunkerKeys | None = None,
    ) -> None:
        _check(params, key)
        self._params = params
        self._name = naming.name
        self._mean_distance = params.avg_bytes - params.min_bytes
        self._permutation = Permutation(keys.cuts) if keys is not None else None
        cuts = keys.cuts if keys is not None else key
        self._row_hash = RowHash(cuts)
        self._sketcher = Sketcher(keys.sketches if keys is not None else key)
        self._in_row = InRowCutter(self._mean_distance, cuts, self._permutation)
        # Rows that are cut inside are chosen by their length alone.
        self._finds_leaves = params.max_bytes - params.min_bytes >= leaves.ROW_BYTES_MAX
        # What ends a leaf is chosen by the hash with the key 0.
        self._leaf_hash = RowHash(0) if cuts else None
        self._buffer = np.zeros(params.max_bytes + 4 * _STEP_BYTES + 2 * _MARGIN, np.uint8)
        self._words = UnalignedWords(self._buffer)
        self._is_end = np.empty(_STEP_BYTES, np.bool_)
        self.reset()

    def reset(self, expected: Expected | None = None) -> None:
        """Start over with another segment; *expected* are the chunks that it may be cut into."""
        self._expected = expected
        # Offsets into the buffer: the start of the current chunk, the start of the current row
        # (negative if that row is longer than what is held), how far it was scanned, and how far it
        # is filled.
        self._start = self._row_start = self._scanned = self._filled = _MARGIN
        # The ends of the rows after *start*, their hashes, and the chosen ones among the ends.
        self._ends: Offsets = np.empty(0, np.int64)
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._heads: Hashes = np.empty(0, np.uint64)
        self._begins_in_row = False
        self._chosen: Offsets = np.empty(0, np.int64)
        # Those that end a leaf, and whether that is unknown of a row in the current chunk.
        self._leaf_ends: Offsets = np.empty(0, np.int64)
        self._leaves_are_unknown = False
        self._finished = False

    def feed(self, block: bytes | memoryview) -> list[Chunk]:
        """Add the next bytes of the segment and return the chunks that are now complete."""
        self._check_unfinished()
        arriving = np.frombuffer(block, np.uint8)
        chunks: list[Chunk] = []
        while len(arriving):
            expected = self._next_expected()
            if expected is not None:
                room = self._start + expected.plain_bytes - self._filled
            else:
                room = self._scanned + _STEP_BYTES - self._filled
            taken = arriving[: max(room, 0)]
            self._append(taken)
            arriving = arriving[len(taken) :]
            if len(taken) >= room:
                self._work(chunks)
        return chunks

    def _work(self, chunks: list[Chunk]) -> None:
        """Cut the chunks whose ends can be determined by now."""
        while True:
            expected = self._next_expected()
            if expected is not None:
                if self._filled - self._start < expected.plain_bytes:
                    return
                if chunk := self._take_expected(expected):
                    chunks.append(chunk)
            elif (end := self._next_end()) is not None:
                chunks.append(self._take(end))
            elif self._filled - self._scanned >= _STEP_BYTES:
                self._scan(_STEP_BYTES)
            else:
                return

    def finish(self) -> list[Chunk]:
        """End the segment and return the remaining chunks."""
        self._check_unfinished()
        self._finished = True
        if self._scanned == self._start and self._filled - self._start <= self._params.min_bytes:
            # Too short for a cut: most tables in a dump are, so NumPy is avoided.
            data = self._buffer[self._start : self._filled].tobytes()
            return [Chunk(data, data.count(b"\n"))] if data else []
        self._expected = None
        chunks: list[Chunk] = []
        self._work(chunks)
        self._scan(self._filled - self._scanned)
        self._work(chunks)
        if self._start < self._filled:
            chunks.append(self._take(self._filled))
        return chunks

    def _check_unfinished(self) -> None:
        if self._finished:
            raise ValueError("the chunker's segment is finished: reset it first")

    # -- bytes ---------------------------------------------------------------------------------

    def _append(self, block: NDArray[np.uint8]) -> None:
        if self._filled + len(block) + _MARGIN > len(self._buffer):
            self._move_to_front()
        self._buffer[self._filled : self._filled + len(block)] = block
        self._filled += len(block)

    def _move_to_front(self) -> None:
        # The margin moves too: the words before a chunk's first byte are read, if not used.
        distance = self._start - _MARGIN
        held = self._buffer[self._start : self._filled]
        self._buffer[_MARGIN : _MARGIN + len(held)] = held
        self._start -= distance
        self._row_start -= distance
        self._scanned -= distance
        self._filled -= distance
        self._ends = self._ends - distance
        self._chosen = self._chosen - distance
        self._leaf_ends = self._leaf_ends - distance

    # -- rows ----------------------------------------------------------------------------------

    def _scan(self, size: int) -> None:
        """Find the rows that end in the next *size* bytes, hash them, and choose among their
        ends."""
        new = self._buffer[self._scanned : self._scanned + size]
        stops = np.flatnonzero(np.equal(new, _LINE_END, out=self._is_end[:size]))
        stops += self._scanned
        self._scanned += size
        if not len(stops):
            return
        ends = stops + 1
        starts = np.empty_like(ends)
        starts[0] = self._row_start
        starts[1:] = ends[:-1]
        self._row_start = int(ends[-1])
        lengths = ends - starts
        # Of a row that was cut inside, only the rest is left. It is chosen by its length alone.
        if starts[0] < self._start:
            starts[0] = self._start
            self._leaves_are_unknown |= int(lengths[0]) < leaves.ROW_BYTES_MAX
        hashes = self._row_hash.sampled(self._words, starts, stops)
        heads = self._row_hash.heads(self._words, starts, stops)
        if self._finds_leaves:
            self._find_leaves(hashes, ends, starts, lengths)
        if self._permutation is not None:
            hashes = self._permutation.of(hashes, Purpose.ROW)
        chosen = ends[self._is_chosen(hashes, lengths)]
        self._keep_rows(ends, hashes, heads, chosen)

    def _find_leaves(
        self, hashes: Hashes, ends: Offsets, starts: Offsets, lengths: Offsets
    ) -> None:
        if self._leaf_hash is not None:
            hashes = self._leaf_hash.sampled(self._words, starts, ends - 1)
        chosen = ends[leaves.end_leaves(hashes, lengths)]
        self._leaf_ends = np.concatenate((self._leaf_ends, chosen))

    def _is_chosen(self, hashes: Hashes, lengths: Offsets) -> NDArray[np.bool_]:
        """Choose a row with probability length / (distance + length / 2), at most 1.

        Then chosen row ends are *distance* bytes apart beyond the minimum size, for rows of any
        length.
        """
        twice = 2 * self._mean_distance
        weights = np.minimum(lengths, twice).astype(np.uint64)
        draws = hashes >> np.uint64(32)
        draws *= weights + np.uint64(twice)
        weights <<= np.uint64(33)
        return draws < weights

    def _keep_rows(self, ends: Offsets, hashes: Hashes, heads: Hashes, chosen: Offsets) -> None:
        done = int(np.searchsorted(self._ends, self._start, side="right"))
        self._ends = np.concatenate((self._ends[done:], ends))
        self._hashes = np.concatenate((self._hashes[done:], hashes))
        self._heads = np.concatenate((self._heads[done:], heads))
        done = int(np.searchsorted(self._chosen, self._start, side="right"))
        self._chosen = np.concatenate((self._chosen[done:], chosen))

    # -- cuts ----------------------------------------------------------------------------------

    def _next_expected(self) -> RecipeEntry | None:
        expected = self._expected.next if self._expected is not None else None
        if expected is None or expected.plain_bytes <= self._params.max_bytes:
            return expected
        return None

    def _take_expected(self, expected: RecipeEntry) -> Chunk | None:
        """Return the *expected* chunk if it is the one that came."""
        assert self._expected is not None
        end = self._start + expected.plain_bytes
        held = self._buffer[self._start : end]
        if self._name(held.data) != expected.chunk:
            self._expected.missed()
            return None
        self._expected.came()
        data = held.tobytes()
        if self._scanned < end:
            self._scanned = end
            if row_end := data.rfind(b"\n") + 1:
                self._row_start = self._start + row_end
        self._start = end
        self._begins_in_row = data[-1] != _LINE_END
        self._leaf_ends = self._leaf_ends[np.searchsorted(self._leaf_ends, end, side="right") :]
        self._leaves_are_unknown = False
        return Chunk(data, expected.lines, expected.sketch or NO_SKETCH, expected.chunk)

    def _next_end(self) -> int | None:
        """Return where the current chunk ends, or None if that needs more bytes."""
        low = self._start + self._params.min_bytes
        high = self._start + self._params.max_bytes
        first = int(np.searchsorted(self._chosen, low))
        if first < len(self._chosen) and self._chosen[first] <= high:
            return int(self._chosen[first])
        if self._scanned < high:
            return None
        first = int(np.searchsorted(self._ends, low))
        last = int(np.searchsorted(self._ends, high, side="right"))
        if first < last:
            return self._least_row_end(first, last)
        cut = self._in_row.first_cut(self._buffer, low, high)
        return high if cut is None else cut

    def _least_row_end(self, first: int, last: int) -> int:
        """Return the end of the row with the least hash among the rows *first* to *last* - 1."""
        hashes = self._hashes[first:last]
        least = first + np.flatnonzero(hashes == hashes.min())
        if len(least) > 1 and self._row_bytes(int(least[-1])) > SAMPLED_BYTES:
            stops = self._ends[least] - 1
            starts = np.maximum(self._ends[least - 1], self._start)
            if least[0] == 0:
                starts[0] = self._start
            hashes = self._row_hash.whole(self._words, starts, stops)
            if self._permutation is not None:
                hashes = self._permutation.of(hashes, Purpose.WHOLE_ROW)
            least = least[hashes == hashes.min()]
        return int(self._ends[least[-1]])

    def _row_bytes(self, row: int) -> int:
        """Return the length of a row that was not cut inside, without its line end."""
        # The row before it may have ended in an earlier chunk, or no longer be held.
        before = int(self._ends[row - 1]) if row else 0
        return int(self._ends[row]) - 1 - max(before, self._start)

    def _take(self, end: int) -> Chunk:
        # The rows that end in this chunk.
        first, last = np.searchsorted(self._ends, (self._start, end), side="right")
        data = self._buffer[self._start : end].tobytes()
        # What is known about a row that was cut inside, or a short end of a segment, depends on how
        # the blocks arrived; a sketch must not.
        whole = slice(first + self._begins_in_row, last)
        sketch = NO_SKETCH
        if len(data) > self._params.min_bytes:
            sketch = self._sketcher.sketch(self._hashes[whole], self._heads[whole])
        leaf_ends = self._leaf_ends_until(end)
        self._start = end
        self._begins_in_row = data[-1] != _LINE_END
        name = b""
        if self._expected is not None and self._expected.wants_names:
            name = self._name(data)
            self._expected.find(name)
        return Chunk(data, int(last - first), sketch, name, leaf_ends)

    def _leaf_ends_until(self, end: int) -> list[int] | None:
        """Return where leaves end in the current chunk, which ends at *end*, if that is known."""
        count = int(np.searchsorted(self._leaf_ends, end, side="right"))
        found, self._leaf_ends = self._leaf_ends[:count], self._leaf_ends[count:]
        is_known = self._finds_leaves and not self._leaves_are_unknown
        self._leaves_are_unknown = False
        return (found - self._start).tolist() if is_known else None


def _check(params: ChunkerParams, key: int) -> None:
    least, mean, most = params.min_bytes, params.avg_bytes, params.max_bytes
    if not CONTEXT_BYTES <= least < mean < most <= PLAIN_BYTES_MAX:
        raise UsageError(
            "chunk sizes do not fit each other",
            detail=f"They are min {least}, avg {mean}, max {most} bytes; they must grow from "
            f"{CONTEXT_BYTES} at least to {PLAIN_BYTES_MAX} at most.",
            hint="Choose sizes such as 131072, 524288 and 2097152.",
        )
    # Otherwise a row could be cut inside and yet be too short to be chosen by its length alone.
    if most - least < 2 * (mean - least):
        raise UsageError(
            "the largest chunk size is too close to the average",
            detail=f"With min {least} and avg {mean} bytes, max must be at least "
            f"{2 * mean - least}; it is {most}.",
            hint="Choose sizes such as 131072, 524288 and 2097152.",
        )
    if not 0 <= key < 1 << 64:
        raise ValueError("the chunker's key is a number of 64 bits")
