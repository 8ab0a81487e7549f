"""Recipe trees: built bottom-up as a section is stored, walked lazily as it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import decode_node, encode_node, ends_node
from pgsnap.format.sections import decode_piece
from pgsnap.limits import (
    PIECE_BYTES_MAX,
    RECIPE_CHUNK_BYTES_LEAST,
    RECIPE_CHUNKS_FREE,
    RECIPE_LEVELS_MAX,
)
from pgsnap.model import EMPTY_RECIPE, ChunkId, RecipeEntry, RecipeRoot, Section
from pgsnap.repository.chunks.chunks import ChunkReader

# Some 250 bytes each. A TiB of distinct data has 16,000 nodes.
_REMEMBERED_MAX = 200_000

_NodeKey: TypeAlias = "tuple[ChunkId, int, int, int]"
"""A node, its level, and its bytes and lines according to its parent."""


class RecipeBuilder:
    """Collects the chunks of one segment. Holds at most one unfinished node per level.

    *store_node* is called with a node, its level, and the number of lines before it.
    """

    def __init__(self, store_node: Callable[[bytes, int, int], ChunkId]) -> None:
        self._store_node = store_node
        self._lines = 0
        # At index n: the entries of the unfinished node of level n + 1.
        self._open: list[list[RecipeEntry]] = [[]]

    def add(self, entry: RecipeEntry) -> None:
        self._lines += entry.lines
        self._add(0, entry)

    def add_node(self, entry: RecipeEntry, level: int) -> bool:
        """Add a node that is stored already, with all that is below it; return False if another
        node has not ended before it: then its children have to be added instead."""
        if any(self._open[:level]):
            return False
        self._open += [[] for _ in range(level + 1 - len(self._open))]
        self._lines += entry.lines
        self._add(level, entry)
        return True

    def _add(self, height: int, entry: RecipeEntry) -> None:
        if height == len(self._open):
            self._open.append([])
        node = self._open[height]
        node.append(entry)
        if ends_node(len(node), entry.chunk):
            self._close(height)

    def _close(self, height: int) -> None:
        node = self._open[height]
        lines = sum(entry.lines for entry in node)
        after = sum(entry.lines for level in self._open[:height] for entry in level)
        first_line = self._lines - after - lines
        chunk = self._store_node(encode_node(height + 1, node), height + 1, first_line)
        total = RecipeEntry(chunk, sum(entry.plain_bytes for entry in node), lines)
        self._open[height] = []
        self._add(height + 1, total)

    def finish(self) -> RecipeRoot:
        """Return the root, which is the chunk itself if there is only one."""
        height = 0
        while height < len(self._open):
            node = self._open[height]
            if height == len(self._open) - 1 and len(node) <= 1:
                break
            if node:
                self._close(height)
            height += 1
        top = self._open[-1]
        if not top:
            return EMPTY_RECIPE
        entry = top[0]
        return RecipeRoot(entry.chunk, len(self._open) - 1, entry.plain_bytes, entry.lines)


def walk(root: RecipeRoot, read_node: Callable[[ChunkId], bytes]) -> Iterator[RecipeEntry]:
    """Yield the data chunks under *root*, in order; *read_node* returns a chunk's plaintext.

    Raises CorruptionError if the sizes of a node's children do not add up, or if there are so many
    chunks that they would be tiny: no writer stores such a list, but a forged one that lists a node
    many times over would keep a reader busy for years.
    """
    if root.chunk is None:
        return
    if root.level > RECIPE_LEVELS_MAX:
        raise CorruptionError("a recipe is damaged", detail=f"It has {root.level} levels.")
    most = chunks_most(root.plain_bytes)
    top = RecipeEntry(root.chunk, root.plain_bytes, root.lines)
    for number, entry in enumerate(_walk(top, root.level, read_node)):
        if number >= most:
            raise CorruptionError(
                "a recipe is damaged",
                detail=f"It lists more than {most} chunks for {root.plain_bytes} bytes.",
            )
        yield entry


def section_pieces(
    table: RecipeRoot, reader: ChunkReader
) -> Iterator[tuple[ChunkId, Iterator[Section]]]:
    """Yield the pieces of a section table, each with its sections. Raises CorruptionError, also for
    a repeated piece: no two sections have the same name."""
    seen: set[ChunkId] = set()
    for piece in walk(table, reader.read):
        if piece.chunk in seen or piece.plain_bytes > PIECE_BYTES_MAX:
            raise CorruptionError(
                "a section table is damaged", detail="It lists what no writer lists."
            )
        seen.add(piece.chunk)
        yield piece.chunk, decode_piece(reader.read(piece.chunk, piece.plain_bytes))


def chunks_most(plain_bytes: int) -> int:
    """Return the maximum number of chunks in a recipe of *plain_bytes*."""
    return RECIPE_CHUNKS_FREE + plain_bytes // RECIPE_CHUNK_BYTES_LEAST


def _walk(
    entry: RecipeEntry, level: int, read_node: Callable[[ChunkId], bytes]
) -> Iterator[RecipeEntry]:
    if level == 0:
        yield entry
        return
    children = decode_node(read_node(entry.chunk), level)
    if sum(child.plain_bytes for child in children) != entry.plain_bytes:
        raise CorruptionError("a recipe is damaged", detail="The sizes in a node do not add up.")
    if level == 1:
        yield from children
        return
    for child in children:
        yield from _walk(child, level - 1, read_node)


def node_at(
    root: RecipeRoot, level: int, line: int, read_node: Callable[[ChunkId], bytes]
) -> ChunkId | None:
    """Return the node of *level* under *root* that holds *line* (from 0; the last node if there are
    fewer lines), or None if the tree is not that high."""
    if root.chunk is None or root.level < level:
        return None
    chunk = root.chunk
    for height in range(root.level, level, -1):
        for child in decode_node(read_node(chunk), height):
            chunk = child.chunk
            if line < child.lines:
                break
            line -= child.lines
    return chunk


class RecipeWalk(ABC):
    """Base class for walking recipes: it visits each node once, however many recipes contain it,
    and however often.

    Subclasses define in `look` what makes chunks whole; nodes with everything below them whole are
    remembered, up to a bound. On damage the default is to raise CorruptionError.
    """

    def __init__(self, read_node: Callable[[ChunkId], bytes]) -> None:
        self._read_node = read_node
        # The results for nodes of the current recipes: whether everything is whole, and the number
        # of data chunks; then those of earlier recipes' nodes that are whole.
        self._met: dict[_NodeKey, tuple[bool, int]] = {}
        self._whole: dict[_NodeKey, tuple[bool, int]] = {}

    @abstractmethod
    def look(self, entries: Sequence[RecipeEntry], level: int) -> bool:
        """Return whether these chunks, all of one *level* (0: data), are whole. For nodes this is
        called before they are read."""

    def unread(self, entry: RecipeEntry, error: CorruptionError) -> None:
        """Handle a node that cannot be read."""
        raise error

    def wrong(self, why: str) -> None:
        """Handle sizes that cannot be right."""
        raise CorruptionError("a recipe is damaged", detail=why)

    def go_through(self, roots: Iterable[RecipeRoot]) -> bool:
        """Return whether everything under *roots* is whole."""
        self._met.clear()
        # A list, so that all of them are visited even after one that is not whole.
        found = [self._root(root) for root in roots]
        return all(found)

    def _root(self, root: RecipeRoot) -> bool:
        if root.chunk is None:
            return True
        entry = RecipeEntry(root.chunk, root.plain_bytes, root.lines)
        if root.level == 0:
            return self.look([entry], 0)
        whole, chunks = self._node(entry, root.level)
        if chunks > chunks_most(root.plain_bytes):
            self.wrong(f"Its recipe lists {chunks} chunks for {root.plain_bytes} bytes.")
            return False
        return whole

    def _node(self, entry: RecipeEntry, level: int) -> tuple[bool, int]:
        """Return whether everything under a node is whole, and how many data chunks it lists."""
        key = entry.chunk, level, entry.plain_bytes, entry.lines
        # Otherwise a node's children would be visited once per recipe that contains the node.
        if (known := self._whole.get(key) or self._met.get(key)) is not None:
            return known
        whole, count = self.look([entry], level), 0
        self._met[key] = False, 0
        try:
            children = decode_node(self._read_node(entry.chunk), level)
        except CorruptionError as error:
            self.unread(entry, error)
            return False, 0
        sizes = sum(child.plain_bytes for child in children)
        if (sizes, sum(child.lines for child in children)) != (entry.plain_bytes, entry.lines):
            self.wrong("The sizes in its recipe do not add up.")
            whole = False
        if level == 1:
            whole, count = self.look(children, 0) and whole, len(children)
        else:
            for child in children:
                child_whole, chunks = self._node(child, level - 1)
                whole, count = whole and child_whole, count + chunks
        found = self._met[key] = whole, count
        if whole and len(self._whole) < _REMEMBERED_MAX:
            self._whole[key] = found
        return found


class ChunkBatches(RecipeWalk):
    """Passes all chunks of recipes, including nodes, to *take* in batches of *at_once*: never all
    together, since a TiB in one table is four million."""

    def __init__(
        self,
        read_node: Callable[[ChunkId], bytes],
        take: Callable[[set[ChunkId]], None],
        at_once: int,
    ) -> None:
        super().__init__(read_node)
        self._take = take
        self._at_once = at_once
        self._batch: set[ChunkId] = set()

    def look(self, entries: Sequence[RecipeEntry], level: int) -> bool:
        self._batch.update(entry.chunk for entry in entries)
        if len(self._batch) >= self._at_once:
            self._hand_on()
        return True

    def of(self, roots: Iterable[RecipeRoot]) -> None:
        """Pass on all chunks under *roots*, and those still left from before."""
        self.go_through(roots)
        self._hand_on()

    def _hand_on(self) -> None:
        batch, self._batch = self._batch, set()
        self._take(batch)
