"""Which tables' rows pg_dump writes, in which order, and what it writes around them.

Text is taken from the server as bytes in the database's encoding, as pg_dump writes it: not every
encoding of a database is known to Python.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

from pgsnap.dump.entries import copied_table
from pgsnap.limits import MIB
from pgsnap.model import BlockMap, SectionEnd, quote_ident
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.values import dataclass

_NAMES_IN_PATTERN = 50
# Linux accepts 2 MiB of arguments and environment.
_ARGUMENTS_MAX = MIB
_HAS_LARGE_OBJECTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)"

DEFINITIONS = ("--section=pre-data", "--section=post-data")
"""The arguments with which pg_dump has nothing to do for the data."""

ROWS_END = b"\\.\n\n\n"
"""What pg_dump writes after the rows of a table."""

# pg_dump skips these schemas, and what extensions created, unless it is configuration.
OF_USER = (
    "n.nspname <> 'information_schema' AND NOT pg_catalog.starts_with(n.nspname, 'pg_')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
    " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid"
    " AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e')"
)
"""The condition for relations (pg_class c, pg_namespace n) that are dumped for their own sake."""
CONFIGURATION = (
    "SELECT marked.oid, coalesce(e.extcondition[marked.place], '') AS condition"
    " FROM pg_catalog.pg_extension e,"
    " pg_catalog.unnest(e.extconfig) WITH ORDINALITY AS marked(oid, place)"
)
"""Relations of extensions whose contents are dumped, with the condition for their rows."""
NOT_LOST = "NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())"
"""On a standby, unlogged relations cannot be read."""


def in_bytes(expression: str) -> str:
    """Return SQL for the bytes, as hexadecimal digits, of a text in the database's encoding."""
    return (
        f"pg_catalog.encode(pg_catalog.convert_to({expression},"
        " pg_catalog.getdatabaseencoding()), 'hex')"
    )


def header(label: str, kind: str) -> str:
    """Return SQL for the header that pg_dump writes above the entry of a relation."""

    def plain(name: str) -> str:
        # As pg_dump, which may not end a comment.
        return rf"pg_catalog.translate({name}, E'\n\r', '  ')"

    return (
        rf"E'--\n-- {label}Name: ' || {plain('c.relname')} || '; Type: {kind}; Schema: '"
        rf" || {plain('n.nspname')} || '; Owner: '"
        rf" || {plain('pg_catalog.pg_get_userbyid(c.relowner)')} || E'\n--\n\n'"
    )


_TABLES = rf"""
SELECT c.oid, {in_bytes("pg_catalog.quote_ident(n.nspname)")},
       {in_bytes("pg_catalog.quote_ident(c.relname)")}, {in_bytes("t.columns")},
       {in_bytes("coalesce(marked.condition, '')")},
       {in_bytes(header("Data for ", "TABLE DATA"))}
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN ({CONFIGURATION}) marked ON marked.oid = c.oid,
LATERAL (SELECT coalesce((
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
    AND NOT a.attisdropped AND a.attgenerated = ''), '') AS columns) t
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {NOT_LOST}
  AND (marked.oid IS NOT NULL OR {OF_USER})
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
_ENUM_KEY = """
EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p
    JOIN pg_catalog.pg_opclass o ON o.oid = ANY (p.partclass)
    JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
    WHERE p.partstrat = 'h' AND o.opcname = 'enum_ops' AND a.amname = 'hash')
"""
_TIED_CONFIGURATION = f"""
EXISTS (SELECT FROM pg_catalog.pg_constraint t WHERE t.contype = 'f'
    AND t.conrelid IN (SELECT m.oid FROM ({CONFIGURATION}) m)
    AND t.confrelid IN (SELECT m.oid FROM ({CONFIGURATION}) m))
"""
_OTHER_STORAGE = """
EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
    WHERE c.relkind = 'r' AND a.amhandler <> 'pg_catalog.heap_tableam_handler'::pg_catalog.regproc)
