"""Every chunk that the index knows, as arrays of numbers: some 25 bytes a chunk.

A million chunks as Python objects would take a GB. A chunk is numbered by its place in the order of
ids, of which the first eight bytes are kept: among four million chunks the odds that two begin
alike are one in two million, and then a sum of sizes is off by the size of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pgsnap.errors import CorruptionError
from pgsnap.model import HASH_BYTES
from pgsnap.repository.index import Index

Array: TypeAlias = Any
"""A NumPy array. NumPy is imported late: most commands do without."""

NOBODY = -1
_PAGE_ROWS = 20_000
_PAGE = (
    'SELECT id, pack_no, "offset", frame_bytes, chunk_bytes, depth, kind, base FROM chunks'
    ' WHERE (id, pack_no, "offset") > (?, ?, ?) ORDER BY id, pack_no, "offset" LIMIT ?'
)


class ChunkTable:
    """The chunks of an index, numbered from 0.

    `frame_bytes` counts all frames of a chunk. `depth` and `base` (a number, NOBODY without one)
    are those of the frame that readers try first, the one nearest to plain.
    """

    def __init__(self, index: Index) -> None:
        import numpy as np

        columns = _columns(index)
        ids, frame_bytes, self.chunk_bytes, self.depth, self.kind, bases, at = columns
        self.frames = len(ids)
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else at
        if len(first) < len(ids):
            # Of the frames of a chunk the one nearest to plain; which one stands first is SQLite's.
            order = np.lexsort((self.depth, ids))
            frame_bytes = np.add.reduceat(frame_bytes.astype(np.int64), first)
            bases_of_rows = np.zeros(len(ids), np.uint64)
            bases_of_rows[at] = bases
            is_delta = np.zeros(len(ids), bool)
            is_delta[at] = True
            chosen = order[first]
            ids, self.chunk_bytes = ids[first], self.chunk_bytes[chosen]
            self.depth, self.kind = self.depth[chosen], self.kind[chosen]
            at = np.flatnonzero(is_delta[chosen])
            bases = bases_of_rows[chosen][at]
        self._ids = ids
        self.frame_bytes = frame_bytes
        self.base = np.full(len(ids), NOBODY, np.int32)
        self.base[at] = self._numbers(bases)
        deltas = np.flatnonzero(self.base >= 0).astype(np.int32)
        # Deepest first: so what a mark reaches is marked before it is looked at.
        self._deltas = deltas[np.argsort(self.depth[deltas], kind="stable")[::-1]]

    def __len__(self) -> int:
        return len(self._ids)

    def beginning(self, number: int) -> bytes:
        """Return the first bytes of a chunk's id: no other id that the index knows has them."""
        return int(self._ids[number]).to_bytes(8, "big")

    def numbers(self, chunks: Iterable[bytes]) -> Array:
        """Return the numbers of *chunks*, NOBODY where the index knows none."""
        return self._numbers(_beginnings(chunks))

    def _numbers(self, ids: Array) -> Array:
        import numpy as np

        if not len(self._ids):
            return np.full(len(ids), NOBODY, np.int32)
        places: Array = np.searchsorted(self._ids, ids)
        places[places == len(self._ids)] = 0
        return np.where(self._ids[places] == ids, places, NOBODY).astype(np.int32)

    def delta_steps(self) -> Iterator[tuple[Array, Array]]:
        """Yield deltas and their bases, the deepest deltas first: where each step hands something
        on from delta to base, it has reached every base in the end.

        A base is less deep than its delta in every frame that readers follow, so all that can be
        handed to a delta has been by then.
        """
        import numpy as np

        depths = self.depth[self._deltas]
        ends = np.append(np.flatnonzero(depths[1:] != depths[:-1]) + 1, len(depths))
        start = 0
        for end in ends.tolist() if len(depths) else ():
            deltas = self._deltas[start:end]
            yield deltas, self.base[deltas]
            start = end


def _beginnings(chunks: Iterable[bytes]) -> Array:
    """Return the first eight bytes of each id as a number that sorts as the id does."""
    import numpy as np

    joined = b"".join(chunks)
    if not joined:
        return np.zeros(0, np.uint64)
    words = np.frombuffer(joined, np.dtype(">u8"))
    return words.reshape(-1, HASH_BYTES // 8)[:, 0].astype(np.uint64)


def _columns(index: Index) -> list[Array]:
    """Return ids (beginnings, sorted), frame bytes, chunk bytes, depths, kinds; the beginnings of
    the bases of those that have one, and which these are.
    Raises CorruptionError where a row cannot be so."""
    import numpy as np

    parts: list[list[Array]] = [[] for _ in range(7)]
    types = (np.uint32, np.uint32, np.uint8, np.uint8)
    last: tuple[bytes, int, int] = (b"", -1, -1)
    count = 0
    while rows := index.query(_PAGE, (*last, _PAGE_ROWS)):
        columns = list(zip(*rows, strict=True))
        with_base = [number for number, base in enumerate(columns[7]) if base is not None]
        try:
            parts[0].append(_beginnings(columns[0]))
            for place, (values, kind) in enumerate(zip(columns[3:7], types, strict=True), start=1):
                parts[place].append(np.array(values, kind))
            parts[5].append(_beginnings(columns[7][number] for number in with_base))
        except (OverflowError, TypeError, ValueError) as error:
            raise CorruptionError(
                "the index is damaged", detail=f"{error}.", hint="Build it anew: snap reindex"
            ) from error
        parts[6].append(np.array(with_base, np.int32) + count)
        last = rows[-1][:3]
        count += len(rows)
    kinds = (np.uint64, *types, np.uint64, np.int32)
    joined = []
    for kind, part in zip(kinds, parts, strict=True):
        joined.append(np.concatenate(part) if part else np.zeros(0, kind))
        part.clear()
    return joined
