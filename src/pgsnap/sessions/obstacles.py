"""Finds why a database refuses connections, or ours: from the catalogs, so in any server
language."""

from __future__ import annotations

import contextlib

from pgsnap.errors import ConnectionFailed, SourceError
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT, drop_command
from pgsnap.sessions.server import Server
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What prevents the connection, as a clause, and how to fix it."""

    message: str
    hint: str


def find_obstacle(session: Session, database: str) -> Obstacle | None:
    """Return what keeps our role out of *database* according to its catalog row, None if nothing
    does or there is no such database. *session* is connected to another one."""
    rows = session.query(
        "SELECT d.datconnlimit, d.datallowconn, me.rolsuper,"
        " pg_catalog.has_database_privilege(d.oid, 'CONNECT'),"
        " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid"
        "  AND a.usesysid IS NOT NULL), me.rolname"
        " FROM pg_catalog.pg_database d, pg_catalog.pg_roles me"
        f" WHERE d.datname = {literal(database)} AND me.rolname = current_user"
    )
    if not rows:
        return None
    limit, is_open, is_superuser, may_connect, sessions, me = rows[0]
    name = ident(database)
    if limit == str(CONNECTION_LIMIT):
        return Obstacle(
            f"the database {database} is half-dropped",
            "A DROP DATABASE of it was cut short, and nobody can read it any more. Put back a kept"
            " one (snap undo --no-safety-snapshot) or a snapshot (snap restore REV"
            f" --no-safety-snapshot), or drop it: {drop_command(database)}",
        )
    if is_open != "t":
        return Obstacle(
            f"the database {database} lets nobody in (ALLOW_CONNECTIONS is false)",
            f"Open it: ALTER DATABASE {name} ALLOW_CONNECTIONS true;",
        )
    if is_superuser == "t":
        return None
    if may_connect != "t":
        return Obstacle(
            f"the role {me} may not connect to the database {database}",
            f"As its owner: GRANT CONNECT ON DATABASE {name} TO {ident(me or '')};",
        )
    if 0 <= int(limit or -1) <= int(sessions or 0):
        return Obstacle(
            f"the database {database} has CONNECTION LIMIT {limit}"
            + (", and as many sessions" if limit != "0" else ""),
            f"Raise it: ALTER DATABASE {name} CONNECTION LIMIT -1;",
        )
    return None


def _has_login_triggers(session: Session, database: str) -> bool:
    """Return whether a database has login event triggers that our role may not disable."""
    return session.server_version_num >= 170000 and bool(
        session.query(
            "SELECT 1 FROM pg_catalog.pg_database"
            f" WHERE datname = {literal(database)} AND dathasloginevt"
            " AND NOT pg_catalog.has_parameter_privilege('event_triggers', 'SET')"
        )
    )


def explain(error: ConnectionFailed, server: Server, database: str) -> None:
    """Add the obstacle to *error*, raised by a session to *database*, if the server can be queried
    through another database."""
    with contextlib.suppress(SourceError):
        with server.connect(server.maintenance_database()) as session:
            found = find_obstacle(session, database)
            if found is None and _has_login_triggers(session, database):
                ((me,),) = session.query("SELECT current_user")
                found = Obstacle(
                    f"an event trigger on login keeps us out of the database {database}",
                    "Connect as a superuser, or let the role turn such triggers off:"
                    f" GRANT SET ON PARAMETER event_triggers TO {ident(me or '')};",
                )
        if found is not None:
            error.message, error.hint = found.message, found.hint
