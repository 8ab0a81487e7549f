"""The difference of rows whose values PostgreSQL writes otherwise from one version to the next.

19 writes ``pg_lsn`` with all eight digits of its second half (``1/0000000A``), those before without
leading zeros (``1/A``). Both sides are compared as those before write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgsnap.limits import MIB
from pgsnap.rows.difference import Counts, RowDifference
from pgsnap.rows.sets import Key

# In an array there are several in a field.
_LSN = re.compile(rb"\b([0-9A-F]{1,8}/)0+(?=[0-9A-F])")
# A longer row is compared as it is written.
_ROW_BYTES_MAX = MIB


class RespelledRows(RowDifference):
    """A `RowDifference` of tables of which the fields *places*, on each side, are of such types."""

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
        # What came of a row that has no end yet, and whether its beginning was passed on.
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
