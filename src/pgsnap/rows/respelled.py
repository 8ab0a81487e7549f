"""The difference of rows whose text differs though their values do not.

19 writes ``pg_lsn`` with all eight digits of its second half (``1/0000000A``), earlier versions
without leading zeros (``1/A``). Both sides are compared in the earlier form.

The columns of a table that inherits can be in another order after a restore: a column that its
parent was given later stands before the table's own then. The second side is compared in the order
of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.limits import MIB
from pgsnap.patterns import regex
from pgsnap.rows.difference import AFTER, Counts, RowDifference
from pgsnap.rows.sets import Key

# An array has several in one field.
_LSN = regex(rb"\b([0-9A-F]{1,8}/)0+(?=[0-9A-F])")
# Longer rows are compared unchanged. In another order of columns each of them would differ.
_ROW_BYTES_MAX = MIB
_REORDERED_BYTES_MAX = 16 * MIB


class RespelledRows(RowDifference):
    """A `RowDifference` of tables in which the fields *places*, per side, are of such types.

    With *order* the fields of the second side are put into it: the first is field *order[0]*. All
    its rows must be fed then: where both sides have the same bytes they mean other values.
    """

    def __init__(
        self,
        keys: tuple[Key, Key] | None,
        places: tuple[Sequence[int], Sequence[int]],
        *,
        order: Sequence[int] = (),
        keep_texts: bool = False,
        rows_expected: int = 0,
    ) -> None:
        super().__init__(keys, keep_texts=keep_texts, rows_expected=rows_expected)
        self._places = places
        self._order = order
        self._row_bytes_max = _REORDERED_BYTES_MAX if order else _ROW_BYTES_MAX
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
        if len(rest) > self._row_bytes_max:
            super().feed(side, rest)
            self._is_passing[side], rest = True, b""
        self._rest[side] = rest

    def is_in_row(self, side: int) -> bool:
        # Chunks of both sides are passed as long as a row is not complete.
        return bool(self._order or self._rest[side]) or super().is_in_row(side)

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
        if side == AFTER and len(self._order) == len(fields):
            fields = [fields[place] for place in self._order]
        return b"\t".join(fields)
