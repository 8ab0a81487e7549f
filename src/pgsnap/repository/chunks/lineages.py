"""Searching many versions of the same chunks: each is decoded once, from the one that it is a delta
against, which was decoded just before.

To read them one by one takes as many steps for each as its chain has frames. What an edit list
leaves as it was in its base was searched there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from operator import attrgetter
from typing import TypeAlias

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import BATCH_BYTES, BATCHES_IN_FLIGHT, MIB
from pgsnap.model import ChunkId, Codec, Location
from pgsnap.repository.chunks.arenas import keep_freed_chunks
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.scopes import side_by_side
from pgsnap.values import dataclass

# Frames of deltas that are held at once. Each version's are next to each other in its pack, so that
# with many of them held there are few reads, each of many frames.
_DELTA_BYTES_HELD = 16 * MIB

Places: TypeAlias = "Sequence[tuple[int, int]]"
Search: TypeAlias = "Callable[[bytes, Places | None], bool]"
"""Says whether a chunk has what is searched for; of one that is in order but at some places, these
are given. Called by several threads."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What became of some chunks: those that were read, verified, and do not have what was searched
    for; and the bytes of all that were searched."""

    without: set[ChunkId]
    read_bytes: int


@dataclass(slots=True)
class _Tree:
    """A plain frame, and all deltas that go back to it; *below* are those against each chunk."""

    root: Location
    below: dict[ChunkId, list[Location]] = field(default_factory=dict)

    @property
    def deltas(self) -> Iterator[Location]:
        for some in self.below.values():
            yield from some


def search(
    chunk_store: ChunkStore, chunks: Mapping[ChunkId, int], has: Search
) -> Iterator[Searched]:
    """Search *chunks*, of these sizes, for what *has* says, and yield the results, some chunks at a
    time. Those that cannot be read through the first frame of each are in none of them.

    Holds the frames' places, _DELTA_BYTES_HELD of deltas, and on each thread some chunks and
    BATCH_BYTES of plain frames. Raises StoreError.
    """
    keep_freed_chunks()
    reader, store = chunk_store.reader, chunk_store.store
    for trees in _blocks(_trees(reader.places(list(chunks)))):
        deltas = Chains({})
        deltas.hold(store, (one for tree in trees for one in tree.deltas), reader.transfers)

        def searched(group: Sequence[_Tree], deltas: Chains = deltas) -> Searched:
            plain = Chains({})
            plain.hold(store, [tree.root for tree in group])
            found = Searched(set(), 0)
            for tree in group:
                one = _Walk(reader, tree, (plain, deltas), has).search(chunks)
                found = Searched(found.without | one.without, found.read_bytes + one.read_bytes)
            return found

        at_once = max(min(os.cpu_count() or 2, BATCHES_IN_FLIGHT), reader.transfers)
        for _, result in side_by_side(_groups(trees), searched, at_once):
            yield result


def _trees(frames: Mapping[ChunkId, Sequence[Location]]) -> list[_Tree]:
    """Return the trees of *frames*, taking the first of each chunk, in the order in which their
    plain ones are stored."""
    first = {chunk: places[0] for chunk, places in frames.items()}
    trees: dict[ChunkId, _Tree] = {}
    # A base has less depth than what goes back to it: it comes first.
    for chunk, location in sorted(first.items(), key=lambda one: one[1].frame.depth):
        base = location.frame.base
        if base is None:
            trees[chunk] = _Tree(location)
        elif base in trees and first[base].frame.depth < location.frame.depth:
            tree = trees[chunk] = trees[base]
            tree.below.setdefault(base, []).append(location)
    each = {id(tree): tree for tree in trees.values()}
    return sorted(each.values(), key=lambda tree: (tree.root.pack, tree.root.offset))


def _blocks(trees: Sequence[_Tree]) -> Iterator[list[_Tree]]:
    """Yield *trees*, as many at a time as have _DELTA_BYTES_HELD of deltas."""
    return _parts(trees, lambda tree: _frame_bytes(tree.deltas), _DELTA_BYTES_HELD)


def _groups(trees: Sequence[_Tree]) -> Iterator[list[_Tree]]:
    """Yield *trees* in groups for one thread each."""
    return _parts(trees, lambda tree: _frame_bytes([tree.root]), BATCH_BYTES)


def _frame_bytes(locations: Iterator[Location] | Sequence[Location]) -> int:
    return sum(location.frame.frame_bytes for location in locations)


def _parts(
    trees: Sequence[_Tree], size_of: Callable[[_Tree], int], bytes_max: int
) -> Iterator[list[_Tree]]:
    part: list[_Tree] = []
    size = 0
    for tree in trees:
        more = size_of(tree)
        if part and size + more > bytes_max:
            yield part
            part, size = [], 0
        part.append(tree)
        size += more
    if part:
        yield part


class _Walk:
    """Goes through one tree: a base is held only until the last delta against it is decoded."""

    def __init__(
        self, reader: ChunkReader, tree: _Tree, held: tuple[Chains, Chains], has: Search
    ) -> None:
        self._reader = reader
        self._tree = tree
        self._plain, self._deltas = held
        self._has = has

    def search(self, wanted: Mapping[ChunkId, int]) -> Searched:
        found: set[ChunkId] = set()
        read_bytes = 0
        sizes = self._sizes()
        # Each with its base's bytes, and whether these are without what is searched for.
        waiting: list[tuple[Location, bytes | None, bool]] = [(self._tree.root, None, False)]
        while waiting:
            location, base, is_base_without = waiting.pop()
            frame = location.frame
            try:
                plain, places = self._decoded(location, base)
                if frame.chunk in wanted:
                    self._reader.check(location, plain)
            except (CorruptionError, ObjectNotFound):
                # What goes back to it cannot be relied on either.
                continue
            finally:
                del base
            is_without = not self._has(plain, places if is_base_without else None)
            read_bytes += len(plain)
            if is_without and wanted.get(frame.chunk) == len(plain):
                found.add(frame.chunk)
            # The one with most below it comes last, when its base need not be held any more: so
            # there are few bases at a time, however the tree has grown.
            below = self._tree.below.get(frame.chunk, ())
            for one in sorted(below, key=lambda one: -sizes[one.frame.chunk]):
                waiting.append((one, plain, is_without))
        return Searched(found, read_bytes)

    def _sizes(self) -> dict[ChunkId, int]:
        """Return how many deltas go back to each, itself included."""
        sizes: dict[ChunkId, int] = {}
        for one in sorted(self._tree.deltas, key=attrgetter("frame.depth"), reverse=True):
            below = self._tree.below.get(one.frame.chunk, ())
            sizes[one.frame.chunk] = 1 + sum(sizes[each.frame.chunk] for each in below)
        return sizes

    def _decoded(self, location: Location, base: bytes | None) -> tuple[bytes, Places | None]:
        """Return a chunk, and where it is not as its *base*, if that is known."""
        frame = location.frame
        data = self._reader.frame(location, self._plain if base is None else self._deltas)
        if frame.codec is Codec.EDITS and base is not None:
            # Late: it takes NumPy, and lists of chunks are read without.
            from pgsnap.codecs.edits import decode_with_places

            return decode_with_places(data, base, frame.chunk_bytes)
        return decompress(frame.codec, data, frame.chunk_bytes, base), None
