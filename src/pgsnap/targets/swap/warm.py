"""Warm copies: restored databases that are ready to take a live one's name.

They are closed as scratch databases are, and marked in their comment. The mark alone proves
nothing: a copy is used only if the repository has a note of it, and it is as it was then.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pgsnap.progress import SILENT, Progress
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.naming import WARM_PATTERN, token_of
from pgsnap.targets.swap.clones import clone_closed
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.scratch import alive_tokens
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class WarmCopy:
    """A copy of *snapshot* (its id in hex) that waits to become the database *live*. If it
    *is_busy* its maker is alive, and it may not be whole. *size_bytes* is None if unknown."""

    name: str
    oid: int
    token: str
    live: str
    snapshot: str
    is_busy: bool
    size_bytes: int | None


def find_warm(session: Session, live: str | None = None) -> tuple[WarmCopy, ...]:
    """Return the warm copies on *session*'s server, the oldest first; *live* selects those of one
    database. Raises QueryFailed, ConnectionFailed."""
    rows = session.query(
        "SELECT d.datname, d.oid, pg_catalog.shobj_description(d.oid, 'pg_database'),"
        " CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')"
        " THEN pg_catalog.pg_database_size(d.oid) END"
        " FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.~)"
        f" {literal(WARM_PATTERN)} AND NOT d.datistemplate ORDER BY d.oid"
    )
    alive = alive_tokens(session) if rows else set()
    found = []
    for name, oid, comment, size in rows:
        mark, token = _read_mark(comment), token_of(name or "", WARM_PATTERN)
        if mark is None or token is None or (live is not None and mark[0] != live):
            continue
        size_bytes = int(size) if size is not None else None
        busy = token in alive
        found.append(WarmCopy(name or "", int(oid or 0), token, *mark, busy, size_bytes))
    return tuple(found)


def mark_statement(name: str, live: str, snapshot: str) -> str:
    """Return the SQL that marks the database *name* as a warm copy."""
    mark = json.dumps({"snap": "warm", "database": live, "snapshot": snapshot})
    return f"COMMENT ON DATABASE {ident(name)} IS {literal(mark)}"


def clone_warm(session: Session, copy: WarmCopy, name: str) -> int:
    """Create the database *name* from *copy*, marked and closed like it, and return its OID. Raises
    QueryFailed (if a session is connected to *copy*, for one), ConnectionFailed."""
    mark = mark_statement(name, copy.live, copy.snapshot)
    return clone_closed(session, copy.name, name, mark=mark, owner=_owner(session, copy))


def drop_warm(
    session: Session,
    copy: WarmCopy,
    open_database: Callable[[str], Session],
    watch: Callable[[], Session],
    progress: Progress = SILENT,
) -> None:
    """Drop *copy*. Raises QueryFailed, ConnectionFailed, Stopped after it was dropped."""
    drop_subscriptions(session, open_database, copy.name)
    drop_database(session, copy.name, watch=watch, progress=progress)


def others_inside(session: Session, oid: int, ours: str) -> bool:
    """Return whether sessions that are not called *ours* are connected to the database with this
    OID. Raises QueryFailed, ConnectionFailed."""
    rows = session.query(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE datid ="
        f" {number(oid)} AND usesysid IS NOT NULL AND application_name <> {literal(ours)})"
    )
    return rows[0][0] == "t"


def _owner(session: Session, copy: WarmCopy) -> str:
    rows = session.query(
        f"SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database"
        f" WHERE oid = {number(copy.oid)}"
    )
    return rows[0][0] or ""


def _read_mark(comment: str | None) -> tuple[str, str] | None:
    try:
        mark = json.loads(comment or "")
    except ValueError:
        return None
    if not isinstance(mark, dict) or mark.get("snap") != "warm":
        return None
    return str(mark.get("database", "")), str(mark.get("snapshot", ""))
