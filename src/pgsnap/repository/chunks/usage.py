"""Which chunks snapshots, databases and tables need, counted in arrays.

Every list of chunks (a piece of a section table, a recipe node) is read once, however many
snapshots share it, and what it lists is kept as numbers, up to a bound. A list is gone through
again only where that can change something: when a second snapshot reaches it, and once for each
database.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.format.recipe import decode_children
from pgsnap.format.sections import decode_piece, decode_roots
from pgsnap.limits import RECIPE_LEVELS_MAX
from pgsnap.model import HASH_BYTES, ChunkId, ChunkKind, RecipeRoot, Section, SectionName
from pgsnap.repository.index.frame_table import NOBODY, Array, FrameTable
from pgsnap.repository.repository import Repository

SEVERAL = -2
"""More than one needs it."""

# What is under way at once: some 130,000 chunks.
_LISTS_AT_ONCE = 512
_SNAPSHOTS_AT_ONCE = 4096
# What is kept of lists, five bytes each: 40 MB. Beyond it a list that two snapshots share is read
# twice.
_KEPT_MAX = 8_000_000
# Pieces of section tables have this level, the recipe nodes above them the next ones: so a level
# says what a chunk is. Recipe nodes of sections have levels from 1, data chunks 0.
_PIECE = RECIPE_LEVELS_MAX + 1
_ReadList: TypeAlias = "tuple[tuple[int, int], bytes]"
"""A list's number and level, and its bytes."""
# The group of the lists of sections themselves; those of tables are numbered from 1.
_LISTS = 0


