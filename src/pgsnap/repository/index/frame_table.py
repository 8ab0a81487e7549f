"""Every frame that the index knows, as arrays of numbers: 23 bytes a frame and 12 a chunk.

A million chunks as Python objects would take a GB. A chunk's number is its position in the order of
ids; only the first eight bytes of an id are held. Chunks whose ids share these bytes (the odds of
one such pair among four million chunks are one in two million) are still distinguished: a gc might
delete a chunk that it takes for another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.model import HASH_BYTES, ChunkId, PackId
from pgsnap.repository.index.index import Index

Array: TypeAlias = Any
"""A NumPy array. NumPy is imported late: most commands do not need it."""

NOBODY = -1
"""No chunk, or no frame."""
UNKNOWN = -2
"""A base that the index does not know."""

FRAME_COST = 170
"""Overhead of a frame in bytes: a row in its pack's table, and one in the index."""

PART = 1 << 18
"""How many items are processed at a time if that takes much more memory than the result."""

# Looks up chunks by the first bytes of their ids.
_IDS_AT_ONCE = 250
_IDS = (
    "WITH asked(low, high) AS (VALUES {})"
    " SELECT DISTINCT low, id FROM asked JOIN chunks ON id BETWEEN low AND high"
)
_ALL_AFTER = b"\xff" * (HASH_BYTES - 8)

_PAGE_ROWS = 20_000
_PAGE = (
    'SELECT id, pack_no, "offset", frame_bytes, depth, base, chunk_bytes, kind FROM chunks'
    ' WHERE (id, pack_no, "offset") > (?, ?, ?) ORDER BY id, pack_no, "offset" LIMIT ?'
)


class FrameTable:
    """The frames of an index, in the order of chunk, pack and offset.

    For frame f: `chunk[f]` is its chunk's number, `pack[f]` its pack's number in the index,
    `offset[f]`, `frame_bytes[f]`, `rank[f]` its depth (0 without a base), `base[f]` the number of
    its base (NOBODY without one, UNKNOWN if the index has no such chunk), `kind[f]` its chunk's
    kind, `is_sound[f]` whether no damage to it is known. `packs` are the packs by number, with
    their sizes. For chunk c: `chunk_bytes[c]`.
    """

    def __init__(self, index: Index) -> None:
        import numpy as np

        self._index = index
        self.packs: dict[int, tuple[PackId, int]] = {
            number: (pack, size)
            for number, pack, size in index.query("SELECT pack_no, id, pack_bytes FROM packs")
        }
        columns = _Columns(sum(count for (count,) in index.query("SELECT frames FROM packs")))
        for rows in _pages(index):
            columns.take(rows)
        self._ids, self._twins = columns.of["id"].values(), columns.twins
        self.chunk = columns.of["chunk"].values()
        self.pack = columns.of["pack"].values()
        self.offset = columns.of["offset"].values()
        self.frame_bytes = columns.of["frame_bytes"].values()
        self.rank = columns.of["rank"].values()
        self.kind = columns.of["kind"].values()
        self.chunk_bytes = columns.of["chunk_bytes"].values()
        self.base = np.full(len(self), NOBODY, np.int32)
        bases, deltas = columns.of["base"].values(), columns.of["delta"].values()
        for start in range(0, len(deltas), PART):
            part = slice(start, start + PART)
            numbers = self._places(bases[part])
            numbers[numbers == NOBODY] = UNKNOWN
            self.base[deltas[part]] = numbers
        self._tell_twins_apart()
        self.rank[self.base == NOBODY] = 0
        known = np.fromiter(self.packs, np.int32, len(self.packs))
        self.is_sound = np.zeros(len(self), bool)
        for start in range(0, len(self), PART):
            part = slice(start, start + PART)
            self.is_sound[part] = np.isin(self.pack[part], known)
        self._take_marks()

    def __len__(self) -> int:
        return len(self.chunk)

    @property
    def chunks(self) -> int:
        """Return the number of chunks."""
        return len(self._ids)

    def numbers(self, chunks: Sequence[ChunkId]) -> Array:
        """Return the numbers of *chunks*, NOBODY for those not in the index."""
        return self.numbers_of(b"".join(chunks))

    def numbers_of(self, joined: bytes) -> Array:
        """Like `numbers`, for ids joined into one byte string."""
        found = self._places(_beginnings(joined))
        if self._twins:
            for place in range(len(found)):
                chunk = joined[place * HASH_BYTES : (place + 1) * HASH_BYTES]
                found[place] = self._twins.get(chunk, found[place])
        return found

    def ids(self, numbers: Sequence[int]) -> list[ChunkId]:
        """Return the ids of the chunks with these numbers."""
        found = []
        for start in range(0, len(numbers), _IDS_AT_ONCE):
            some = numbers[start : start + _IDS_AT_ONCE]
            begins = [int(self._ids[number]).to_bytes(8, "big") for number in some]
            words = [word for begin in begins for word in (begin, begin + _ALL_AFTER)]
            ids: dict[bytes, list[ChunkId]] = {begin: [] for begin in begins}
            for begin, one in self._index.query(
                _IDS.format(",".join(["(?, ?)"] * len(some))), words
            ):
                ids[begin].append(one)
            for number, begin in zip(some, begins, strict=True):
                alike = ids[begin]
                found += [x for x in alike if len(alike) == 1 or self._twins[x] == number]
        return found

    def nearest(self) -> Array:
        """Return for each chunk the frame of least depth, the first of equals."""
        import numpy as np

        new = np.ones(len(self), bool)
        new[1:] = self.chunk[1:] != self.chunk[:-1]
        order = np.arange(len(self)) if new.all() else np.lexsort((self.rank, self.chunk))
        return order[new].astype(np.int32)

    def in_place_order(self, numbers: Array) -> Array:
        """Return the order of the chunks *numbers* in which their first frames are in the packs:
        read in it, small ones that are next to each other take one read."""
        import numpy as np

        frames: Array = np.searchsorted(self.chunk, numbers)
        return np.lexsort((self.offset[frames], self.pack[frames]))

    def beginnings(self, chosen: Array) -> Array:
        """Return the first bytes of the ids of the *chosen* chunks, for `starting_with`."""
        return self._ids[chosen]

    def starting_with(self, beginnings: Array) -> Array:
        """Return which chunks are those of *beginnings*, taken from another table; if one of
        several chunks whose ids share these bytes is, all of them."""
        import numpy as np

        found = np.zeros(self.chunks, bool)
        for start in range(0, len(beginnings), PART):
            places = self._places(beginnings[start : start + PART])
            found[places[places != NOBODY]] = True
        for number in self._twins.values():
            # The position found is that of the first of them.
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


