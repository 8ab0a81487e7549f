"""Every frame that the index knows, as arrays of numbers: some 30 bytes a frame.

A chunk is numbered by its place in the order of ids; of an id only the first eight bytes are held.
Chunks whose ids begin alike (one pair among four million chunks has odds of one in two million) are
told apart all the same: what a gc takes for one chunk, it may delete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.model import HASH_BYTES, ChunkId, PackId
from pgsnap.repository.index import Index

Array: TypeAlias = Any
"""A NumPy array. NumPy is imported late: most commands do without."""

NOBODY = -1
"""No chunk, or no frame."""
UNKNOWN = -2
"""A base that the index does not know."""

FRAME_COST = 170
"""Bytes that a frame takes beside its own: a row in its pack's table, and one in the index."""

_PAGE_ROWS = 50_000
_PAGE = (
    'SELECT id, pack_no, "offset", frame_bytes, depth, base, chunk_bytes FROM chunks'
    ' WHERE (id, pack_no, "offset") > (?, ?, ?) ORDER BY id, pack_no, "offset" LIMIT ?'
)


class FrameTable:
    """The frames of an index, in the order of chunk, pack and offset.

    Of frame f: `chunk[f]` its chunk's number, `pack[f]` its pack's number in the index,
    `offset[f]`, `frame_bytes[f]`, `rank[f]` its depth (0 without a base), `base[f]` the number of
    its base (NOBODY without one, UNKNOWN where the index knows no such chunk), `is_sound[f]`
    whether nothing wrong is known of it. `packs` are the packs by their numbers, with their sizes.
    Of chunk c: `chunk_bytes[c]`.
    """

    def __init__(self, index: Index) -> None:
        import numpy as np

        self._index = index
        self.packs: dict[int, tuple[PackId, int]] = {
            number: (pack, size)
            for number, pack, size in index.query("SELECT pack_no, id, pack_bytes FROM packs")
        }
        parts = _Columns()
        for rows in _pages(index):
            parts.take(rows)
        self._ids, self._twins = parts.ids(), parts.twins
        self.chunk = parts.joined(0, np.int32)
        self.pack = parts.joined(1, np.int32)
        self.offset = parts.joined(2, np.uint32)
        self.frame_bytes = parts.joined(3, np.uint32)
        self.rank = parts.joined(4, np.uint8)
        self.chunk_bytes = parts.joined(7, np.uint32)
        bases, at = parts.joined(5, np.uint64), parts.joined(6, np.int32)
        self.base = np.full(len(self.chunk), NOBODY, np.int32)
        numbers = self._places(bases)
        numbers[numbers == NOBODY] = UNKNOWN
        self.base[at] = numbers
        self._tell_twins_apart()
        self.rank[self.base == NOBODY] = 0
        self.is_sound = np.isin(self.pack, np.fromiter(self.packs, np.int32, len(self.packs)))
        self._take_marks()

    def __len__(self) -> int:
        return len(self.chunk)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self._ids)

    def numbers(self, chunks: Sequence[ChunkId]) -> Array:
        """Return the numbers of *chunks*, NOBODY where the index knows none."""
        found = self._places(_beginnings(chunks))
        if self._twins:
            for place, chunk in enumerate(chunks):
                found[place] = self._twins.get(chunk, found[place])
        return found

    def ids(self, numbers: Sequence[int]) -> list[ChunkId]:
        """Return the ids of chunks."""
        found = []
        for number in numbers:
            begin = int(self._ids[number]).to_bytes(8, "big")
            rows = self._index.query(
                "SELECT DISTINCT id FROM chunks WHERE id BETWEEN ? AND ?",
                (begin, begin + b"\xff" * (HASH_BYTES - 8)),
            )
            ids = [row[0] for row in rows]
            found += [one for one in ids if len(ids) == 1 or self._twins[one] == number]
        return found

    def carried_over(self, table: FrameTable, chosen: Array) -> Array:
        """Return which chunks of this table were *chosen* in another *table*; where ids begin
        alike, and one of them was, all of these."""
        import numpy as np

        found = np.zeros(self.chunks, bool)
        places = self._places(table._ids[chosen])
        found[places[places != NOBODY]] = True
        for number in self._twins.values():
            # The place that was found is that of the first of them.
            found[number] |= bool(found[np.searchsorted(self._ids, self._ids[number])])
        return found

    def _places(self, beginnings: Array) -> Array:
        import numpy as np

        if not len(self._ids):
            return np.full(len(beginnings), NOBODY, np.int32)
        places: Array = np.searchsorted(self._ids, beginnings)
        places[places == len(self._ids)] = 0
        found = self._ids[places] == beginnings
        return np.where(found, places, NOBODY).astype(np.int32)

    def _tell_twins_apart(self) -> None:
        for twin, number in self._twins.items():
            rows = self._index.query(
                'SELECT id, pack_no, "offset" FROM chunks WHERE base = ?', (twin,)
            )
            for chunk, pack, offset in rows:
                of = (self.chunk == self.numbers([chunk])[0]) & (self.pack == pack)
                self.base[of & (self.offset == offset)] = number

    def _take_marks(self) -> None:
        numbers = {pack: number for number, (pack, _) in self.packs.items()}
        for pack, offset, _ in self._index.damaged():
            if pack in numbers:
                self.is_sound[(self.pack == numbers[pack]) & (self.offset == offset)] = False


