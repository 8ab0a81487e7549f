"""Values of extensions' types: what they hold beyond their printed form.

A dump holds the printed form of a value. A type may hold more than that (coordinates with 17 digits
that print as 15): then every restore changes the value, and two dumps are equal nevertheless. Only
the binary forms in the two databases show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from pgsnap.errors import QueryFailed
from pgsnap.model import quote_ident
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.values import dataclass

_LOCK_TIMEOUT = "3s"

# Arrays and domains are resolved to their element and base types (since 18 the array type itself
# belongs to the extension too). Tables that belong to an extension hold no user values, and
# partitions are covered by their roots.
_COLUMNS = """
WITH RECURSIVE through(oid, top, is_array) AS (
    SELECT t.oid, t.oid, false FROM pg_catalog.pg_type t
    UNION ALL
    SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, h.top,
           h.is_array OR t.typtype <> 'd'
    FROM through h JOIN pg_catalog.pg_type t ON t.oid = h.oid
    WHERE t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0
)
SELECT n.nspname, c.relname, a.attname, e.extname, tn.nspname, t.typname, fn.nspname, f.proname,
       h.is_array
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relpersistence <> 't'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN through h ON h.top = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = h.oid AND t.typtype = 'b'
    AND NOT (t.typcategory = 'A' AND t.typelem <> 0)
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
    AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN pg_catalog.pg_proc f ON f.oid = t.typsend
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.pronamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend own
      WHERE own.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND own.objid = c.oid
        AND own.deptype = 'e')
ORDER BY 1, 2, a.attnum
"""


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A column whose values are of a type of *extension*. *send* is the function that returns their
    binary form, as (schema, name); None if there is none."""

    schema: str
    table: str
    name: str
    extension: str
    type_schema: str
    type: str
    send: tuple[str, str] | None
    is_array: bool

    def __str__(self) -> str:
        return f"{'.'.join(map(quote_ident, (self.schema, self.table, self.name)))} ({self.type})"


@dataclass(frozen=True, slots=True)
class Digest:
    """Summary of all values of a column, in any order: their number, their binary and printed
    forms."""

    count: str
    held: str
    printed: str


def typed_columns(session: Session) -> list[TypedColumn]:
    """Return the columns of extensions' types in *session*'s database. Raises QueryFailed."""
    found = []
    for row in session.query(_COLUMNS):
        *words, send_schema, send, is_array = row
        function = (send_schema, send) if send_schema and send else None
        schema, table, name, extension, type_schema, type_name = (word or "" for word in words)
        found.append(
            TypedColumn(
                schema, table, name, extension, type_schema, type_name, function, is_array == "t"
            )
        )
    return found


def digests(session: Session, columns: Iterable[TypedColumn]) -> dict[TypedColumn, Digest]:
    """Return the digests of *columns* in *session*'s database, without those that cannot be read.
    Raises ConnectionFailed."""
    found: dict[TypedColumn, Digest] = {}
    for (schema, table), group in groupby(columns, key=lambda c: (c.schema, c.table)):
        some = [column for column in group if column.send is not None]
        if not some:
            continue
        asked = ", ".join(
            f"pg_catalog.count({ident(column.name)}), {_sum(_held(column))},"
            f" {_sum(_printed(column))}"
            for column in some
        )
        try:
            rows = session.query(
                f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)};"
                f" SELECT {asked} FROM ONLY {ident(schema)}.{ident(table)}"
            )
        except QueryFailed:
            # No privilege to read it, a different definition, or a lock on it.
            continue
        values = [value or "" for value in rows[0]]
        for at, column in enumerate(some):
            found[column] = Digest(*values[3 * at : 3 * at + 3])
    return found


def print_exactly(session: Session, columns: Iterable[TypedColumn]) -> dict[TypedColumn, bool]:
    """Return for each of *columns* in *session*'s database whether the printed form of its values
    reproduces exactly the same values; unreadable ones are left out. Raises ConnectionFailed."""
    found: dict[TypedColumn, bool] = {}
    for column in columns:
        value = ident(column.name)
        of_type = f"{ident(column.type_schema)}.{ident(column.type)}" + "[]" * column.is_array
        again = f"{_printed(column)}::{of_type}"
        try:
            rows = session.query(
                f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)};"
                f" SELECT EXISTS (SELECT FROM ONLY {ident(column.schema)}.{ident(column.table)}"
                # Byte by byte: values that compare equal may be rounded.
                f" WHERE {value} IS NOT NULL AND"
                f" pg_catalog.record_image_ne(ROW({value}::{of_type}), ROW({again})))"
            )
        except QueryFailed:
            continue
        found[column] = rows[0][0] == "f"
    return found


def _sum(text: str) -> str:
    return f"pg_catalog.sum(pg_catalog.hashtextextended({text}, 7))"


def _held(column: TypedColumn) -> str:
    assert column.send is not None
    send = f"{ident(column.send[0])}.{ident(column.send[1])}"
    value = ident(column.name)
    if column.is_array:
        # The binary form of an array contains its element type's OID, which differs per database.
        value = (
            f"(SELECT pg_catalog.string_agg({send}(item.value), '\\x00'::bytea ORDER BY item.at)"
            f" FROM pg_catalog.unnest({value}) WITH ORDINALITY AS item(value, at))"
        )
        return f"pg_catalog.encode({value}, 'hex')"
    return f"pg_catalog.encode({send}({value}), 'hex')"


def _printed(column: TypedColumn) -> str:
    return f"pg_catalog.format('%s', {ident(column.name)})"
