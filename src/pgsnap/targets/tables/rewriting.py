"""A live table that is emptied and filled within one transaction: without the indexes that cost
more to keep up row by row than to make again."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.sessions.base import Session, literal
from pgsnap.values import dataclass

# Below, a load with its indexes takes no longer.
INDEXED_ROWS_MAX = 10_000

# Those of which CREATE INDEX, or ADD CONSTRAINT of a primary key or a unique constraint, gives all
# there is again: no other constraint, foreign key, replica identity, CLUSTER, partitioned index,
# extension, view, comment or tablespace is tied to them, and no function of the user's is called.
# What is written of a constraint does not name its index's parameters.
_PLAIN_INDEXES = """
SELECT CASE WHEN k.oid IS NULL THEN pg_catalog.format('DROP INDEX %I.%I', n.nspname, c.relname)
    ELSE pg_catalog.format('ALTER TABLE ONLY %I.%I DROP CONSTRAINT %I', m.nspname, t.relname,
      k.conname) END,
  CASE WHEN k.oid IS NULL THEN pg_catalog.pg_get_indexdef(c.oid)
    ELSE pg_catalog.format('ALTER TABLE ONLY %I.%I ADD CONSTRAINT %I %s', m.nspname, t.relname,
      k.conname, pg_catalog.pg_get_constraintdef(k.oid)) END
FROM pg_catalog.pg_class t
JOIN pg_catalog.pg_namespace m ON m.oid = t.relnamespace
JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = c.oid AND k.conrelid = t.oid
  AND k.contype IN ('p', 'u') AND NOT k.condeferrable AND k.conislocal AND k.coninhcount = 0
  AND c.reloptions IS NULL
WHERE m.nspname = {schema} AND t.relname = {name} AND t.relkind = 'r'
  AND pg_catalog.pg_has_role(t.relowner, 'USAGE')
  AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')
  AND c.relkind = 'i' AND NOT c.relispartition AND c.reltablespace = 0
  AND i.indisvalid AND i.indisready AND i.indislive
  AND NOT i.indisexclusion AND NOT i.indisreplident AND NOT i.indisclustered
  AND i.indexprs IS NULL AND i.indpred IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o
    WHERE o.conindid = c.oid AND o.oid IS DISTINCT FROM k.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_description d
    WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = c.oid
    OR d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objoid = k.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid
    OR d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.refobjid = k.oid
      AND NOT (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
    AND d.deptype IN ('e', 'x'))
ORDER BY c.oid
"""


@dataclass(frozen=True, slots=True)
class PlainIndex:
    """An index, or the constraint that it belongs to, which can be dropped and made again: the
    statements for both."""

    drop: str
    make: str


def plain_indexes(session: Session, table: TableName) -> tuple[PlainIndex, ...]:
    """Return those of *table*, in the order in which they were made. Raises QueryFailed."""
    schema, name = (f"{literal(each)}::pg_catalog.name" for each in table)
    rows = session.query(_PLAIN_INDEXES.format(schema=schema, name=name))
    return tuple(PlainIndex(*(value or "" for value in row)) for row in rows)


def empty_to_fill(table: TableName, indexes: Sequence[PlainIndex]) -> str:
    """Return SQL that empties *table*, to which no other may refer, and drops *indexes*."""
    dropped = "".join(f"{index.drop};\n" for index in indexes)
    return f"TRUNCATE ONLY {quoted(table)};\n{dropped}"


def make_again(indexes: Sequence[PlainIndex]) -> str:
    """Return SQL that makes *indexes* again, in the tablespace that they were in: the default may
    have been set to another one."""
    made = "".join(f"{index.make};\n" for index in indexes)
    return f"SET LOCAL default_tablespace = '';\n{made}" if made else ""
