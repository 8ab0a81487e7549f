"""The values of a row that differs, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowText


def row_values(row: RowText | None, encoding: str) -> list[str | None] | None:
    """Return the values of *row*, NULL as None; None for a side without the row, or with one too
    long to be kept."""
    if row is None or row.text is None:
        return None
    # Imported late: the patterns of dumps would slow down every start.
    from pgsnap.dump.definitions.copy_text import values
    from pgsnap.dump.entries import decode

    return [None if value is None else decode(value, encoding) for value in values(row.text)]
