"""The live table: its properties and its relations to other objects."""

from __future__ import annotations

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.sessions.base import Row, Session, literal
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class LiveTable:
    """The existing table. *size_bytes* includes indexes; *kind* is pg_class.relkind. *parent* is
    the table that it is a partition of or inherits from, *extension* the one that it is a member
    of, "" if none."""

    name: TableName
    oid: int
    kind: str
    size_bytes: int
    owner: str
    is_ours: bool
    parent: str
    extension: str


_LIVE_TABLE = (
    "SELECT n.nspname, c.relname, c.oid, c.relkind, pg_catalog.pg_total_relation_size(c.oid),"
    " r.rolname, pg_catalog.pg_has_role(c.relowner, 'USAGE'),"
    " (SELECT i.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i"
    " WHERE i.inhrelid = c.oid ORDER BY i.inhseqno LIMIT 1),"
    " (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e"
    " ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"
    " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid"
    " AND d.deptype = 'e')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_roles r ON r.oid = c.relowner"
)


def find_table(session: Session, table: TableName) -> LiveTable | None:
    """Return the properties of a table, or of whatever else has its name; None: the name is
    free."""
    rows = session.query(
        f"{_LIVE_TABLE} WHERE n.nspname = {literal(table[0])} AND c.relname = {literal(table[1])}"
    )
    return _live_table(rows[0]) if rows else None


def live_partitions(session: Session, table: LiveTable) -> tuple[LiveTable, ...]:
    """Return the partitions of *table* at all levels, each after its parent."""
    if table.kind != "p":
        return ()
    rows = session.query(
        f"{_LIVE_TABLE} JOIN pg_catalog.pg_partition_tree({table.oid}) t ON t.relid = c.oid"
        " WHERE t.level > 0 ORDER BY t.level, 1, 2"
    )
    return tuple(map(_live_table, rows))


def _live_table(row: Row) -> LiveTable:
    schema, name, oid, kind, size, owner, ours, parent, extension = row
    return LiveTable(
        name=(schema or "", name or ""),
        oid=int(oid or 0),
        kind=kind or "",
        size_bytes=int(size or 0),
        owner=owner or "",
        is_ours=ours == "t",
        parent=parent or "",
        extension=extension or "",
    )