class Usage:
    """Marks what snapshots need, one database after another; then adds up.

    With *tables* every chunk is also given to a table (or other section), the one that it is met
    in first: snapshots in the order they are added, a delta's base after all that list it.
    """

    def __init__(self, repo: Repository, *, tables: bool = False) -> None:
        import numpy as np

        repo.catch_up_packs()
        self._chunks = repo.chunks
        self._table = FrameTable(repo.index)
        nearest = self._table.nearest()
        self.chunks = count = len(nearest)
        self._chunk_bytes = self._table.chunk_bytes
        self._kind = self._table.kind[nearest]
        # Of all frames of a chunk.
        self._frame_bytes = np.bincount(
            self._table.chunk, self._table.frame_bytes, minlength=count
        ).astype(np.uint32)
        self._base = self._table.base[nearest]
        self._depth = self._table.rank[nearest]
        self._owner = np.full(count, NOBODY, np.int32)
        self._seen_by = np.full(count, NOBODY, np.int32)
        self._only_of = np.full(count, NOBODY, np.int32)
        self._list_of = np.full(count, NOBODY, np.int32)
        self._starts, self._counts = array("q"), array("i")
        self._children, self._levels = array("i"), array("b")
        self._group = np.full(count, NOBODY, np.int32) if tables else None
        self._groups: dict[SectionName, int] = {}
        self._digest_groups, self._digests = array("i"), array("Q")
        self.lists_read = 0
        self.missing = 0

    # -- marking ------------------------------------------------------------------------------

    def add(self, snapshots: Iterable[tuple[int, RecipeRoot]], database: int) -> None:
        """Mark what *snapshots* of *database* need, each given as its number and the recipe of its
        section table; all snapshots of a database one after another. Raises CorruptionError where
        a list cannot be read.

        With tables they are gone through one by one, so that the first one comes first; else some
        thousands at once, which takes a tenth of the time where they are small.
        """
        at_once = _SNAPSHOTS_AT_ONCE if self._group is None else 1
        several = iter(snapshots)
        while some := list(islice(several, at_once)):
            self._add(some, database)

    def _add(self, snapshots: Sequence[tuple[int, RecipeRoot]], database: int) -> None:
        import numpy as np

        roots = [(number, root) for number, root in snapshots if root.chunk is not None]
        chunks = [root.chunk for _, root in roots if root.chunk is not None]
        numbers, levels, found = self._known(chunks, [_PIECE + root.level for _, root in roots])
        owners = np.array([number for number, _ in roots], np.int32)[found]
        if self._group is not None:
            self._group[numbers] = _LISTS
        waiting = [(numbers, levels, owners)]
        while waiting:
            numbers, levels, owners = _each_once(*waiting.pop())
            owners, changed = self._mark(numbers, owners, database)
            again = changed & (levels > 0)
            numbers, levels, owners = numbers[again], levels[again], owners[again]
            for start in range(0, len(numbers), _LISTS_AT_ONCE):
                part = slice(start, start + _LISTS_AT_ONCE)
                waiting.append(self._under(numbers[part], levels[part], owners[part]))

    def _mark(self, numbers: Array, owners: Array, database: int) -> tuple[Array, Array]:
        """Return whose *numbers* are now, and which of them are marked otherwise than before."""
        import numpy as np

        before = self._owner[numbers]
        after = np.where((before == NOBODY) | (before == owners), owners, SEVERAL)
        changed = (before != after) | (self._seen_by[numbers] != database)
        self._owner[numbers] = after
        self._seen_by[numbers] = database
        return after, changed

    def _under(self, numbers: Array, levels: Array, owners: Array) -> tuple[Array, Array, Array]:
        """Return what the lists *numbers* list, its levels, and the owner of its list."""
        import numpy as np

        lists = self._list_of[numbers]
        unread = lists == NOBODY
        found = [*self._read(numbers[unread].tolist(), levels[unread].tolist())]
        lengths = [len(children) for children, _ in found]
        lists = lists[~unread]
        starts, counts = _some(self._starts, lists), _some(self._counts, lists)
        # For each list the places from its start on, one list after another.
        before = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        found.append((_some(self._children, places), _some(self._levels, places)))
        children, of_levels = zip(*found, strict=True)
        of_owners = [np.repeat(owners[unread], lengths), np.repeat(owners[~unread], counts)]
        return np.concatenate(children), np.concatenate(of_levels), np.concatenate(of_owners)

    # -- reading lists ------------------------------------------------------------------------

    def _read(self, numbers: list[int], levels: list[int]) -> Iterator[tuple[Array, Array]]:
        """Yield what each of these lists lists, and its levels; keep it while there is room."""
        if not numbers:
            return
        wanted = (
            ((number, level), chunk, int(self._chunk_bytes[number]))
            for number, level, chunk in zip(numbers, levels, self._table.ids(numbers), strict=True)
        )
        read = self._chunks.read_ahead(wanted)
        found = self._by_table(read) if self._group is not None else self._by_list(read)
        for number, children, of_levels in found:
            self.lists_read += 1
            if len(self._children) < _KEPT_MAX:
                self._list_of[number] = len(self._starts)
                self._starts.append(len(self._children))
                self._counts.append(len(children))
                self._children.frombytes(children.tobytes())
                self._levels.frombytes(of_levels.tobytes())
            yield children, of_levels

    def _by_list(self, read: Iterable[_ReadList]) -> Iterator[tuple[int, Array, Array]]:
        """Yield what each list lists, and its levels; their chunks are looked up all at once."""
        import numpy as np

        numbers, lengths, levels = [], [], []
        chunks: list[ChunkId] = []
        for (number, level), data in read:
            if level == _PIECE:
                before = len(chunks)
                for root in decode_roots(data):
                    if root.chunk is not None:
                        chunks.append(root.chunk)
                        levels.append(root.level)
                lengths.append(len(chunks) - before)
            else:
                ids = decode_children(data, _own_level(level))
                chunks.append(ids)
                lengths.append(len(ids) // HASH_BYTES)
                levels += [level - 1] * lengths[-1]
            numbers.append(number)
        children, of_levels, found = self._known(chunks, levels)
        ends = np.cumsum(np.append(0, found))[np.cumsum(lengths)].tolist()
        for number, start, end in zip(numbers, [0, *ends], ends, strict=False):
            yield number, children[start:end], of_levels[start:end]

    def _by_table(self, read: Iterable[_ReadList]) -> Iterator[tuple[int, Array, Array]]:
        """Yield the same, and give what is listed to its tables."""
        assert self._group is not None
        for (number, level), data in read:
            if level == _PIECE:
                yield number, *self._read_piece(decode_piece(data))
            else:
                ids = decode_children(data, _own_level(level))
                count = len(ids) // HASH_BYTES
                group = [int(self._group[number])] * count
                yield number, *self._given([ids], [level - 1] * count, group)

    def _read_piece(self, sections: Iterable[Section]) -> tuple[Array, Array]:
        chunks, levels, groups = [], [], []
        for section in sections:
            name = SectionName(section.name.kind, section.name.schema, section.name.name)
            group = self._groups.setdefault(name, len(self._groups) + 1)
            self._digest_groups.append(group)
            self._digests.append(int.from_bytes(section.digest[:8], "big"))
            for segment in section.segments:
                root = segment.recipe
                if root.chunk is not None:
                    chunks.append(root.chunk)
                    levels.append(root.level)
                    groups.append(group)
        return self._given(chunks, levels, groups)

    def _given(
        self, chunks: list[ChunkId], levels: list[int], groups: list[int]
    ) -> tuple[Array, Array]:
        """Return what a list lists and its levels, given to its tables; *chunks* are ids, or many
        joined."""
        import numpy as np

        assert self._group is not None
        numbers, of_levels, found = self._known(chunks, levels)
        of = np.array(groups, np.int32)[found]
        free = self._group[numbers] == NOBODY
        # Backwards, so that of several the first one stays.
        self._group[numbers[free][::-1]] = of[free][::-1]
        return numbers, of_levels

    def _known(self, chunks: list[ChunkId], levels: list[int]) -> tuple[Array, Array, Array]:
        """Return the numbers of those of *chunks* that the index knows, their levels, and which
        they are. Raises CorruptionError where a list is missing."""
        import numpy as np

        numbers = self._table.numbers(chunks)
        of_levels = np.array(levels, np.int8)
        found = numbers != NOBODY
        if not found.all():
            self.missing += int((~found).sum())
            if (of_levels[~found] > 0).any():
                raise CorruptionError(
                    "a list of chunks is missing",
                    detail="No sound pack holds it.",
                    hint="See what else is damaged, and what mends it: snap verify",
                )
        return numbers[found], of_levels[found], found

    # -- sums ---------------------------------------------------------------------------------

    def end_database(self, database: int) -> tuple[int, int]:
        """Return the plain bytes of the distinct data that *database* needs, and the bytes of all
        frames that it needs, bases of deltas among them."""
        import numpy as np

        needed = self._seen_by == database
        plain = _sum(self._chunk_bytes, needed & (self._kind == ChunkKind.DATA))
        for deltas, bases in self._delta_steps():
            needed[bases[needed[deltas]]] = True
        self._only_of[needed] = np.where(self._only_of[needed] == NOBODY, database, SEVERAL)
        return plain, _sum(self._frame_bytes, needed)

    def only_of(self, databases: int) -> list[int]:
        """Return for each of the first *databases* the bytes that no other one needs."""
        return _sums(self._only_of, self._frame_bytes, databases)

    def plain_bytes(self) -> int:
        """Return the plain bytes of the distinct data that any snapshot needs."""
        needed = (self._owner != NOBODY) & (self._kind == ChunkKind.DATA)
        return _sum(self._chunk_bytes, needed)

    def freed(self, snapshots: int) -> list[int]:
        """Return for each of the first *snapshots* the bytes of the frames that it alone needs: a
        frame that is a base for another snapshot's chunk is none of them."""
        owner = self._all_owners()
        return _sums(owner, self._frame_bytes, snapshots)

    def unneeded(self) -> int:
        """Return the bytes of the frames that no snapshot needs."""
        return _sum(self._frame_bytes, self._all_owners() == NOBODY)

    def _delta_steps(self) -> Iterator[tuple[Array, Array]]:
        """Yield deltas and their bases, the deepest deltas first: where each step hands something
        on from delta to base, it has reached every base in the end.

        A base is less deep than its delta in every frame that readers follow, so all that can be
        handed to a delta has been by then.
        """
        import numpy as np

        for depth in range(int(self._depth.max(initial=0)), 0, -1):
            deltas = np.flatnonzero((self._depth == depth) & (self._base >= 0))
            yield deltas, self._base[deltas]

    def _all_owners(self) -> Array:
        """Return the owner of every chunk, with what is handed on from deltas to bases."""
        import numpy as np

        owner = self._owner.copy()
        for deltas, bases in self._delta_steps():
            given = owner[deltas]
            live = given != NOBODY
            given, bases = given[live], bases[live]
            order = np.argsort(bases, kind="stable")
            given, bases = given[order], bases[order]
            if not len(bases):
                continue
            # A base may be handed on by several deltas at once.
            first = np.flatnonzero(np.append(True, bases[1:] != bases[:-1]))
            low = np.minimum.reduceat(given, first)
            high = np.maximum.reduceat(given, first)
            one = np.where(low == high, low, SEVERAL)
            bases = bases[first]
            had = owner[bases]
            owner[bases] = np.where((had == NOBODY) | (had == one), one, SEVERAL)
        return owner

    def by_kind(self) -> dict[ChunkKind, int]:
        """Return the bytes of all frames of each kind, needed or not."""
        return {kind: _sum(self._frame_bytes, self._kind == kind) for kind in ChunkKind}

    def by_group(self) -> list[tuple[SectionName | None, int, int]]:
        """Return each table with the bytes of the frames that were given to it, and how many
        different contents it had; None stands for the lists of sections."""
        import numpy as np

        assert self._group is not None, "the tables were not asked for"
        group = self._group.copy()
        for deltas, bases in self._delta_steps():
            given = (group[bases] == NOBODY) & (group[deltas] != NOBODY)
            group[bases[given]] = group[deltas[given]]
        names: list[SectionName | None] = [None, *self._groups]
        sizes = _sums(group, self._frame_bytes, len(names))
        pairs = np.zeros(len(self._digests), [("group", np.int32), ("digest", np.uint64)])
        pairs["group"], pairs["digest"] = self._digest_groups, self._digests
        versions = np.bincount(np.unique(pairs)["group"], minlength=len(names)).tolist()
        return list(zip(names, sizes, versions, strict=True))


def _own_level(level: int) -> int:
    """Return the level of a list of chunks within its own tree."""
    return level - _PIECE if level > _PIECE else level


def _each_once(numbers: Array, levels: Array, owners: Array) -> tuple[Array, Array, Array]:
    """Return each of *numbers* once, with the first of its levels, and its owner: SEVERAL where it
    has more than one."""
    import numpy as np

    order = np.argsort(numbers, kind="stable")
    numbers, levels, owners = numbers[order], levels[order], owners[order]
    if not len(numbers):
        return numbers, levels, owners
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    low, high = np.minimum.reduceat(owners, first), np.maximum.reduceat(owners, first)
    return numbers[first], levels[first], np.where(low == high, low, SEVERAL)


def _some(values: array[int], places: Array) -> Array:
    """Return the values at *places*, as a NumPy array of the same type."""
    import numpy as np

    if not len(places):
        return np.zeros(0, np.dtype(values.typecode))
    return np.frombuffer(values, np.dtype(values.typecode))[places]


def _sum(sizes: Array, where: Array) -> int:
    return int(sizes[where].sum(dtype="int64"))


def _sums(owners: Array, sizes: Array, count: int) -> list[int]:
    """Return for each owner from 0 to *count* the sum of what it owns."""
    import numpy as np

    owned = owners >= 0
    # Doubles are exact up to 2**53 bytes.
    sums = np.bincount(owners[owned], weights=sizes[owned], minlength=count)
    return [int(total) for total in sums]
