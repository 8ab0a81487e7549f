"""Leaves: a division of a text that a change alters only where it is, and the digest of them.

A leaf ends after each row that its own hash chooses, and at the end of the text (docs/format.md,
"Leaf digests"). Nothing else has an influence: neither what precedes the row, nor how the text
arrives. So the leaves of a changed text are found from the former ones and the changed parts.

Changing how rows are chosen would change the leaf digest of every text: `tests/unit/chunking` holds
golden values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import PAIR_BYTES, Hashes, Offsets, RowHash, UnalignedWords
from pgsnap.limits import KIB

LEAF_BYTES = 256 * KIB
"""The mean distance between two chosen rows; rows of twice this size are always chosen."""
ROW_BYTES_MAX = 2 * LEAF_BYTES

_LINE_END = 10
# As in RowChunker.
_STEP_BYTES = 512 * KIB
_MARGIN = PAIR_BYTES
_AROUND = bytes(_MARGIN)
# One entry in this many ends a node of the tree, on average.
_NODE_ENTRIES = 64
_NODE_CONTEXT = "snap section leaves 1"
_NOTHING = blake3().digest()


class Leaf(NamedTuple):
    """A leaf's size, and the BLAKE3 of its bytes."""

    plain_bytes: int
    hash: bytes


class LeafCutter:
    """Divides one text into leaves. After `finish` it takes another one.

    It holds less than 2 MiB, whatever the size of blocks and rows. Not thread-safe.
    """

    def __init__(self) -> None:
        self._row_hash = RowHash(0)
        self._buffer = np.zeros(ROW_BYTES_MAX + 2 * _STEP_BYTES + 2 * _MARGIN, np.uint8)
        self._words = UnalignedWords(self._buffer)
        self._is_end = np.empty(_STEP_BYTES, np.bool_)
        self._reset()

    def _reset(self) -> None:
        # Offsets into the buffer: where the current row begins (negative if it is longer than what
        # is held), and how far the buffer is filled.
        self._row_start = self._filled = _MARGIN
        self._hasher = blake3()
        self._leaf_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether the last leaf is complete, so that nothing before decides on what follows."""
        return not self._leaf_bytes

    @property
    def is_between_rows(self) -> bool:
        """Whether the last row is complete."""
        return self._row_start == self._filled

    def skip(self, block: bytes, ends: Iterable[int] = ()) -> list[Leaf]:
        """Add the next bytes of the text, in which no leaves end but at *ends*, and return these:
        no row is hashed."""
        found, start, view = [], 0, memoryview(block)
        for end in ends:
            self._hasher.update(view[start:end])
            found.append(self._ended(end - start))
            start = end
        if rest := view[start:]:
            self._hasher.update(rest)
            self._leaf_bytes += len(rest)
        if begin := block.rfind(b"\n") + 1:
            self._row_start = self._filled = _MARGIN
        for place in range(begin, len(block), _STEP_BYTES):
            self._hold(np.frombuffer(block[place : place + _STEP_BYTES], np.uint8))
        return found

    def feed(self, block: bytes | memoryview) -> list[Leaf]:
        """Add the next bytes of the text and return the leaves that are now complete."""
        arriving = np.frombuffer(block, np.uint8)
        found: list[Leaf] = []
        for start in range(0, len(arriving), _STEP_BYTES):
            self._scan(arriving[start : start + _STEP_BYTES], found)
        return found

    def finish(self) -> list[Leaf]:
        """End the text and return its last leaf, if it is not complete already."""
        found = [] if self.is_between else [Leaf(self._leaf_bytes, self._hasher.digest())]
        self._reset()
        return found

    def _scan(self, new: NDArray[np.uint8], found: list[Leaf]) -> None:
        first = self._hold(new)
        is_end = self._is_end[: len(new)]
        stops = np.flatnonzero(np.equal(new, _LINE_END, out=is_end)) + first
        ends = stops + 1
        hashed = first
        if len(ends):
            for end in ends[self._is_chosen(ends, stops)].tolist():
                self._take(hashed, end)
                found.append(self._ended())
                hashed = end
            self._row_start = int(ends[-1])
        self._take(hashed, self._filled)

    def _is_chosen(self, ends: Offsets, stops: Offsets) -> NDArray[np.bool_]:
        starts = np.empty_like(ends)
        starts[0] = self._row_start
        starts[1:] = ends[:-1]
        held = starts
        if self._row_start < _MARGIN:
            held = np.maximum(starts, _MARGIN)
        return _is_chosen(self._row_hash, self._words, starts, stops, held)

    def _take(self, start: int, end: int) -> None:
        if start < end:
            self._hasher.update(self._buffer[start:end].data)
            self._leaf_bytes += end - start

    def _ended(self, more_bytes: int = 0) -> Leaf:
        leaf = Leaf(self._leaf_bytes + more_bytes, self._hasher.digest())
        self._hasher, self._leaf_bytes = blake3(), 0
        return leaf

    def _hold(self, new: NDArray[np.uint8]) -> int:
        """Add bytes to the buffer, and return where they begin in it."""
        if self._filled + len(new) + _MARGIN > len(self._buffer):
            self._move_to_front()
        first = self._filled
        self._filled += len(new)
        self._buffer[first : self._filled] = new
        return first

    def _move_to_front(self) -> None:
        """Keep of the current row what its hash may need: nothing if it is chosen by its length."""
        start = max(self._row_start, self._filled - ROW_BYTES_MAX)
        held = self._buffer[start : self._filled].copy()
        self._buffer[_MARGIN : _MARGIN + len(held)] = held
        self._row_start -= start - _MARGIN
        self._filled = _MARGIN + len(held)


class _Level:
    """The entries of one level of the tree: how many, the first one, and its unfinished node."""

    __slots__ = ("bytes", "count", "first", "hasher", "in_node")

    def __init__(self) -> None:
        self.count = self.in_node = self.bytes = 0
        self.first = b""
        self.hasher = blake3(derive_key_context=_NODE_CONTEXT)


class LeafTree:
    """Computes the leaf digest of the leaves that are added. Holds one node per level."""

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    @property
    def leaves(self) -> int:
        """How many were added."""
        return self._levels[0].count if self._levels else 0

    def add(self, leaf: Leaf) -> None:
        """Add the next leaf."""
        self._add(0, leaf)

    def _add(self, height: int, entry: Leaf) -> None:
        if height == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[height]
        if not level.count:
            level.first = entry.hash
        level.count += 1
        level.in_node += 1
        level.bytes += entry.plain_bytes
        level.hasher.update(encode_leaf(entry))
        if int.from_bytes(entry.hash[:4], "little") % _NODE_ENTRIES == 0:
            self._close(height)

    def _close(self, height: int) -> None:
        level = self._levels[height]
        node = Leaf(level.bytes, level.hasher.digest())
        level.in_node = level.bytes = 0
        level.hasher = blake3(derive_key_context=_NODE_CONTEXT)
        self._add(height + 1, node)

    def digest(self) -> bytes:
        """Return the leaf digest, after the last leaf."""
        height = 0
        while height < len(self._levels):
            level = self._levels[height]
            if level.count == 1:
                return level.first
            if level.in_node:
                self._close(height)
            height += 1
        return _NOTHING


_LEAF = struct.Struct("<Q32s")
STORED_BYTES = _LEAF.size


def encode_leaf(leaf: Leaf) -> bytes:
    """Return a leaf as it is stored in a list, and as the tree covers it."""
    return _LEAF.pack(*leaf)


def decode_leaves(data: bytes) -> Iterator[Leaf]:
    """Yield the leaves stored in *data*, which are whole."""
    return map(Leaf._make, _LEAF.iter_unpack(data))


class LeafDigester:
    """Computes the leaf digest of texts, one after another, and lists their leaves.

    Holds 40 bytes per leaf besides what a `LeafCutter` does.
    """

    def __init__(self) -> None:
        self._cutter = LeafCutter()
        self._reset()

    def _reset(self) -> None:
        self._tree = LeafTree()
        self._list = bytearray()

    def update(self, block: bytes | memoryview) -> None:
        """Add the next bytes of the text."""
        self._add(self._cutter.feed(block))

    def skip(self, block: bytes, ends: Iterable[int]) -> None:
        """Add the next bytes of the text, in which leaves end only at *ends*."""
        self._add(self._cutter.skip(block, ends))

    def finish(self) -> tuple[bytes, bytes]:
        """End the text; return its leaf digest, and the list of its leaves."""
        self._add(self._cutter.finish())
        found = self._tree.digest(), bytes(self._list)
        self._reset()
        return found

    def _add(self, leaves: Iterable[Leaf]) -> None:
        for leaf in leaves:
            self._tree.add(leaf)
            self._list += encode_leaf(leaf)


def leaf_ends_of_rows(rows: bytes, line_ends: Offsets | None = None) -> Offsets:
    """Return which ends of *rows*, which are whole, end a leaf; *line_ends* is where their line
    ends are, if that is known."""
    buffer = np.frombuffer(b"".join((_AROUND, rows, _AROUND)), np.uint8)
    return _chosen_ends(buffer, line_ends) - _MARGIN


def several_leaves(texts: Sequence[bytes]) -> set[int]:
    """Return which of these short *texts* have more than one leaf: all of them are looked at
    together, since a dump may have very many."""
    if not texts:
        return set()
    # A line end more makes a row of the end of a text, which is where the last leaf ends anyway.
    whole = [text if text.endswith(b"\n") else text + b"\n" for text in texts]
    ends = np.cumsum([len(text) for text in whole]) + _MARGIN
    chosen = _chosen_ends(np.frombuffer(b"".join((_AROUND, *whole, _AROUND)), np.uint8))
    places = np.searchsorted(ends, chosen)
    return set(places[ends[places] != chosen].tolist())


def _chosen_ends(buffer: NDArray[np.uint8], line_ends: Offsets | None = None) -> Offsets:
    """Return the ends of the rows that end a leaf, of those in a *buffer* with margins."""
    if line_ends is None:
        line_ends = np.flatnonzero(buffer[_MARGIN:-_MARGIN] == _LINE_END)
    stops = line_ends + _MARGIN
    starts = np.concatenate(([_MARGIN], stops[:-1] + 1))[: len(stops)]
    ends: Offsets = stops + 1
    return ends[_is_chosen(RowHash(0), UnalignedWords(buffer), starts, stops, starts)]


def _is_chosen(
    row_hash: RowHash, words: UnalignedWords, starts: Offsets, stops: Offsets, held: Offsets
) -> NDArray[np.bool_]:
    """Return which rows end a leaf. *held* is where the part of each row begins that is held: of a
    row that is chosen by its length the hash does not matter."""
    return end_leaves(row_hash.sampled(words, held, stops), stops + 1 - starts)


def end_leaves(hashes: Hashes, lengths: Offsets) -> NDArray[np.bool_]:
    """Return which rows end a leaf: of these *hashes*, which are sampled with the key 0, and these
    *lengths*, their line ends included."""
    weights = np.minimum(lengths, ROW_BYTES_MAX).astype(np.uint64)
    draws = hashes >> np.uint64(32)
    draws *= weights + np.uint64(ROW_BYTES_MAX)
    weights <<= np.uint64(33)
    chosen: NDArray[np.bool_] = draws < weights
    return chosen