"""
_HINDRANCE = f"""
SELECT CASE
  WHEN {_ENUM_KEY} THEN 'the hash of an enum chooses the partition of rows'
  WHEN {_TIED_CONFIGURATION} THEN 'foreign keys tie configuration tables of extensions'
  WHEN {_OTHER_STORAGE} THEN 'tables are stored by another access method than heap'
  ELSE '' END
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are dumped. *head* is what pg_dump writes before the rows; *columns* are
    quoted and separated by commas, and may be none; *condition* selects the rows of a configuration
    table, as WHERE and what follows, and is mostly empty."""

    oid: int
    schema: str
    name: str
    quoted_schema: bytes
    quoted_name: bytes
    columns: bytes
    condition: bytes
    head: bytes

    @property
    def qualified(self) -> bytes:
        """Its name, as SQL."""
        return self.quoted_schema + b"." + self.quoted_name

    def __str__(self) -> str:
        return f"{quote_ident(self.schema)}.{quote_ident(self.name)}"


def end_of_rows(table: Table, block_map: BlockMap | None) -> SectionEnd:
    """Return the end of the section of a table's rows, which `ROWS_END` precedes."""
    head, tail = table.head, ROWS_END
    return SectionEnd(
        True, len(head), head.count(b"\n"), len(tail), tail.count(b"\n"), block_map=block_map
    )


def dump_key(tool: Tool, arguments: Sequence[str]) -> str:
    """Return what the output of pg_dump with these *arguments* depends on besides the database: not
    on the time that it may wait."""
    options = [each for each in arguments if not each.startswith("--lock-wait-timeout")]
    return "\n".join([tool.version_line, *options])


def definitions_arguments(session: Session, tables: Sequence[Table]) -> tuple[tuple[str, ...], str]:
    """Return the arguments with which pg_dump writes what is not in the rows of *tables*: without
    large objects, nothing of the data; or why there are none. Raises QueryFailed,
    ConnectionFailed."""
    if session.query(_HAS_LARGE_OBJECTS)[0][0] != "t":
        return DEFINITIONS, ""
    found = tuple(f"--exclude-table-data={each}" for each in patterns(tables))
    if sum(map(len, found)) > _ARGUMENTS_MAX:
        return (), "there are large objects, and too many tables to name to pg_dump"
    return found, ""


def patterns(tables: Sequence[Table]) -> list[str]:
    """Return patterns as pg_dump takes them that match these *tables* and nothing else."""
    # One for each table would take long to look up, and too long a one to compile.
    return [
        os.fsdecode(b"%b.(%b)" % (schema, b"|".join(names[first : first + _NAMES_IN_PATTERN])))
        for schema, group in groupby(tables, lambda table: table.quoted_schema)
        for names in ([table.quoted_name for table in group],)
        for first in range(0, len(names), _NAMES_IN_PATTERN)
    ]


def hindrance(session: Session) -> str:
    """Return why rows cannot be read in pg_dump's place from this database, "" if they can. Raises
    QueryFailed, ConnectionFailed."""
    return session.query(_HINDRANCE)[0][0] or ""


def dumped_tables(session: Session, encoding: str) -> tuple[Table, ...]:
    """Return the tables whose rows pg_dump writes, in its order, as of the snapshot of *session*;
    *encoding* is the database's. Raises QueryFailed, ConnectionFailed."""
    return tuple(
        _table(int(row[0] or 0), encoding, *(bytes.fromhex(value or "") for value in row[1:]))
        for row in session.query(_TABLES)
    )


def _table(
    oid: int,
    encoding: str,
    quoted_schema: bytes,
    quoted_name: bytes,
    columns: bytes,
    condition: bytes,
    header: bytes,
) -> Table:
    qualified = quoted_schema + b"." + quoted_name
    names = b"(%b)" % columns if columns else b""
    statement = b"COPY %b %b FROM stdin;\n" % (qualified, names)
    schema, name = copied_table(statement, encoding)
    return Table(
        oid, schema, name, quoted_schema, quoted_name, columns, condition, header + statement
    )
