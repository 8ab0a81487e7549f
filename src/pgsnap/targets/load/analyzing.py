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


def analyze(session: Session) -> tuple[str, ...]:
    """Gather statistics of *session*'s database. Returns what had to be left out, as warnings."""
    rows = session.query(_TABLES)
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
