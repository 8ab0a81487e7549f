"""One SQLite database from the rows of tables. SQLite lets each value have a type of its own: so
what is no number there, as NaN, stays PostgreSQL's text, and nothing is lost."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from pgsnap.dump.definitions.copy_text import without_escapes
from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.errors import SnapError, StoreError, StoreFull, ValueUnfit
from pgsnap.tabular.base import LONG_BYTES, UTF8, Column, Shape, Wishes, unicode_text

Value: TypeAlias = "str | int | float | bytes"
_INTEGERS = frozenset(("smallint", "integer", "bigint", "oid"))
_FLOATS = frozenset(("real", "double precision"))


class SqliteFile:
    """A database that is being written, for one reader of the end of it: without a journal."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._names: set[str] = set()

    def table(self, shape: Shape, wishes: Wishes) -> SqliteTable:
        """Create the table of *shape*. Raises ValueUnfit for names that SQLite takes for one."""
        name = self._name(shape)
        columns = ", ".join(
            f"{_quoted(one.name)} {declared(_type_of(shape, one, wishes))}" for one in shape.columns
        )
        try:
            self._database.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
        except sqlite3.OperationalError as error:
            raise ValueUnfit(
                f"the table {shape.shown} cannot be made in SQLite",
                detail=f"SQLite says: {error}. Names that differ only in case are one there.",
                hint="Leave it out: name the others with --table.",
            ) from None
        return SqliteTable(self._database, name, shape, wishes)

    def close(self) -> None:
        self._database.close()

    def _name(self, shape: Shape) -> str:
        schema, table = shape.table
        names = [table] if schema == "public" and not table.lower().startswith("sqlite_") else []
        names += [f"{schema}.{table}", shape.shown]
        name = next((name for name in names if name.lower() not in self._names), shape.shown)
        self._names.add(name.lower())
        return name


class SqliteTable:
    """Writes the rows of one table, in one transaction."""

    def __init__(
        self, database: sqlite3.Connection, name: str, shape: Shape, wishes: Wishes
    ) -> None:
        self.rows = 0
        self._database = database
        self._shape = shape
        self._lossy = wishes.lossy
        self._converters = [_converter(_type_of(shape, one, wishes)) for one in shape.columns]
        self._name = _quoted(name)
        self._insert = self._insert_of("?" for _ in shape.columns)
        database.execute("BEGIN")

    def write(self, blocks: Iterable[bytes]) -> int:
        written = 0
        for block in blocks:
            written += len(block)
            values = None
            if len(block) > LONG_BYTES and self._shape.encoding.upper() in UTF8:
                values = self._long_row(block)
            if values is None:
                self._rows(block)
                continue
            # What is not a part of it is inserted without it.
            del block
            is_text = (isinstance(one, memoryview) for one in values)
            insert = self._insert_of("CAST(? AS TEXT)" if one else "?" for one in is_text)
            self.rows += 1
            with _errors(self._shape):
                self._database.execute(insert, values)
        return written

    def _insert_of(self, values: Iterable[str]) -> str:
        return f"INSERT INTO {self._name} VALUES ({', '.join(values)})"

    def _long_row(self, block: bytes) -> Sequence[Any] | None:
        from pgsnap.tabular.long_row import long_row

        kinds: dict[object, str] = {None: "text", _bytes: "bytes"}

        def converted(at: int, text: str) -> Value | None:
            value, convert = _plain(text), self._converters[at]
            return convert(value) if convert is not None and isinstance(value, str) else value

        return long_row(block, [kinds.get(one, "") for one in self._converters], converted)

    def _rows(self, block: bytes) -> None:
        text = unicode_text(self._shape, block, lossy=self._lossy).decode("utf-8")
        lines = text.split("\n")
        lines.pop()
        self.rows += len(lines)
        with _errors(self._shape):
            self._database.executemany(self._insert, self._values(lines))

    def close(self) -> None:
        with _errors(self._shape):
            self._database.execute("COMMIT")

    def abandon(self) -> None:
        self._database.close()

    def _values(self, lines: Iterable[str]) -> Iterator[Sequence[Value | None]]:
        changed = [(at, one) for at, one in enumerate(self._converters) if one is not None]
        for line in lines:
            values: list[Value | None] = list(line.split("\t"))
            if "\\" in line:
                values = [_plain(str(value)) for value in values]
            for at, convert in changed:
                value = values[at]
                if value is not None:
                    values[at] = convert(str(value))
            yield values


class _errors:  # noqa: N801
    """Turns SQLite's errors into those of the file."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error | OverflowError):
            raise _worded(error, self._shape) from error


def _worded(error: Exception, shape: Shape) -> SnapError:
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("there is no room for the SQLite file", hint="Free space there.")
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, OverflowError | sqlite3.DataError):
        return ValueUnfit(
            f"a value of {shape.shown} is too long for SQLite",
            detail="Its longest one has 1,000,000,000 bytes.",
            hint="Export the table with --format csv.",
        )
    return StoreError("the SQLite file cannot be written", detail=f"SQLite says: {error}.")


def declared(type_: ColumnType) -> str:
    """Return the type that a column is declared with, which gives it its affinity."""
    if type_.is_array:
        return "TEXT"
    if type_.base in _INTEGERS or type_.base == "boolean":
        return "INTEGER"
    if type_.base in _FLOATS:
        return "REAL"
    return "BLOB" if type_.base == "bytea" else "TEXT"


def _type_of(shape: Shape, column: Column, wishes: Wishes) -> ColumnType:
    return ColumnType(column.type.text) if wishes.is_text(shape, column) else column.type


def _converter(type_: ColumnType) -> Callable[[str], Value] | None:
    """Return what makes a value of PostgreSQL's text; None if SQLite does, or it stays text."""
    if type_.is_array:
        return None
    if type_.base == "boolean":
        return _boolean
    if type_.base in _FLOATS:
        return _float
    return _bytes if type_.base == "bytea" else None


def _boolean(text: str) -> Value:
    return {"t": 1, "f": 0}.get(text, text)


def _float(text: str) -> Value:
    # SQLite takes the number that is none for NULL, and reads others less exactly than Python.
    try:
        return text if text == "NaN" else float(text)
    except ValueError:
        return text


def _bytes(text: str) -> Value:
    with contextlib.suppress(ValueError):
        if text.startswith("\\x"):
            return bytes.fromhex(text[2:])
    return without_escapes(text.encode("utf-8"))


def _plain(field: str) -> str | None:
    if field == "\\N":
        return None
    if "\\" not in field:
        return field
    return without_escapes(field.encode("utf-8")).decode("utf-8")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
