"""The databases of a server that a schedule commits when it commits all of them, and half-dropped
ones, which can no longer be committed."""

from __future__ import annotations

from pgsnap.errors import ConnectionFailed, SnapError
from pgsnap.sessions.failures import was_never_reached
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT, half_dropped
from pgsnap.sessions.server import Server
from pgsnap.targets.naming import is_made_of


def committed_databases(server: Server) -> list[str]:
    """Return the names of *server*'s databases, without templates, those created by restores, and
    half-dropped ones.

    Raises ConnectionFailed, QueryFailed.
    """
    with server.connect(server.maintenance_database(), "snap schedule") as session:
        rows = session.query(
            "SELECT d.datname FROM pg_catalog.pg_database d WHERE d.datallowconn"
            f" AND NOT d.datistemplate AND d.datconnlimit <> {CONNECTION_LIMIT}"
            " AND d.datname OPERATOR(pg_catalog.!~) '__snap_(kept_|warm_)?[0-9a-f]{10}$' ORDER BY 1"
        )
    return [row[0] for row in rows if row[0]]


def half_dropped_databases(server: Server, *, every: bool) -> tuple[str, ...]:
    """Return the half-dropped databases of *server*: *every* one, or only the endpoint's own and
    those that restores derived from it. Empty if the server cannot be reached."""
    own = server.endpoint.database
    for find in (server.maintenance_database, lambda: server.endpoint.database):
        try:
            with server.connect(find(), "snap check") as session:
                found = half_dropped(session)
                return tuple(n for n in found if every or n == own or is_made_of(n, own))
        except ConnectionFailed as error:
            if was_never_reached(error):
                break
        except SnapError:
            break
    return ()