class _Columns:
    """Rows of the index, collected as columns."""

    def __init__(self) -> None:
        self._parts: list[list[Array]] = [[] for _ in range(8)]
        self._ids: list[Array] = []
        self._last = b""
        self._frames = self._chunks = 0
        self.twins: dict[ChunkId, int] = {}

    def take(self, rows: list[tuple[Any, ...]]) -> None:
        import numpy as np

        ids, packs, offsets, sizes, ranks, bases, plain = zip(*rows, strict=True)
        whole = _words([self._last or b"\0" * HASH_BYTES, *ids])
        new = (whole[1:] != whole[:-1]).any(axis=1)
        # The id of zeros is an id too.
        new[0] |= not self._last
        numbers = np.cumsum(new, dtype=np.int64) + (self._chunks - 1)
        alike = np.flatnonzero(new & (whole[1:, 0] == whole[:-1, 0]))
        for place in alike.tolist():
            if place or self._last:
                before = ids[place - 1] if place else self._last
                self.twins[before] = int(numbers[place]) - 1
                self.twins[ids[place]] = int(numbers[place])
        with_base = [place for place, base in enumerate(bases) if base is not None]
        try:
            columns = (
                numbers.astype(np.int32),
                np.array(packs, np.int32),
                np.array(offsets, np.uint32),
                np.array(sizes, np.uint32),
                np.array(ranks, np.uint8),
                _beginnings([bases[place] for place in with_base]),
                np.array(with_base, np.int32) + np.int32(self._frames),
                np.array(plain, np.uint32)[new],
            )
        except (OverflowError, TypeError, ValueError) as error:
            raise CorruptionError(
                "the index is damaged", detail=f"{error}.", hint="Build it anew: snap reindex"
            ) from error
        for part, column in zip(self._parts, columns, strict=True):
            part.append(column)
        self._ids.append(whole[1:, 0][new])
        self._last = ids[-1]
        self._frames += len(rows)
        self._chunks += int(new.sum())

    def ids(self) -> Array:
        import numpy as np

        found = np.concatenate(self._ids) if self._ids else np.zeros(0, np.uint64)
        self._ids.clear()
        return found

    def joined(self, place: int, kind: Any) -> Array:
        """Return a column whole, and let go of its parts."""
        import numpy as np

        part = self._parts[place]
        found = np.concatenate(part) if part else np.zeros(0, kind)
        part.clear()
        return found


def _pages(index: Index) -> Iterator[list[tuple[Any, ...]]]:
    last: tuple[bytes, int, int] = (b"", -1, -1)
    while rows := index.query(_PAGE, (*last, _PAGE_ROWS)):
        yield rows
        last = rows[-1][:3]


def _words(ids: Sequence[bytes]) -> Array:
    """Return each id as four numbers that sort as the id does."""
    import numpy as np

    try:
        words = np.frombuffer(b"".join(ids), np.dtype(">u8")).astype(np.uint64)
        return words.reshape(len(ids), HASH_BYTES // 8)
    except (TypeError, ValueError) as error:
        raise CorruptionError(
            "the index is damaged", detail=f"{error}.", hint="Build it anew: snap reindex"
        ) from error


def _beginnings(ids: Sequence[bytes]) -> Array:
    return _words(ids)[:, 0]
