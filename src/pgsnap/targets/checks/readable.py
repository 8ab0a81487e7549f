"""Checks whether a database can be recorded before it is replaced, and what prevents it."""

from __future__ import annotations

from pgsnap.errors import ConnectionFailed
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.obstacles import explain, find_obstacle
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import Findings, LiveDatabase, Problem

_WITHOUT = "without recording what is there now: --no-safety-snapshot."


def check_readable(server: Server, session: Session, database: LiveDatabase) -> Findings:
    """Return what prevents a safety snapshot of *database*. Changes nothing."""
    found = find_obstacle(session, database.name)
    if found is not None:
        message, detail, hint = found.message, "", found.hint
    else:
        try:
            server.without_event_triggers().connect(database.name).close()
            return Findings()
        except ConnectionFailed as error:
            explain(error, server, database.name)
            message, detail, hint = error.message, error.detail, error.hint
    if database.is_half_dropped:
        hint = ""
    return Findings(
        (
            Problem(
                f"no safety snapshot can be made: {message}",
                detail=detail,
                hint=f"{hint} Or go on {_WITHOUT}" if hint else f"Go on {_WITHOUT}",
            ),
        )
    )


def check_doors(
    live: LiveDatabase | None, comes: LiveDatabase | None, name: str
) -> tuple[str, ...]:
    """Return how access to *name* changes when *comes* replaces *live*; None is a database as open
    as a new one."""
    told = []
    is_open = comes is None or comes.allows_connections
    if not is_open:
        told.append(
            f"the database that takes the name {name} lets nobody in (ALLOW_CONNECTIONS is false);"
            f" to open it afterwards: ALTER DATABASE {ident(name)} ALLOW_CONNECTIONS true;"
        )
    elif live is not None and not live.allows_connections:
        told.append(
            f"the database {name} lets nobody in now (ALLOW_CONNECTIONS is false), and will let"
            " clients in; to close it afterwards:"
            f" ALTER DATABASE {ident(name)} ALLOW_CONNECTIONS false;"
        )
    if comes is not None and comes.connection_limit == 0:
        told.append(
            f"the database that takes the name {name} has CONNECTION LIMIT 0, so only superusers"
            f" get in; to open it afterwards: ALTER DATABASE {ident(name)} CONNECTION LIMIT -1;"
        )
    return tuple(told)
