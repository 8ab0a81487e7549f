"""Counts the bytes and rows of each block while the text of its rows passes."""

from __future__ import annotations

from pgsnap.errors import DumpFailed

_U32 = "<u4"
_LINE_END = 10


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
        if counted != self._rows or end != self._bytes:
            raise DumpFailed(
                f"the rows of {table} are not those of its blocks",
                detail=f"Its blocks have {counted} rows, and {self._rows} were read.",
                hint='Put source = "stream" into snap.toml, and report this, please.',
            )

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
