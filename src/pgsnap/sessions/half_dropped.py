"""Half-dropped databases: what a DROP DATABASE leaves if it was cancelled halfway.

Some of its files are gone, and the server never allows a connection to it again. It refuses any
ALTER of it (and ends the session), yet allows a rename: only we keep it from taking a live name.
"""

from __future__ import annotations

from pgsnap.sessions.base import Session, ident

CONNECTION_LIMIT = -2
"""The connection limit (pg_database.datconnlimit) with which the server marks such a database."""

CANNOT = "half-dropped: cannot be put back"


def half_dropped(session: Session) -> tuple[str, ...]:
    """Return the names of the half-dropped databases of the server."""
    rows = session.query(
        "SELECT datname FROM pg_catalog.pg_database"
        f" WHERE datconnlimit = {CONNECTION_LIMIT} ORDER BY 1"
    )
    return tuple(name for (name,) in rows if name is not None)


def drop_command(name: str) -> str:
    """Return the only statement that still works on such a database."""
    return f"DROP DATABASE {ident(name)};"
