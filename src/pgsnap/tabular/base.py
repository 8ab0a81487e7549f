"""What is written, and what the three formats share: columns, wishes, what does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from typing import BinaryIO, NoReturn, Protocol

from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import decode
from pgsnap.errors import ValueUnfit
from pgsnap.model import quote_ident
from pgsnap.values import dataclass

BLOCK_BYTES = 2 * 1024 * 1024
"""How much text is taken at a time: values of a column in it are one array."""
LONG_BYTES = 2 * BLOCK_BYTES
"""One that is longer has a long row, and what is made of it takes a multiple of that."""
UTF8 = frozenset(("UTF8", "UNICODE"))
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as its rows have it: the columns in the order of COPY, the encoding of its text."""

    table: TableName
    columns: tuple[Column, ...]
    encoding: str

    @property
    def shown(self) -> str:
        return ".".join(map(quote_ident, self.table))


@dataclass(frozen=True, slots=True)
class Wishes:
    """How values are written that have no equal in the format: *as_text* are columns, as
    ``schema.table.column``, that are written as PostgreSQL's text; with *lossy* a value that does
    not fit becomes NULL; *numeric* is the precision and scale for columns that have none."""

    as_text: frozenset[str] = frozenset()
    lossy: bool = False
    numeric: tuple[int, int] | None = None

    def is_text(self, shape: Shape, column: Column) -> bool:
        return full_name(shape, column) in self.as_text


@dataclass(slots=True)
class Losses:
    """Counts the values that became NULL, or lost something, by table and column."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, shape: Shape, column: Column, count: int) -> None:
        self.counts[full_name(shape, column)] += count


class TableWriter(Protocol):
    """Writes the rows of one table. *rows* is how many it has written."""

    rows: int

    def write(self, blocks: Iterable[bytes]) -> int:
        """Write whole rows of COPY text, each with its line end; return how many bytes there were.
        A block may be as long as a row: it is let go before the next one is asked for."""

    def close(self) -> None:
        """Write what is left."""

    def abandon(self) -> None:
        """Let go of what is not written yet: the files are not wanted any more."""


class Files(Protocol):
    """Opens the files of one table: one, or as many as it takes where files are sent as a whole."""

    part_bytes: int | None
    """After how many bytes the next file is to be begun; None: never."""

    def open(self) -> BinaryIO:
        """Return the next file; to close it completes it."""


def full_name(shape: Shape, column: Column) -> str:
    """Return the name of a column as it is given to `--as-text`."""
    return f"{shape.shown}.{quote_ident(column.name)}"


def refuse(shape: Shape, column: Column, value: str, why: str, *, way_out: str = "") -> NoReturn:
    """Raise ValueUnfit for a value that the format cannot hold."""
    name = full_name(shape, column)
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…"
    lossy = way_out or "--lossy writes NULL"
    raise ValueUnfit(
        f"a value of {name} cannot be written: {shown!r}",
        detail=f"The column's type is {column.type.text}: {why}.",
        hint=f"--as-text '{name}' writes its values as PostgreSQL's text; {lossy}.",
    )


def unicode_text(shape: Shape, block: bytes, *, lossy: bool) -> bytes:
    """Return a block of whole rows in UTF-8. Raises ValueUnfit."""
    text = decode(block, shape.encoding)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        if lossy:
            return text.encode("utf-8", "replace")
        start = text.rfind("\n", 0, error.start) + 1
        before = text[start : error.start]
        at = min(before.count("\t"), len(shape.columns) - 1)
        value = text[start:].partition("\n")[0].split("\t")[at]
        why = f"it is not valid in {shape.encoding or 'UTF8'}, and here text is UTF-8"
        name = full_name(shape, shape.columns[at])
        readable = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ValueUnfit(
            f"a value of {name} cannot be written: {readable[:_SHOWN_CHARACTERS]!r}",
            detail=f"The column's type is {shape.columns[at].type.text}: {why}.",
            hint="--lossy writes a question mark for each byte that is not valid.",
        ) from None
