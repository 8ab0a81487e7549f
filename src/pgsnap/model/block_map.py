"""Which part of a table's text came from which of its blocks."""

from __future__ import annotations

from pgsnap.values import dataclass

COUNT_BYTES = 4
"""Size of one number in a `BlockMap`."""


@dataclass(frozen=True, slots=True)
class BlockMap:
    """For each heap block of a table, in order, the bytes and the rows of its text.

    Both are u32 numbers, little-endian: columns as they are stored. They cover the rows of a
    section only, so neither its head nor its tail.
    """

    byte_counts: bytes
    row_counts: bytes

    def __post_init__(self) -> None:
        if len(self.byte_counts) != len(self.row_counts) or len(self.byte_counts) % COUNT_BYTES:
            raise ValueError("a block map has as many byte counts as row counts")

    @property
    def blocks(self) -> int:
        return len(self.byte_counts) // COUNT_BYTES
