"""Which chunks of older versions of a table may hold a row that a newer one does not have.

A row that is in one chunk, or goes on from one to the next, is in every section that has these
chunks one after the other. So where a newer section has the same two chunks in this order, and
neither in any other order, no row has to be looked for at that border.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import decode_node
from pgsnap.limits import RECIPE_LEVELS_MAX
from pgsnap.model import ChunkId, RecipeEntry, RecipeRoot, Section
from pgsnap.repository.chunks.recipes import walk
from pgsnap.values import dataclass

_ReadNode: TypeAlias = "Callable[[ChunkId], bytes]"
# A forged recipe may list one node many times over, on each level.
_LISTS_MAX = 1_000_000
_START = b""
_SEVERAL = b"several"


@dataclass(frozen=True, slots=True)
class _Node:
    """What is under a node of a recipe: its first and last chunk, and those at new borders, as one
    list for each node of the lowest level."""

    first: RecipeEntry
    last: RecipeEntry
    new: tuple[tuple[ChunkId, ...], ...]
    plain_bytes: int


class Borders:
    """The borders between the chunks of sections with rows of one form."""

    def __init__(self, read_node: _ReadNode) -> None:
        self._read_node = read_node
        self._before: dict[ChunkId, ChunkId] = {}
        # The bytes before the rows of sections with this first chunk, and after them, by the last.
        self._heads: dict[ChunkId, int] = {}
        self._tails: dict[ChunkId, int] = {}
        self._nodes: dict[tuple[ChunkId, int], _Node] = {}
        self._wanted: dict[ChunkId, tuple[ChunkId, int]] = {}
        self.wanted_bytes = 0
        self.listed = 0
        """How often a chunk at a new border is listed."""

    @property
    def known(self) -> int:
        """How many chunks' borders are known."""
        return len(self._before)

    def __len__(self) -> int:
        """Return how many chunks are at new borders."""
        return len(self._wanted)

    @property
    def wanted(self) -> dict[ChunkId, int]:
        """The chunks at new borders, each with its size."""
        return dict(self._wanted.values())

    def know(self, sections: Iterable[Section], most: int) -> bool:
        """Take in *sections* of the newer version; return whether they have at most so many chunks.
        Raises CorruptionError, ObjectNotFound."""
        for section in sections:
            before, last = _START, b""
            for recipe in section.recipes:
                for entry in walk(recipe, self._read_node):
                    if self._before.setdefault(entry.chunk, before) != before:
                        self._before[entry.chunk] = _SEVERAL
                    before = last = entry.chunk
                    if len(self._before) > most:
                        return False
            first = next(self._entries(section), None)
            if first is not None:
                _note(self._heads, first.chunk, section.head_bytes)
                _note(self._tails, last, section.tail_bytes)
        return True

    def new_in(self, section: Section) -> list[tuple[ChunkId, ...]] | None:
        """Return the chunks at new borders of an older section, in lists that sections share; None
        if they do not say all. Raises CorruptionError, ObjectNotFound."""
        found: list[tuple[ChunkId, ...]] = []
        before: RecipeEntry | None = None
        first: RecipeEntry | None = None
        for recipe in section.recipes:
            node = self._root(recipe)
            if node is None:
                continue
            found += (self._border(before, node.first), *node.new)
            first, before = first or node.first, node.last
        if first is None or before is None:
            return []
        # The same text has its rows at the same place, unless somebody forged it.
        if self._heads.get(first.chunk, section.head_bytes) != section.head_bytes:
            return None
        if self._tails.get(before.chunk) != section.tail_bytes:
            # It may end within the last row that the newer one has there.
            found.append(self._take(before))
        return [some for some in found if some]

    def _entries(self, section: Section) -> Iterator[RecipeEntry]:
        for recipe in section.recipes:
            yield from walk(recipe, self._read_node)

    def _root(self, root: RecipeRoot) -> _Node | None:
        if root.chunk is None:
            return None
        if root.level > RECIPE_LEVELS_MAX:
            raise CorruptionError("a recipe is damaged", detail=f"It has {root.level} levels.")
        entry = RecipeEntry(root.chunk, root.plain_bytes, root.lines)
        return self._under(entry, root.level)

    def _under(self, entry: RecipeEntry, level: int) -> _Node:
        if level == 0:
            return _Node(entry, entry, (), entry.plain_bytes)
        node = self._nodes.get((entry.chunk, level))
        if node is None:
            children = decode_node(self._read_node(entry.chunk), level)
            node = self._listed(children) if level == 1 else self._joined(children, level)
            self._nodes[entry.chunk, level] = node
        if node.plain_bytes != entry.plain_bytes:
            raise CorruptionError(
                "a recipe is damaged", detail="The sizes in a node do not add up."
            )
        return node

    def _listed(self, entries: list[RecipeEntry]) -> _Node:
        new: dict[ChunkId, None] = {}
        for before, entry in pairwise(entries):
            new.update(dict.fromkeys(self._border(before, entry)))
        self.listed += len(new)
        return _Node(entries[0], entries[-1], (tuple(new),), _bytes_of(entries))

    def _joined(self, children: list[RecipeEntry], level: int) -> _Node:
        new: list[tuple[ChunkId, ...]] = []
        nodes = [self._under(child, level - 1) for child in children]
        for number, node in enumerate(nodes):
            if number:
                new.append(self._border(nodes[number - 1].last, node.first))
            new += node.new
            if len(new) > _LISTS_MAX:
                raise CorruptionError("a recipe is damaged", detail="It lists a node too often.")
        lists = tuple(some for some in new if some)
        return _Node(nodes[0].first, nodes[-1].last, lists, _bytes_of(children))

    def _border(self, before: RecipeEntry | None, entry: RecipeEntry) -> tuple[ChunkId, ...]:
        """Return the chunks on both sides of a border if it is new."""
        known = self._before.get(entry.chunk)
        if known == (before.chunk if before is not None else _START):
            return ()
        taken = self._take(entry)
        return taken if before is None else (*self._take(before), *taken)

    def _take(self, entry: RecipeEntry) -> tuple[ChunkId]:
        held = self._wanted.get(entry.chunk)
        if held is None:
            held = self._wanted[entry.chunk] = entry.chunk, entry.plain_bytes
            self.wanted_bytes += entry.plain_bytes
        if held[1] != entry.plain_bytes:
            raise CorruptionError("a recipe is damaged", detail="A chunk has two sizes in it.")
        return held[:1]


def _note(known: dict[ChunkId, int], chunk: ChunkId, size: int) -> None:
    """Note a size for a chunk; one that no section has if there are several."""
    known[chunk] = size if known.get(chunk, size) == size else -1


def _bytes_of(entries: Collection[RecipeEntry]) -> int:
    return sum(entry.plain_bytes for entry in entries)
