"""Which chunks are needed by snapshots, databases and tables, computed with arrays.

Every list of chunks (a piece of a section table, a recipe node) is read once, however many
snapshots share it, and its entries are kept as numbers, up to a bound. A list is visited again only
if that can change something: when a second snapshot reaches it, and once per database.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pgsnap.model import ChunkKind, RecipeRoot, SectionName
from pgsnap.repository.index.frame_table import NOBODY, Array, FrameTable
from pgsnap.repository.lists.lists import Listed, Lists, parts
from pgsnap.repository.lists.tables import TableLists
from pgsnap.repository.repository import Repository

SEVERAL = -2
"""The owner of a chunk that more than one snapshot or database needs."""

_SNAPSHOTS_AT_ONCE = 4096
# Maximum number of list entries kept, five bytes each: 40 MB. Beyond it, a list that two snapshots
# share is read twice.
_KEPT_MAX = 8_000_000


class Usage:
    """Marks what snapshots need, one database after another; then computes the sums.

    With *tables* every chunk is also assigned to a table (or other section), the first that it is
    found in: snapshots in the order they are added, a delta's base after all that list it.
    """

    def __init__(self, repo: Repository, *, tables: bool = False) -> None:
        import numpy as np

        repo.catch_up_packs()
        self._table = FrameTable(repo.index)
        nearest = self._table.nearest()
        self.chunks = count = len(nearest)
        self._chunk_bytes = self._table.chunk_bytes
        self._kind = self._table.kind[nearest]
        # The total of all frames of a chunk.
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
        self._of_tables = TableLists(self._table, repo.chunks) if tables else None
        self._lists = self._of_tables or Lists(self._table, repo.chunks)

    @property
    def missing(self) -> int:
        """Return how many chunks no pack holds."""
        return self._lists.missing

    @property
    def lists_read(self) -> int:
        return self._lists.lists_read

    # -- marking ------------------------------------------------------------------------------

    def add(self, snapshots: Iterable[tuple[int, RecipeRoot]], database: int) -> None:
        """Mark what *snapshots* of *database* need, each given as its number and the recipe of its
        section table; all snapshots of a database must come one after another. Raises
        CorruptionError if a list cannot be read.

        With tables they are processed one by one, in order; otherwise some thousands at once, which
        takes a tenth of the time if they are small.
        """
        at_once = _SNAPSHOTS_AT_ONCE if self._of_tables is None else 1
        several = iter(snapshots)
        while some := list(islice(several, at_once)):
            self._add(some, database)

    def _add(self, snapshots: Sequence[tuple[int, RecipeRoot]], database: int) -> None:
        import numpy as np

        of_some = [(number, root) for number, root in snapshots if root.chunk is not None]
        numbers, levels, found = self._lists.tables(root for _, root in of_some)
        owners = np.array([number for number, _ in of_some], np.int32)[found]
        waiting = self._reach(numbers, levels, owners, database)
        while waiting:
            waiting += self._reach(*self._under(*waiting.pop()), database)

    def _reach(
        self, numbers: Array, levels: Array, owners: Array, database: int
    ) -> list[tuple[Array, ...]]:
        """Mark chunks of the given levels and owners, and return the lists among them that have to
        be visited (again), in parts."""
        import numpy as np

        numbers, levels, owners = _each_once(numbers, levels, owners)
        owners, changed = self._mark(numbers, owners, database)
        again = np.flatnonzero(changed & (levels > 0))
        again = again[self._table.in_place_order(numbers[again])]
        return [*parts(numbers[again], levels[again], owners[again])]

    def _mark(self, numbers: Array, owners: Array, database: int) -> tuple[Array, Array]:
        """Return the new owners of *numbers*, and which of them changed."""
        import numpy as np

        before = self._owner[numbers]
        after = np.where((before == NOBODY) | (before == owners), owners, SEVERAL)
        changed = (before != after) | (self._seen_by[numbers] != database)
        self._owner[numbers] = after
        self._seen_by[numbers] = database
        return after, changed

    def _under(self, numbers: Array, levels: Array, owners: Array) -> tuple[Array, Array, Array]:
        """Return the entries of the lists *numbers*, their levels, and the owners of their
        lists."""
        import numpy as np

        lists = self._list_of[numbers]
        unread = lists == NOBODY
        read = self._read(numbers[unread], levels[unread])
        lists = lists[~unread]
        starts, counts = _some(self._starts, lists), _some(self._counts, lists)
        # The positions of each list's entries, one list after another.
        before = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        return (
            np.concatenate([read.children, _some(self._children, places)]),
            np.concatenate([read.levels, _some(self._levels, places)]),
            np.concatenate(
                [np.repeat(owners[unread], read.counts), np.repeat(owners[~unread], counts)]
            ),
        )

    def _read(self, numbers: Array, levels: Array) -> Listed:
        """Return the entries of these lists, and keep them if there is room."""
        read = self._lists.under(numbers, levels)
        if len(self._children) < _KEPT_MAX:
            start = len(self._children)
            for number, count in zip(read.lists, read.counts, strict=True):
                self._list_of[number] = len(self._starts)
                self._starts.append(start)
                self._counts.append(count)
                start += count
            self._children.frombytes(read.children.tobytes())
            self._levels.frombytes(read.levels.tobytes())
        return read

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
        """Return, for each of the first *databases*, the bytes that no other one needs."""
        return _sums(self._only_of, self._frame_bytes, databases)

    def plain_bytes(self) -> int:
        """Return the plain bytes of the distinct data that any snapshot needs."""
        needed = (self._owner != NOBODY) & (self._kind == ChunkKind.DATA)
        return _sum(self._chunk_bytes, needed)

    def freed(self, snapshots: int) -> list[int]:
        """Return, for each of the first *snapshots*, the bytes of the frames that only it needs: a
        frame that is a base for another snapshot's chunk does not count."""
        owner = self._all_owners()
        return _sums(owner, self._frame_bytes, snapshots)

    def unneeded(self) -> int:
        """Return the bytes of the frames that no snapshot needs."""
        return _sum(self._frame_bytes, self._all_owners() == NOBODY)

    def _delta_steps(self) -> Iterator[tuple[Array, Array]]:
        """Yield deltas and their bases, the deepest deltas first: if each step passes a value on
        from delta to base, it has reached every base in the end.

        A base is less deep than its delta in every frame that readers follow, so everything that
        can be passed to a delta has been by then.
        """
        import numpy as np

        for depth in range(int(self._depth.max(initial=0)), 0, -1):
            deltas = np.flatnonzero((self._depth == depth) & (self._base >= 0))
            yield deltas, self._base[deltas]

    def _all_owners(self) -> Array:
        """Return the owner of every chunk, including what bases inherit from their deltas."""
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
            # A base may inherit from several deltas at once.
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
        """Return each table with the bytes of the frames assigned to it, and how many different
        contents it had; None stands for the section tables' lists."""
        assert self._of_tables is not None, "the tables were not asked for"
        group = self._of_tables.group.copy()
        for deltas, bases in self._delta_steps():
            given = (group[bases] == NOBODY) & (group[deltas] != NOBODY)
            group[bases[given]] = group[deltas[given]]
        names, versions = self._of_tables.versions()
        sizes = _sums(group, self._frame_bytes, len(names))
        return list(zip(names, sizes, versions, strict=True))


def _each_once(numbers: Array, levels: Array, owners: Array) -> tuple[Array, Array, Array]:
    """Return each of *numbers* once, with the first of its levels, and its owner: SEVERAL if it has
    more than one."""
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
    """Return, for each owner from 0 up to *count*, the sum of the sizes it owns."""
    import numpy as np

    owned = owners >= 0
    # Doubles are exact up to 2**53 bytes.
    sums = np.bincount(owners[owned], weights=sizes[owned], minlength=count)
    return [int(total) for total in sums]
