"""What an undo goes back to where rows were put back in place: no database was replaced then."""

from __future__ import annotations

from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.preflight import find_database
from pgsnap.workflows.notes.changes_put_back import PutBack, last_put_back
from pgsnap.workflows.restore.target import names_database
from pgsnap.workflows.undo.undo import kept_databases


def undone_in_place(repo: Repository, server: Server, label: str) -> PutBack | None:
    """Return the last restore of what differs, if nothing replaced the database since. Raises
    ConnectionFailed, QueryFailed, CorruptionError, StoreError."""
    name = server.endpoint.database if names_database(server.endpoint) else label
    with server.connect(server.maintenance_database()) as session:
        live = find_database(session, name)
        if live is None:
            return None
        found = last_put_back(
            repo, session, label, read_server(session).system_identifier, live.oid
        )
    if found is None:
        return None
    kept = kept_databases(repo, server, label)
    return None if kept and kept[0].since > found.time else found
