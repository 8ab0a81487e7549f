"""Clones of whole databases, made by the server from files: closed until they are marked."""

from __future__ import annotations

import contextlib
from functools import partial

from pgsnap import interrupts
from pgsnap.errors import QueryFailed, SnapError
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.scratch import CLOSED, keeps_access

_FILE_COPY_SINCE = 150000
_COPY_METHOD_SINCE = 180000


def clone_closed(session: Session, source: str, name: str, *, mark: str, owner: str) -> int:
    """Create the database *name* from *source*, run the SQL *mark*, which comments on it, give it
    to *owner*, and return its OID. Nobody but superusers and *owner* can connect to it.

    Raises QueryFailed (if a session is connected to *source*, for one), ConnectionFailed; then
    there is no such database.
    """
    strategy = ""
    if session.server_version_num >= _FILE_COPY_SINCE:
        # The other one writes all of it to the WAL.
        strategy = " STRATEGY file_copy"
    if session.server_version_num >= _COPY_METHOD_SINCE:
        _prefer_clones(session)
    # Access is taken from everybody before anybody can use it: the limit goes last. After a kill
    # it also shows that an unmarked database was not finished.
    session.execute(
        f"CREATE DATABASE {ident(name)} TEMPLATE {ident(source)}{strategy}"
        f" CONNECTION LIMIT {CLOSED}"
    )
    with interrupts.undone_by(partial(_drop_quietly, session, name)):
        session.execute(mark)
        if keeps_access(session, owner):
            session.execute(f"REVOKE CONNECT ON DATABASE {ident(name)} FROM PUBLIC")
        session.execute(f"ALTER DATABASE {ident(name)} CONNECTION LIMIT -1")
        session.execute(f"ALTER DATABASE {ident(name)} OWNER TO {ident(owner)}")
    rows = session.query(f"SELECT oid FROM pg_catalog.pg_database WHERE datname = {literal(name)}")
    return int(rows[0][0] or 0)


def _prefer_clones(session: Session) -> None:
    """Let the server share the blocks of files where its file system can; elsewhere it copies."""
    try:
        session.execute("SET file_copy_method = clone")
    except QueryFailed:
        # Built without it.
        session.execute("SET file_copy_method = copy")


def _drop_quietly(session: Session, name: str) -> None:
    # Where this fails, it is a leftover that the next restore drops.
    with contextlib.suppress(SnapError):
        drop_database(session, name)
