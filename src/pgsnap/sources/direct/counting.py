"""Counts the bytes and rows of each block while the text of its rows passes."""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise

from pgsnap.errors import DumpFailed

_U32 = "<u4"
_LINE_END = 10
_FEW_BLOCKS = 64


class FewBlocksCounter:
    """The same as a BlockCounter, for so few blocks that NumPy is not needed, which is slow to
    import."""

    def __init__(self, counts: bytes) -> None:
        self._row_counts = list(map(int, counts.split()))
        self._row_ends = list(accumulate(self._row_counts))
        # Where each block ends that has all its rows.
        self._byte_ends: list[int] = []
        self._rows = self._bytes = 0
        self._settle(0)

    def add(self, text: bytes) -> None:
        """Take the next piece of the rows' text."""
        at = 0
        while at := text.find(b"\n", at) + 1:
            self._rows += 1
            self._settle(self._bytes + at)
        self._bytes += len(text)

    def _settle(self, end: int) -> None:
        done = len(self._byte_ends)
        while done < len(self._row_ends) and self._row_ends[done] == self._rows:
            self._byte_ends.append(end)
            done += 1

    def finish(self, table: str) -> None:
        """Check that the rows of *table* are as many as were counted. Raises DumpFailed."""
        counted = self._row_ends[-1] if self._row_ends else 0
        _check(table, counted, self._rows, self.settled()[1] == self._bytes)

    def settled(self) -> tuple[int, int]:
        """Return how many blocks from the first on have all their rows, and where these end."""
        return len(self._byte_ends), self._byte_ends[-1] if self._byte_ends else 0

    @property
    def row_counts(self) -> bytes:
        """Return the rows of each block, as u32."""
        return struct.pack(f"<{len(self._row_counts)}I", *self._row_counts)

    @property
    def byte_counts(self) -> bytes:
        """Return the bytes of the rows of each block, as u32; 0 for those that are not settled."""
        sizes = [end - start for start, end in pairwise((0, *self._byte_ends))]
        sizes += [0] * (len(self._row_counts) - len(sizes))
        return struct.pack(f"<{len(sizes)}I", *sizes)


class BlockCounter:
    """The blocks of one statement: *row_counts*, as the server counts them on the same snapshot,
    and the bytes of their rows, as they turn out."""

    def __init__(self, counts: bytes) -> None:
        """*counts* are lines with one number each."""
        import numpy as np

        # NumPy takes many times as long to convert bytes.
        numbers = np.array(list(map(int, counts.split())), dtype=np.int64)
        self._row_counts = numbers
        # How many rows there are at the end of each block, and the bytes there.
        self._row_ends = np.cumsum(numbers)
        self._byte_ends = np.zeros(len(numbers), dtype=np.int64)
        self._rows = self._bytes = 0

    def add(self, text: bytes) -> None:
        """Take the next piece of the rows' text."""
        import numpy as np

        ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _LINE_END) + 1
        rows = self._rows + len(ends)
        first, end = np.searchsorted(self._row_ends, (self._rows, rows), side="right")
        within = self._row_ends[first:end] - self._rows - 1
        self._byte_ends[first:end] = self._bytes + ends[within]
        self._rows, self._bytes = rows, self._bytes + len(text)

    def finish(self, table: str) -> None:
        """Check that the rows of *table* are as many as were counted. Raises DumpFailed."""
        import numpy as np

        # Blocks without rows end where the one before them does.
        self._byte_ends = np.maximum.accumulate(self._byte_ends)
        counted = int(self._row_ends[-1]) if len(self._row_ends) else 0
        end = int(self._byte_ends[-1]) if len(self._byte_ends) else 0
        _check(table, counted, self._rows, end == self._bytes)

    def settled(self) -> tuple[int, int]:
        """Return how many blocks from the first on have all their rows, and where these end."""
        import numpy as np

        blocks = int(np.searchsorted(self._row_ends, self._rows, side="right"))
        if not blocks:
            return 0, 0
        return blocks, int(np.maximum.accumulate(self._byte_ends[:blocks])[-1])

    @property
    def row_counts(self) -> bytes:
        """Return the rows of each block, as u32."""
        return self._row_counts.astype(_U32).tobytes()

    @property
    def byte_counts(self) -> bytes:
        """Return the bytes of the rows of each block, as u32; 0 for those that are not settled."""
        import numpy as np

        counts = np.diff(np.maximum.accumulate(self._byte_ends), prepend=0)
        return counts.astype(_U32).tobytes()


def block_counter(counts: bytes) -> BlockCounter | FewBlocksCounter:
    """Return a counter of the blocks whose rows are *counts*: lines with one number each."""
    is_few = counts.count(b"\n") <= _FEW_BLOCKS
    return FewBlocksCounter(counts) if is_few else BlockCounter(counts)


def _check(table: str, counted: int, read: int, ends_with_a_row: bool) -> None:
    if counted != read or not ends_with_a_row:
        raise DumpFailed(
            f"the rows of {table} are not those of its blocks",
            detail=f"Its blocks have {counted} rows, and {read} were read.",
            hint='Put source = "stream" into snap.toml, and report this, please.',
        )
