"""Warns of an undo after single tables were restored: it reverts the whole database, and only those
tables may have been meant."""

from __future__ import annotations

from datetime import UTC, datetime

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.patterns import regex
from pgsnap.sessions.server import Server
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import shown

# The format of `replaced_name`.
_REPLACED = regex(r"__replaced_(\d{8}_\d{6}_\d{3})")
_TABLES = (
    "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
    " AND pg_catalog.strpos(c.relname, '__replaced_') > 0 ORDER BY 1, 2"
)


def tables_replaced_since(server: Server, database: str, since: datetime) -> tuple[str, ...]:
    """Return, as a warning, the tables of *database* that later table restores set aside; empty if
    the query fails, which must not prevent an undo."""
    try:
        with server.without_event_triggers().connect(database) as session:
            rows = session.query(_TABLES)
    except (ConnectionFailed, QueryFailed):
        return ()
    names = [(schema or "", name or "") for schema, name in rows]
    found = [shown(name) for name in names if _is_later(name, since)]
    if not found:
        return ()
    return (
        "tables were restored by themselves since then: this undo takes back that and all else"
        f" that was written; what they replaced is still there, as {some(found)}",
    )


def _is_later(name: TableName, since: datetime) -> bool:
    match = _REPLACED.search(name[1])
    if match is None:
        return False
    try:
        moment = datetime.strptime(f"{match[1]}000", "%Y%m%d_%H%M%S_%f").replace(tzinfo=UTC)
    except ValueError:
        return False
    return moment > since
