"""Recipe trees: built bottom-up while a section is stored, walked lazily while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import decode_node, encode_node, ends_node
from pgsnap.limits import RECIPE_CHUNK_BYTES_LEAST, RECIPE_CHUNKS_FREE, RECIPE_LEVELS_MAX
from pgsnap.model import EMPTY_RECIPE, ChunkId, RecipeEntry, RecipeRoot

# Some 150 bytes each. A TiB of distinct data has 16,000 nodes.
_SEEN_MAX = 100_000


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

    Raises CorruptionError where the sizes of a node's children do not add up, and where there are
    so many chunks that they would be tiny: nobody stores such a list, but one node that lists
    itself often would keep its reader busy for years.
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


def check_count(root: RecipeRoot, read_node: Callable[[ChunkId], bytes]) -> None:
    """Raise CorruptionError as `walk` does where there are too many chunks, without going through
    them: what a node lists is counted once, however often the tree has the node."""
    counts: dict[tuple[ChunkId, int], int] = {}

    def count(chunk: ChunkId, level: int) -> int:
        if level == 0:
            return 1
        if (chunk, level) not in counts:
            if len(counts) >= _SEEN_MAX:
                counts.clear()
            children = decode_node(read_node(chunk), level)
            counts[chunk, level] = sum(count(child.chunk, level - 1) for child in children)
        return counts[chunk, level]

    # Short ones may have chunks of any size.
    if root.chunk is not None and root.level > 1:
        found, most = count(root.chunk, root.level), chunks_most(root.plain_bytes)
        if found > most:
            raise CorruptionError(
                "a recipe is damaged",
                detail=f"It lists {found} chunks for {root.plain_bytes} bytes.",
            )


def chunks_most(plain_bytes: int) -> int:
    """Return how many chunks a recipe of so many bytes has at most."""
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
    """Yield every chunk of the tree, nodes too, parents first. What a node lists comes once,
    however often the tree has the node (of a very large tree, once in a while)."""
    if root.chunk is None:
        return
    pending = [(root.chunk, root.level)]
    seen: set[tuple[ChunkId, int]] = set()
    while pending:
        chunk, level = pending.pop()
        yield chunk
        if level and (chunk, level) not in seen:
            if len(seen) >= _SEEN_MAX:
                seen.clear()
            seen.add((chunk, level))
            children = decode_node(read_node(chunk), level)
            pending.extend((child.chunk, level - 1) for child in reversed(children))
