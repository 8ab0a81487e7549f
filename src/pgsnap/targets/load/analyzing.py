"""ANALYZE of a restored database, without a question to any other server.

ANALYZE reads rows of all that is below a partitioned table, and of what inherits from another.
Where a foreign table is among them, its server would be asked: it may be away, or not know us, and
whether a restore succeeds must not hang on that.
"""

from __future__ import annotations

from itertools import islice

from pgsnap.model import quote_ident
from pgsnap.sessions.base import Session, ident
from pgsnap.words import some

_BATCH = 200

# Those above a foreign table, and all that a plain ANALYZE takes, with whether it is one of them.
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
