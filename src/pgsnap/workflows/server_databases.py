"""The databases of a server that a schedule commits where it commits all of them."""

from __future__ import annotations

from pgsnap.sessions.server import Server


def committed_databases(server: Server) -> list[str]:
    """Return the databases of *server* by name, without templates and what restores made.

    Raises ConnectionFailed, QueryFailed.
    """
    with server.connect(server.maintenance_database(), "snap schedule") as session:
        rows = session.query(
            "SELECT d.datname FROM pg_catalog.pg_database d WHERE d.datallowconn"
            " AND NOT d.datistemplate"
            " AND d.datname OPERATOR(pg_catalog.!~) '__snap_(kept_)?[0-9a-f]{10}$' ORDER BY 1"
        )
    return [row[0] for row in rows if row[0]]
