"""The difference of rows with values whose text form differs between PostgreSQL versions.

19 writes ``pg_lsn`` with all eight digits of its second half (``1/0000000A``), earlier versions
without leading zeros (``1/A``). Both sides are compared in the earlier form.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.limits import MIB
from pgsnap.patterns import regex
from pgsnap.rows.difference import Counts, RowDifference
from pgsnap.rows.sets import Key

# An array has several in one field.
_LSN = regex(rb"\b([0-9A-F]{1,8}/)0+(?=[0-9A-F])")
# A longer row is compared unchanged.
_ROW_BYTES_MAX = MIB


class RespelledRows(RowDifference):
    """A `RowDifference` of tables in which the fields *places*, per side, are of such types."""

    def __init__(
        self,
        keys: tuple[Key, Key] | None,
        places: tuple[Sequence[int], Sequence[int]],
        *,
        keep_texts: bool = False,
        rows_expected: int = 0,
    ) -> None:
        super().__init__(keys, keep_texts=keep_texts, rows_expected=rows_expected)
        self._places = places
        # The part of an incomplete row that has arrived, and whether its beginning was passed on.
        self._rest = [b"", b""]
        self._is_passing = [False, False]

    def feed(self, side: int, block: bytes) -> None:
        if not block:
            return
        if self._is_passing[side]:
            end = block.find(b"\n") + 1
            super().feed(side, block[:end] if end else block)
            if not end:
                return
            self._is_passing[side], block = False, block[end:]
        *rows, rest = (self._rest[side] + block).split(b"\n")
        if rows:
            super().feed(side, b"".join(self._respelled(side, row) + b"\n" for row in rows))
        if len(rest) > _ROW_BYTES_MAX:
            super().feed(side, rest)
            self._is_passing[side], rest = True, b""
        self._rest[side] = rest

    def is_in_row(self, side: int) -> bool:
        return bool(self._rest[side]) or super().is_in_row(side)

    def finish(self) -> Counts:
        for side, rest in enumerate(self._rest):
            if rest:
                super().feed(side, rest)
        self._rest = [b"", b""]
        return super().finish()

    def _respelled(self, side: int, row: bytes) -> bytes:
        fields = row.split(b"\t")
        for place in self._places[side]:
            if place < len(fields) and b"/0" in fields[place]:
                fields[place] = _LSN.sub(rb"\1", fields[place])
        return b"\t".join(fields)
