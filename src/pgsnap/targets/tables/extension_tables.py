"""Tables that belong to an extension: which ones, whether their rows are its configuration (and so
in a dump), and what depends on them."""

from __future__ import annotations

from collections.abc import Collection

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.sessions.base import Session, literal
from pgsnap.targets.tables.live import LiveTable
from pgsnap.values import dataclass

_CONFIGURATION = """
SELECT coalesce(e.extcondition[pg_catalog.array_position(e.extconfig, {oid}::pg_catalog.oid)], '')
FROM pg_catalog.pg_extension e WHERE {oid}::pg_catalog.oid = ANY (e.extconfig)
"""
_REFERRERS = """
SELECT DISTINCT conrelid::pg_catalog.regclass::text FROM pg_catalog.pg_constraint
WHERE contype = 'f' AND confrelid = {oid} AND conrelid NOT IN ({others}) ORDER BY 1
"""
# In this order: the server may evaluate the function first, which fails for anything but a
# sequence.
_SETTABLE = (
    "CASE s.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(s.oid, 'SELECT')"
    " AND pg_catalog.has_sequence_privilege(s.oid, 'UPDATE') ELSE false END"
)
# Sequences that its columns own or its defaults use, if we may set them.
_SEQUENCES = """
SELECT DISTINCT s.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class s
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objid = s.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = {oid} AND d.deptype IN ('a', 'i')
WHERE {settable}
UNION
SELECT s.oid::pg_catalog.regclass::text FROM pg_catalog.pg_attrdef a
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
  AND d.objid = a.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
WHERE a.adrelid = {oid} AND {settable} ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence by its name as SQL, and its last value."""

    name: str
    last_value: int


def configuration_of(session: Session, table: LiveTable) -> str | None:
    """Return the condition on the rows of *table* that are dumped (``WHERE …``, "" for all of
    them); None if the extension does not mark it as configuration."""
    rows = session.query(_CONFIGURATION.format(oid=table.oid))
    return (rows[0][0] or "") if rows else None


def referrers_of(session: Session, table: LiveTable, others: Collection[int]) -> tuple[str, ...]:
    """Return the tables other than *others* whose foreign keys refer to *table*."""
    oids = ", ".join(map(str, others))
    rows = session.query(_REFERRERS.format(oid=table.oid, others=oids))
    return tuple(name for (name,) in rows if name is not None)


def sequences_of(session: Session, table: LiveTable) -> tuple[Sequence, ...]:
    """Return the sequences that new rows of *table* use."""
    found = []
    for (name,) in session.query(_SEQUENCES.format(oid=table.oid, settable=_SETTABLE)):
        # The server already quoted the name.
        rows = session.query(f"SELECT last_value FROM {name}")
        found.append(Sequence(name or "", int(rows[0][0] or 0)))
    return tuple(found)


def may_write(session: Session, table: LiveTable) -> bool:
    """Return whether we may delete rows from *table* and insert others."""
    return bool(
        session.query(
            f"SELECT 1 WHERE pg_catalog.has_table_privilege({table.oid}, 'DELETE')"
            f" AND pg_catalog.has_table_privilege({table.oid}, 'INSERT')"
        )
    )


def count_rows(session: Session, table: TableName, condition: str) -> int:
    """Return the number of rows of *table* that a dump would contain."""
    return int(session.query(f"SELECT count(*) FROM ONLY {quoted(table)} {condition}")[0][0] or 0)


def delete_rows(table: TableName, condition: str) -> str:
    """Return the statement that deletes the rows of *table* that a dump contains."""
    return f"DELETE FROM ONLY {quoted(table)} {condition};\n"


def raise_sequence(name: str, value: int, *, called: bool) -> str:
    """Return the statement that sets the sequence *name* (as SQL) to *value*, unless it is already
    past it."""
    word = "true" if called else "false"
    return (
        f"SELECT pg_catalog.setval({literal(name)}::pg_catalog.regclass, {value}, {word})"
        f" WHERE (SELECT last_value FROM {name}) < {value};\n"
    )
