"""Recipe trees: built bottom-up while a section is stored, walked lazily while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import decode_node, encode_node, ends_node
from pgsnap.limits import RECIPE_LEVELS_MAX
from pgsnap.model import EMPTY_RECIPE, ChunkId, RecipeEntry, RecipeRoot


class RecipeBuilder:
    """Collects the chunks of one segment. Holds at most one unfinished node per level.

    *store_node* takes a node, its level, and the number of lines before its first.
    """

    def __init__(self, store_node: Callable[[bytes, int, int], ChunkId]) -> None:
        self._store_node = store_node
        self._lines = 0
        # At index n: the entries of the unfinished node of level n + 1.
        self._open: list[list[RecipeEntry]] = [[]]

    def add(self, entry: RecipeEntry) -> None:
        self._lines += entry.lines
        self._add(0, entry)

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
        """Return the root: the chunk itself where there is only one."""
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

    Raises CorruptionError where the sizes of a node's children do not add up.
    """
    if root.chunk is None:
        return
    if root.level > RECIPE_LEVELS_MAX:
        raise CorruptionError("a recipe is damaged", detail=f"It has {root.level} levels.")
    yield from _walk(RecipeEntry(root.chunk, root.plain_bytes, root.lines), root.level, read_node)


def _walk(
    entry: RecipeEntry, level: int, read_node: Callable[[ChunkId], bytes]
) -> Iterator[RecipeEntry]:
    if level == 0:
        yield entry
        return
    children = decode_node(read_node(entry.chunk), level)
    if sum(child.plain_bytes for child in children) != entry.plain_bytes:
        raise CorruptionError("a recipe is damaged", detail="The sizes in a node do not add up.")
    for child in children:
        yield from _walk(child, level - 1, read_node)


def node_at(
    root: RecipeRoot, level: int, line: int, read_node: Callable[[ChunkId], bytes]
) -> ChunkId | None:
    """Return the node of *level* under *root* that holds *line* (from 0; the last one where there
    are fewer), or None where the tree is not so high."""
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


def nodes(root: RecipeRoot, read_node: Callable[[ChunkId], bytes]) -> Iterator[ChunkId]:
    """Yield every chunk of the tree, nodes too, parents first."""
    if root.chunk is None:
        return
    pending = [(root.chunk, root.level)]
    while pending:
        chunk, level = pending.pop()
        yield chunk
        if level:
            children = decode_node(read_node(chunk), level)
            pending.extend((child.chunk, level - 1) for child in reversed(children))
