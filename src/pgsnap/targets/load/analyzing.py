"""Runs ANALYZE in a restored database without contacting any other server.

ANALYZE reads rows of everything below a partitioned table, and of inheritance children. A foreign
table among them would mean a connection to its server, which may be down or reject us, and the
success of a restore must not depend on that.
"""

from __future__ import annotations

from itertools import islice

from pgsnap.model import quote_ident
from pgsnap.sessions.base import Session, ident
from pgsnap.words import some

_BATCH = 200

# Ancestors of foreign tables, and all tables that a plain ANALYZE processes, each with a flag for
# the former.
_TABLES = """
WITH RECURSIVE above(oid) AS (
    SELECT i.inhparent FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'f'
    UNION
    SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
)
SELECT n.nspname, c.relname, c.oid IN (SELECT oid FROM above)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
AND EXISTS (SELECT FROM above)
ORDER BY 1, 2
"""


# The tables with rows of which some statistics are missing, as `vacuumdb --missing-stats-only` (18)
# finds them: of a column, of an expression in an index, extended ones; of a parent with children.
_WITHOUT = """
WITH inherited(relid, inherited) AS (
    SELECT oid, relkind = 'p' FROM pg_catalog.pg_class
    UNION SELECT inhparent, true FROM pg_catalog.pg_inherits
),
wanted(relid, statid, attnum) AS (
    SELECT a.attrelid, a.attrelid, a.attnum FROM pg_catalog.pg_attribute a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    AND a.attstattarget IS DISTINCT FROM 0
    UNION ALL
    SELECT i.indrelid, i.indexrelid, a.attnum FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND i.indkey[a.attnum - 1] = 0
    AND a.attstattarget IS DISTINCT FROM 0
)
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND c.reltuples <> 0
AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND EXISTS (
    SELECT FROM inherited h WHERE h.relid = c.oid AND (
        EXISTS (
            SELECT FROM wanted w WHERE w.relid = c.oid
            AND (w.statid = c.oid OR NOT h.inherited)
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_statistic s WHERE s.starelid = w.statid
                AND s.staattnum = w.attnum AND s.stainherit = h.inherited
            )
        )
        OR EXISTS (
            SELECT FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = c.oid
            AND e.stxstattarget IS DISTINCT FROM 0
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_statistic_ext_data d
                WHERE d.stxoid = e.oid AND d.stxdinherit = h.inherited
            )
        )
    )
)
ORDER BY 1, 2
"""


def analyze(session: Session, *, only_missing: bool = False) -> tuple[str, ...]:
    """Gather statistics of *session*'s database; if *only_missing*, of the tables that lack some:
    others were restored. Returns what had to be left out, as warnings."""
    rows = session.query(_TABLES)
    if only_missing:
        asking = {(schema, name): asks for schema, name, asks in rows}
        without = session.query(_WITHOUT)
        rows = [(schema, name, asking.get((schema, name), "f")) for schema, name in without]
        if not rows:
            return ()
    if not rows:
        session.execute("ANALYZE")
        return ()
    own = (f"{ident(s or '')}.{ident(name or '')}" for s, name, asks in rows if asks != "t")
    while batch := list(islice(own, _BATCH)):
        session.execute(f"ANALYZE {', '.join(batch)}")
    left = [
        f"{quote_ident(s or '')}.{quote_ident(name or '')}" for s, name, asks in rows if asks == "t"
    ]
    return (f"without statistics, for which other servers would be asked: {some(left)}",)
