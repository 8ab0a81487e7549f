"""Counting what a dump contains: whether it is of only a part of a database, as far as its own text
shows.

Which tables were excluded (-t, -n, -T) cannot be told from what pg_dump wrote about the others; the
only sign is a table in a schema that the dump does not create.
"""

from __future__ import annotations

import enum

from pgsnap.dump.entries import Entry
from pgsnap.model import SectionKind

_PARTITIONED = b"\nPARTITION BY "
_CALLABLE = frozenset({b"FUNCTION", b"PROCEDURE", b"AGGREGATE"})
# Up to version 16 these are created before the rows, by pg_dump -a too.
_LARGE_OBJECT = b"BLOB"
_RIGHTS = frozenset({b"ACL", b"DEFAULT ACL"})


class Part(enum.StrEnum):
    """What a dump covers. Stored: never change one."""

    UNKNOWN = ""
    """As far as its text shows, a whole database."""
    DEFINITIONS = "definitions"
    """It has tables, but no rows (pg_dump -s)."""
    ROWS = "rows"
    """It has rows, but defines nothing (pg_dump -a)."""
    SOME_ROWS = "some-rows"
    """It has no rows of some of its tables (pg_dump --exclude-table-data)."""
    SOME_TABLES = "some-tables"
    """It has tables, but not their schemas (pg_dump -t)."""


class Tally:
    """Counts the entries of one dump. pg_dump writes a data entry for each table that can hold
    rows, even if it has none."""

    def __init__(self) -> None:
        self._definitions = 0
        self._tables = 0
        self._with_rows = 0
        self._callable = 0
        self._rights = 0
        self._makes_extensions = False
        self._schemas: set[bytes] = set()
        self._schemas_of_tables: set[bytes] = set()
        self._in_table = False
        self._tail = b""

    def entry(self, entry: Entry, kind: SectionKind) -> None:
        """Count the next entry."""
        self._definitions += kind is SectionKind.PRE_DATA and entry.type != _LARGE_OBJECT
        self._with_rows += kind is SectionKind.DATA
        self._callable += entry.type in _CALLABLE
        self._rights += entry.type in _RIGHTS
        self._makes_extensions |= entry.type == b"EXTENSION"
        if entry.type == b"SCHEMA":
            self._schemas.add(entry.name)
        self._in_table = entry.type == b"TABLE"
        if self._in_table:
            self._tables += 1
            self._tail = b""
            self._schemas_of_tables.add(entry.schema)

    def text(self, data: bytes) -> None:
        """Inspect the text of the last entry: a partitioned table has no rows of its own."""
        if not self._in_table:
            return
        data = self._tail + data
        if _PARTITIONED in data:
            self._tables -= 1
            self._in_table = False
        self._tail = data[-len(_PARTITIONED) :]

    @property
    def part(self) -> Part:
        """Return what the dump covers, once all of it was counted."""
        if self._with_rows and not self._definitions:
            return Part.ROWS
        if self._tables and not self._with_rows:
            return Part.DEFINITIONS
        # Tables of extensions may have rows in a dump too, so this does not detect every case.
        if self._with_rows < self._tables:
            return Part.SOME_ROWS
        missing = self._schemas_of_tables - self._schemas - {b"public"}
        # An extension may have created the schema.
        if missing and not self._makes_extensions:
            return Part.SOME_TABLES
        return Part.UNKNOWN

    @property
    def lacks_rights(self) -> bool:
        """Return whether there are functions but no rights on anything: the output of pg_dump -x,
        or of a database in which nothing was ever granted or revoked."""
        return self._callable > 0 and self._rights == 0
