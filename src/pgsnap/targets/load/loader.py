"""The temporary role that runs SQL which pg_dump did not write.

Such SQL may do anything that its role may. SET ROLE and SET SESSION AUTHORIZATION are no
protection, because the SQL can revert them (RESET). So it logs in as a separate role, created for
this restore, that owns only the scratch database and may not create databases or roles.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, QueryFailed, TargetRefused
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.server import Server
from pgsnap.targets.naming import application_name, loader_role
from pgsnap.targets.swap.scratch import Scratch, drop_loader


@contextmanager
def loading_as_stranger(
    server: Server, session: Session, scratch: Scratch, owner: str
) -> Iterator[tuple[Server, Callable[[], None]]]:
    """Yield a server that logs in as the temporary role, and a callable that reassigns everything
    to *owner*.

    *session* is on the maintenance database. The role is dropped afterwards, if what it owned is
    gone. Raises TargetRefused if we may not create roles, or the role cannot log in.
    """
    role = loader_role(scratch.token)
    password = secrets.token_urlsafe(24)
    try:
        # If we are killed, nobody knows the password; the next restore drops the role.
        session.execute(
            f"CREATE ROLE {ident(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
            f" NOBYPASSRLS PASSWORD {literal(password)}"
        )
    except QueryFailed as error:
        raise TargetRefused(
            "a role for this SQL cannot be made",
            detail=f"pg_dump did not write it, so it runs as a role without rights."
            f" {error.message}.",
            hint="Grant it: ALTER ROLE ... CREATEROLE. Or trust the SQL with all your own rights:"
            " --as-superuser.",
        ) from error
    try:
        session.execute(
            f"GRANT {ident(role)} TO current_user;"
            f"ALTER DATABASE {ident(scratch.name)} OWNER TO {ident(role)}"
        )
        stranger = _as_role(server, role, password)
        _check_login(stranger, scratch)
        yield stranger, lambda: _hand_over(server, session, scratch, role, owner)
    finally:
        with interrupts.deferred():
            _drop_quietly(session, scratch.token)


def _as_role(server: Server, role: str, password: str) -> Server:
    kept = tuple(item for item in server.endpoint.keywords if item[0] not in ("user", "passfile"))
    endpoint = replace(server.endpoint, keywords=(*kept, ("user", role)), password=password)
    return server.at(endpoint)


def _check_login(stranger: Server, scratch: Scratch) -> None:
    try:
        stranger.connect(scratch.name, application_name(scratch.token)).close()
    except ConnectionFailed as error:
        raise TargetRefused(
            "the temporary role for this SQL is not let in by the server",
            detail=f"{error.message}. {error.detail}".strip(),
            hint="Let roles log in with a password (pg_hba.conf: host all all 127.0.0.1/32"
            " scram-sha-256) and use a DSN with that host, or trust the SQL with all your own"
            " rights: --as-superuser.",
        ) from error


def _hand_over(server: Server, session: Session, scratch: Scratch, role: str, owner: str) -> None:
    """Reassign what the role owns to *owner*. No operator or function is named that the SQL could
    have shadowed: only a utility statement runs in its database."""
    session.execute(
        f"ALTER DATABASE {ident(scratch.name)} OWNER TO {ident(owner)};"
        f"ALTER DATABASE {ident(scratch.name)} RESET ALL"
    )
    with server.connect(scratch.name, application_name(scratch.token)) as inside:
        inside.execute(f"REASSIGN OWNED BY {ident(role)} TO {ident(owner)}")
        inside.execute(f"DROP OWNED BY {ident(role)}")


def _drop_quietly(session: Session, token: str) -> None:
    try:
        drop_loader(session, token)
    except (QueryFailed, ConnectionFailed):
        # It still owns the scratch database; both are leftovers that the next restore drops.
        return
