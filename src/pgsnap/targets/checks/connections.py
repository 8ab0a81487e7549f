"""Checks that enough connections are available at once, including in the middle of the work."""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem
from pgsnap.words import plural

RESTORE_CONNECTIONS = 3
"""Needed by a restore at once: one held for the clean-up, and two for psql and its monitor, or for
the swap."""
UNDO_CONNECTIONS = 2
"""Needed by an undo at once, for the swap."""
TABLE_CONNECTIONS = 2
"""Needed by a restore of single tables at once: psql's, and one that monitors it."""

_OTHERS = (
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a"
    " WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL"
    # An unprivileged role does not see the type of others' sessions.
    " AND coalesce(a.backend_type, 'client backend') = 'client backend'"
    " AND a.pid <> pg_catalog.pg_backend_pid()"
)


def check_connections(session: Session, me: ConnectedRole, needed: int) -> Findings:
    """Return which limit leaves fewer than *needed* connections to *session*'s database, from which
    others are renamed: the server's, the database's or our role's. Superusers are subject to the
    server's limit only."""
    ((name,),) = session.query("SELECT pg_catalog.current_database()")
    return _check(session, me, needed, {name or "": needed}, ", from which others are renamed,")


def jobs_that_fit(session: Session, me: ConnectedRole, needed: int, wanted: int) -> int:
    """Return how many of the *wanted* jobs, at least one, find a connection beside those *needed*
    anyway; otherwise as `check_connections`."""
    while wanted > 1 and check_connections(session, me, needed + wanted).problems:
        wanted -= 1
    return wanted


def check_table_connections(session: Session, me: ConnectedRole, database: str) -> Findings:
    """Return which limit leaves too few connections for a restore of single tables of *database*,
    to which *session* is connected: one to it, like this one, and one to the database postgres."""
    both = {database: TABLE_CONNECTIONS} if database == "postgres" else {}
    return _check(session, me, TABLE_CONNECTIONS, both, "")


def _check(
    session: Session, me: ConnectedRole, needed: int, databases: Mapping[str, int], what_for: str
) -> Findings:
    problems = [_check_server(session, me, needed)]
    if not me.is_superuser:
        problems.append(_check_role(session, me, needed))
        problems += [
            _check_database(session, name, what_for, each) for name, each in databases.items()
        ]
    return Findings(tuple(problem for problem in problems if problem is not None))


def _check_server(session: Session, me: ConnectedRole, needed: int) -> Problem | None:
    rows = session.query(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN"
        " ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
    )
    setting = {name: int(value or 0) for name, value in rows}
    kept_back = 0
    if not me.is_superuser:
        kept_back = setting["superuser_reserved_connections"]
        # Since 16, reserved for members of this role.
        if "pg_use_reserved_connections" not in me.memberships:
            kept_back += setting.get("reserved_connections", 0)
    most = setting["max_connections"]
    free = most - kept_back - _count(session, "")
    if free >= needed:
        return None
    return Problem(
        f"the server has {plural(max(free, 0), 'connection')} left, and {_are(needed)} needed at"
        " once",
        detail=f"max_connections is {most}"
        + (f", {kept_back} of them kept for others." if kept_back else "."),
        hint="End sessions that are idle, or raise max_connections.",
    )


def _check_role(session: Session, me: ConnectedRole, needed: int) -> Problem | None:
    ((limit,),) = session.query(
        "SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user"
    )
    used = _count(session, " AND a.usename = current_user")
    return _limited(f"the role {me.name}", f"ALTER ROLE {ident(me.name)}", limit, used, needed)


def _check_database(session: Session, name: str, what_for: str, needed: int) -> Problem | None:
    is_it = f" OPERATOR(pg_catalog.=) {literal(name)}"
    ((limit,),) = session.query(
        f"SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname{is_it}"
    )
    used = _count(session, f" AND a.datname{is_it}")
    what = f"the database {name}{what_for}"
    return _limited(what, f"ALTER DATABASE {ident(name)}", limit, used, needed)


def _limited(what: str, alter: str, limit: str | None, used: int, needed: int) -> Problem | None:
    most = int(limit or -1)
    if most < 0 or most - used >= needed:
        return None
    return Problem(
        f"{what} has CONNECTION LIMIT {most}, and {_are(needed)} needed at once",
        detail=f"{plural(used, 'other')} {'is' if used == 1 else 'are'} open." if used else "",
        hint=f"Raise it: {alter} CONNECTION LIMIT {max(needed + used, most)};",
    )


def _are(number: int) -> str:
    return f"{number} is" if number == 1 else f"{number} are"


def _count(session: Session, where: str) -> int:
    return int(session.query(_OTHERS + where)[0][0] or 0)