class _Column:
    """A growing array of numbers, with room for about *size* of them."""

    def __init__(self, kind: str, size: int) -> None:
        import numpy as np

        # Takes no memory until it is written to; many small arrays would fragment the heap.
        self._values = np.empty(size, kind)
        self._end = 0

    def add(self, values: Array) -> None:
        import numpy as np

        end = self._end + len(values)
        if end > len(self._values):
            more = np.empty(end + end // 4, self._values.dtype)
            more[: self._end] = self._values[: self._end]
            self._values = more
        self._values[self._end : end] = values
        self._end = end

    def values(self) -> Array:
        return self._values[: self._end]


_KINDS = {
    # Per frame.
    "chunk": "int32",
    "pack": "int32",
    "offset": "uint32",
    "frame_bytes": "uint32",
    "rank": "uint8",
    "kind": "uint8",
    # Per chunk.
    "id": "uint64",
    "chunk_bytes": "uint32",
    # Per frame with a base: the base, and the frame's number.
    "base": "uint64",
    "delta": "int32",
}


class _Columns:
    """Rows of the index, collected as columns: about *frames* rows."""

    def __init__(self, frames: int) -> None:
        self.of = {name: _Column(kind, frames) for name, kind in _KINDS.items()}
        self._last = b""
        self._frames = self._chunks = 0
        self.twins: dict[ChunkId, int] = {}

    def take(self, rows: list[tuple[Any, ...]]) -> None:
        """Add the next rows of _PAGE. Raises CorruptionError for an impossible one."""
        try:
            self._take(rows)
        except (OverflowError, TypeError, ValueError) as error:
            raise CorruptionError(
                "the index is damaged", detail=f"{error}.", hint="Rebuild it: snap reindex"
            ) from error

    def _take(self, rows: list[tuple[Any, ...]]) -> None:
        import numpy as np

        ids, packs, offsets, sizes, ranks, bases, plain, kinds = zip(*rows, strict=True)
        whole = _words((self._last or bytes(HASH_BYTES), *ids))
        new = (whole[1:] != whole[:-1]).any(axis=1)
        # An id of zeros is valid too.
        new[0] |= not self._last
        numbers = np.cumsum(new) + (self._chunks - 1)
        for place in np.flatnonzero(new & (whole[1:, 0] == whole[:-1, 0])).tolist():
            if place or self._last:
                before = ids[place - 1] if place else self._last
                self.twins[before] = int(numbers[place]) - 1
                self.twins[ids[place]] = int(numbers[place])
        with_base = [place for place, base in enumerate(bases) if base is not None]
        found = {
            "chunk": numbers,
            "pack": np.array(packs, np.int32),
            "offset": np.array(offsets, np.uint32),
            "frame_bytes": np.array(sizes, np.uint32),
            "rank": np.array(ranks, np.uint8),
            "kind": np.array(kinds, np.uint8),
            "id": whole[1:, 0][new],
            "chunk_bytes": np.array(plain, np.uint32)[new],
            "base": _words([bases[place] for place in with_base])[:, 0],
            "delta": np.array(with_base, np.int32) + self._frames,
        }
        for name, values in found.items():
            self.of[name].add(values)
        self._last = ids[-1]
        self._frames += len(rows)
        self._chunks += int(new.sum())


def _pages(index: Index) -> Iterator[list[tuple[Any, ...]]]:
    last: tuple[bytes, int, int] = (b"", -1, -1)
    while rows := index.query(_PAGE, (*last, _PAGE_ROWS)):
        yield rows
        last = rows[-1][:3]


def _words(ids: Sequence[bytes]) -> Array:
    """Return each id as four numbers that sort as the id does. Raises TypeError, ValueError."""
    import numpy as np

    words = np.frombuffer(b"".join(ids), np.dtype(">u8")).astype(np.uint64)
    return words.reshape(len(ids), HASH_BYTES // 8)


def _beginnings(joined: bytes) -> Array:
    """Return the first bytes of joined ids: the first of the numbers of `_words`."""
    import numpy as np

    words = np.frombuffer(joined, np.dtype(">u8")).reshape(-1, HASH_BYTES // 8)
    return words[:, 0].astype(np.uint64)
