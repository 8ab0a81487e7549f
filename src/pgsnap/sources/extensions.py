"""Finds data in extensions' tables and sequences that pg_dump leaves out.

For an extension pg_dump writes CREATE EXTENSION, and the rows of tables (and the values of
sequences) that the extension marked as configuration. Everything else is recreated by its script:
rows that were added later are in no dump, and a sequence restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pgsnap.dump.definitions.extension_sequences import SequenceValue
from pgsnap.errors import QueryFailed
from pgsnap.model import ExtensionMember, Origin, quote_ident
from pgsnap.sessions.base import Row, Session, ident, literal
from pgsnap.values import dataclass

# Waiting for a locked table is not worth it: pg_dump does not read it either.
_LOCK_TIMEOUT = "3s"
_LOCKED = "55P03"
_NAMED_MAX = 5

_MEMBERS = """
SELECT e.extname, n.nspname, c.relname, c.oid, c.relkind = 'S',
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
JOIN pg_catalog.pg_class c ON c.oid = d.objid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
  AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.unnest(e.extconfig) AS marked(oid) WHERE marked.oid = c.oid)
ORDER BY e.extname COLLATE "C", n.nspname COLLATE "C", c.relname COLLATE "C"
"""
# Rows inserted by the extension's script are recreated by it: they have the same transaction ID as
# the table's system column entries, which never change afterwards.
_HAS_ROWS = """
SELECT EXISTS (
    SELECT FROM ONLY {table} found
    WHERE found.xmin OPERATOR(pg_catalog.<>)
          (SELECT a.xmin FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum = -1))
"""
_VALUE = """
SELECT {number}, found.last_value, found.is_called, made.seqstart
FROM {sequence} found, pg_catalog.pg_sequence made WHERE made.seqrelid = {oid}
"""


@dataclass(frozen=True, slots=True)
class Members:
    """*left_out* are members with data that no dump holds: tables with rows of their own, and those
    that we may not read. The values of other sequences are left to `read_sequences`."""

    left_out: tuple[ExtensionMember, ...] = ()
    have_sequences: bool = False


def read_members(session: Session) -> Members:
    """Return what extensions created without marking it as configuration. Raises QueryFailed,
    ConnectionFailed."""
    found = []
    have_sequences = False
    for extension, schema, name, oid, is_sequence, is_readable in _rows(session):
        kind = "sequence" if is_sequence == "t" else "table"
        if is_readable != "t":
            found.append(ExtensionMember(extension, schema, name, kind, is_known=False))
        elif kind == "sequence":
            have_sequences = True
        elif (has_rows := _has_rows(session, schema, name, oid)) is not False:
            found.append(ExtensionMember(extension, schema, name, kind, is_known=bool(has_rows)))
    return Members(tuple(found), have_sequences)


def read_sequences(
    session: Session, lock_wait_seconds: float
) -> tuple[list[SequenceValue], tuple[ExtensionMember, ...]]:
    """Return the sequences that have advanced since their extension was created and that no dump
    holds; and those that were locked for longer than *lock_wait_seconds*.

    Raises QueryFailed, ConnectionFailed.
    """
    sequences = [row for row in _rows(session) if row[4] == "t" and row[5] == "t"]
    if not sequences:
        return [], ()
    wait = f"{max(1, round(lock_wait_seconds * 1000))}ms"
    try:
        return _values(session, sequences, wait), ()
    except QueryFailed as error:
        if error.sqlstate != _LOCKED:
            raise
    # The time is used up: finding the locked one must not take much longer.
    found: list[SequenceValue] = []
    locked: list[ExtensionMember] = []
    for row in sequences:
        try:
            found += _values(session, [row], _LOCK_TIMEOUT)
        except QueryFailed as error:
            if error.sqlstate != _LOCKED:
                raise
            locked.append(ExtensionMember(row[0], row[1], row[2], "sequence", is_known=False))
    return found, tuple(locked)


def _values(
    session: Session, sequences: Sequence[tuple[str, ...]], lock_timeout: str
) -> list[SequenceValue]:
    asked = " UNION ALL ".join(
        _VALUE.format(number=number, sequence=f"{ident(row[1])}.{ident(row[2])}", oid=row[3])
        for number, row in enumerate(sequences)
    )
    values = session.query(f"SET LOCAL lock_timeout = {literal(lock_timeout)}; {asked} ORDER BY 1")
    return [
        SequenceValue(
            sequences[int(number)][1], sequences[int(number)][2], int(value), called == "t"
        )
        for number, value, called, start in map(_texts, values)
        if called == "t" or value != start
    ]


def _rows(session: Session) -> list[tuple[str, ...]]:
    return [_texts(row) for row in session.query(_MEMBERS)]


def _texts(row: Row) -> tuple[str, ...]:
    return tuple(value or "" for value in row)


def _has_rows(session: Session, schema: str, name: str, oid: str) -> bool | None:
    """Return whether a table has rows that its extension did not insert, None if that cannot be
    determined."""
    sql = _HAS_ROWS.format(table=f"{ident(schema)}.{ident(name)}", oid=oid)
    try:
        rows = session.query(f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)}; {sql}")
    except QueryFailed:
        return None
    return rows[0][0] == "t"


def left_behind(origin: Origin) -> list[str]:
    """Return what the snapshot lacks of its extensions, one sentence each, for display."""
    told = []
    for (extension, is_known), group in groupby(
        sorted(origin.extension_members, key=lambda m: (m.extension, not m.is_known)),
        key=lambda m: (m.extension, m.is_known),
    ):
        names = _names(list(group))
        if is_known:
            told.append(
                f"the extension {extension} keeps rows in tables that pg_dump leaves out, and so"
                f" does the snapshot: {names}"
            )
        else:
            told.append(
                f"what the extension {extension} keeps could not be looked into, and is in no dump:"
                f" {names}"
            )
    return told


def _names(members: Sequence[ExtensionMember]) -> str:
    shown = [f"{quote_ident(m.schema)}.{quote_ident(m.name)}" for m in members[:_NAMED_MAX]]
    more = len(members) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def left_out_rows(before: Origin, after: Origin) -> list[str]:
    """Return the tables that had rows of their own in *before* and have none in *after*."""
    there = {(m.schema, m.name) for m in after.extension_members if m.is_known}
    return [
        f"{quote_ident(m.schema)}.{quote_ident(m.name)}"
        for m in before.extension_members
        if m.kind == "table" and (m.schema, m.name) not in there
    ]
