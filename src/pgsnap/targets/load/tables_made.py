"""What is to be known of the tables of a scratch database before their rows are loaded."""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.sessions.base import Session
from pgsnap.targets.load.hashed_rows import chosen_anew
from pgsnap.targets.load.row_order import Table, empty_tables
from pgsnap.values import dataclass

# A check constraint, a domain or a generated column may call a function that reads other tables.
# The server does not know which, so every function counts that is in a language in which it could;
# those of the server and of libraries in C do not.
_WITH_FUNCTIONS = """
WITH RECURSIVE functions AS (
    SELECT p.oid FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
), callers AS (
    SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_operator o
        ON o.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
    WHERE d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
        'pg_catalog.pg_operator'::pg_catalog.regclass)
    AND COALESCE(o.oprcode, d.refobjid) IN (SELECT oid FROM functions)
), constraints AS (
    SELECT c.conrelid, c.contypid FROM pg_catalog.pg_constraint c
    JOIN callers ON classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND objid = c.oid
    WHERE c.contype = 'c'
), types (oid) AS (
    SELECT contypid FROM constraints WHERE contypid <> 0
    UNION
    SELECT t.oid FROM types
    JOIN pg_catalog.pg_type t ON t.typelem = types.oid OR t.typbasetype = types.oid
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid
            AND a.attrelid <> 0 AND a.atttypid = types.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_range r WHERE r.rngsubtype = types.oid
            AND t.oid IN (r.rngtypid, r.rngmultitypid))
), tables (oid) AS (
    SELECT conrelid FROM constraints
    UNION
    SELECT a.attrelid FROM pg_catalog.pg_attribute a JOIN types ON types.oid = a.atttypid
    WHERE NOT a.attisdropped
    UNION
    SELECT a.attrelid FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    JOIN callers ON classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND objid = f.oid
        OR classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = a.attrelid
        AND objsubid = a.attnum
    WHERE a.attgenerated <> ''
)
SELECT n.nspname, c.relname FROM tables
JOIN pg_catalog.pg_class c ON c.oid = tables.oid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


@dataclass(frozen=True, slots=True)
class TablesMade:
    """The tables that psql has created: *empty* may be truncated before their rows are loaded;
    *roots* maps a table to the topmost partitioned table that takes its rows; *partitioned* are all
    that are partitioned, or a part of such a table; the rows of those *in_order* may need the rows
    of the tables before them."""

    empty: frozenset[Table]
    roots: Mapping[Table, Table]
    partitioned: frozenset[Table]
    in_order: frozenset[Table]

    @classmethod
    def read(cls, session: Session) -> TablesMade:
        """Read them from *session*'s database."""
        roots = chosen_anew(session)
        # Those may already hold rows routed to them from other partitions.
        empty = empty_tables(session) - roots.keys()
        return cls(empty, roots, _partitioned(session), _with_functions(session))


def _partitioned(session: Session) -> frozenset[Table]:
    rows = session.query(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'p' OR c.relispartition AND c.relkind = 'r'"
    )
    return frozenset((schema or "", name or "") for schema, name in rows)


def _with_functions(session: Session) -> frozenset[Table]:
    """Return the tables whose rows pass through functions that may read other tables."""
    rows = session.query(_WITH_FUNCTIONS)
    return frozenset((schema or "", name or "") for schema, name in rows)
