"""Who holds the tables that a dump is waiting for."""

from __future__ import annotations

from pgsnap.errors import SourceError
from pgsnap.sessions.base import Session

# ACCESS SHARE, which a dump takes, conflicts with this mode only.
_BLOCKERS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), l.pid, a.application_name
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'm', 'S', 'f', 'v')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1 LIMIT 5
"""


def blockers(session: Session) -> list[str]:
    """Return one sentence for each table that another session has locked right now."""
    try:
        rows = session.query(_BLOCKERS)
    except SourceError:
        return []
    return [f"Process {pid} ({name or 'unnamed'}) holds {table}." for table, pid, name in rows]
