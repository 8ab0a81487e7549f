"""The table that is there now: what it is, and what other objects have to do with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pgsnap.dump.table_parts import TableName
from pgsnap.sessions.base import Row, Session, literal


@dataclass(frozen=True, slots=True)
class LiveTable:
    """The table that is there now. *size_bytes* with its indexes; *kind* as pg_class.relkind.
    *parent* is the table that it is a partition of or inherits from, "" for others."""

    name: TableName
    oid: int
    kind: str
    size_bytes: int
    owner: str
    is_ours: bool
    parent: str


@dataclass(frozen=True, slots=True)
class Dependents:
    """What is tied to a live table besides what belongs to it.

    *foreign_keys* of other tables refer to it, *views* read it: both can be made again.
    *stuck* cannot, *publications* would no longer publish it.
    """

    foreign_keys: tuple[str, ...]
    views: tuple[str, ...]
    stuck: tuple[str, ...]
    publications: tuple[str, ...]


_LIVE_TABLE = (
    "SELECT n.nspname, c.relname, c.oid, c.relkind, pg_catalog.pg_total_relation_size(c.oid),"
    " r.rolname, pg_catalog.pg_has_role(c.relowner, 'USAGE'),"
    " (SELECT i.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i"
    " WHERE i.inhrelid = c.oid ORDER BY i.inhseqno LIMIT 1)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_roles r ON r.oid = c.relowner"
)


def look_at_table(session: Session, table: TableName) -> LiveTable | None:
    """Return what is known of a table, or of what else has its name; None: the name is free."""
    rows = session.query(
        f"{_LIVE_TABLE} WHERE n.nspname = {literal(table[0])} AND c.relname = {literal(table[1])}"
    )
    return _live_table(rows[0]) if rows else None


def live_partitions(session: Session, table: LiveTable) -> tuple[LiveTable, ...]:
    """Return the partitions of *table* at all levels, each behind the one it is a part of."""
    if table.kind != "p":
        return ()
    rows = session.query(
        f"{_LIVE_TABLE} JOIN pg_catalog.pg_partition_tree({table.oid}) t ON t.relid = c.oid"
        " WHERE t.level > 0 ORDER BY t.level, 1, 2"
    )
    return tuple(map(_live_table, rows))


def _live_table(row: Row) -> LiveTable:
    schema, name, oid, kind, size, owner, ours, parent = row
    return LiveTable(
        name=(schema or "", name or ""),
        oid=int(oid or 0),
        kind=kind or "",
        size_bytes=int(size or 0),
        owner=owner or "",
        is_ours=ours == "t",
        parent=parent or "",
    )


def dependents_of(session: Session, table: LiveTable, replaced: Collection[int] = ()) -> Dependents:
    """Return what other objects have to do with *table*.

    Its parts (automatic and internal dependencies) go with it. Of normal dependencies those of
    rules, policies, constraints, triggers and defaults of its own are left out, and of tables that
    are *replaced* with it: those come back as the snapshot has them.
    """
    others = ", ".join(map(str, {table.oid, *replaced}))
    keys = session.query(
        "SELECT pg_catalog.format('%I of %s', conname, conrelid::pg_catalog.regclass)"
        f" FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = {table.oid}"
        f" AND conrelid NOT IN ({others}) AND conparentid = 0 ORDER BY 1"
    )
    rows = session.query(
        "SELECT DISTINCT coalesce(c.relkind = 'v', false),"
        " CASE WHEN c.relkind = 'v' THEN r.ev_class::pg_catalog.regclass::text"
        " ELSE pg_catalog.pg_describe_object(d.classid, d.objid, 0) END"
        " FROM pg_catalog.pg_depend d"
        " LEFT JOIN pg_catalog.pg_rewrite r"
        " ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
        " LEFT JOIN pg_catalog.pg_policy p"
        " ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_constraint k"
        " ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_trigger t"
        " ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_attrdef a"
        " ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = d.objid"
        f" WHERE {REFERS.format(oid=table.oid)}"
        " AND d.deptype = 'n' AND coalesce(k.contype, '') <> 'f'"
        " AND coalesce(r.ev_class, p.polrelid, k.conrelid, t.tgrelid, a.adrelid, 0)"
        f" NOT IN ({others}) ORDER BY 2"
    )
    published = session.query(
        "SELECT p.pubname FROM pg_catalog.pg_publication_rel r"
        f" JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = {table.oid}"
        " ORDER BY 1"
    )
    return Dependents(
        foreign_keys=tuple(name or "" for (name,) in keys),
        views=tuple(name or "" for is_view, name in rows if is_view == "t"),
        stuck=tuple(name or "" for is_view, name in rows if is_view != "t"),
        publications=tuple(name or "" for (name,) in published),
    )


REFERS = """((d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid = {oid}
 OR d.refobjid IN (SELECT s.objid FROM pg_catalog.pg_depend s
 WHERE s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.refobjid = {oid}
 AND s.deptype IN ('a', 'i')
 AND EXISTS (SELECT FROM pg_catalog.pg_class q WHERE q.oid = s.objid AND q.relkind = 'S'))))
 OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (
 SELECT y.oid FROM pg_catalog.pg_type y WHERE y.typrelid = {oid}
 UNION ALL SELECT y.typarray FROM pg_catalog.pg_type y WHERE y.typrelid = {oid})))"""
"""A condition on a row d of pg_depend: it refers to the table *oid*, to its row type or that type's
array, or to a sequence that belongs to one of its columns."""
