"""Checks whether others wrote to a database while a program of the user's changed it.

PostgreSQL does not record who wrote what. So sessions are compared with those of before: one that
was there and has run a statement since, that is gone meanwhile, or that is there now although the
program has ended, may have written. Sessions that came and went while the program ran count as its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pgsnap import interrupts
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.values import dataclass

# A backend lives on for a moment after its client has ended.
_LEAVING_SECONDS = 5.0

_SESSIONS = """
SELECT a.pid, coalesce(a.backend_start::text, ''), a.usename, a.application_name,
  coalesce(greatest(a.query_start, a.state_change) OPERATOR(pg_catalog.>) {since}, true)
FROM pg_catalog.pg_stat_activity a
WHERE a.datname OPERATOR(pg_catalog.=) {database} AND a.usesysid IS NOT NULL
  AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
  AND coalesce(a.backend_type, 'client backend') OPERATOR(pg_catalog.~)
    '^(client backend|logical replication)'
  AND a.application_name OPERATOR(pg_catalog.!~) '^(snap( .*)?|pg_dump|pg_dumpall)$'
"""

_WRITTEN = """
SELECT pg_catalog.clock_timestamp()::text,
  pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text,
  (SELECT (d.tup_inserted OPERATOR(pg_catalog.+) d.tup_updated OPERATOR(pg_catalog.+)
    d.tup_deleted)::text
   FROM pg_catalog.pg_stat_database d WHERE d.datname OPERATOR(pg_catalog.=) {database})
"""


@dataclass(frozen=True, slots=True)
class Before:
    """A database at one moment: the server's clock, its next transaction, the rows written so far,
    and the sessions by process and start, each with its name. *has_changed*: somebody wrote to it
    before the program was started."""

    database: str
    clock: str
    next_transaction: str
    written: str
    sessions: Mapping[tuple[str, str], str]
    has_changed: bool = False


def state_before(session: Session, database: str) -> Before:
    """Return the state of a database, as seen by a session to another one."""
    ((clock, transaction, written),) = session.query(_WRITTEN.format(database=literal(database)))
    return Before(
        database,
        clock or "",
        transaction or "",
        written or "",
        {key: name for key, name, _ in _sessions(session, database, "'infinity'::timestamptz")},
    )


def later(before: Before, now: Before) -> Before:
    """Return *before* with what was found at a later moment, when the program is not started yet:
    who was there at either is somebody else.

    Both signs of writing are needed: transactions are counted for all databases together, and rows
    that were written are counted late.
    """
    has_changed = before.next_transaction != now.next_transaction and before.written != now.written
    return replace(before, sessions={**before.sessions, **now.sessions}, has_changed=has_changed)


def writers_since(session: Session, before: Before) -> list[str]:
    """Return a sentence for each kind of session that may have written since *before*; the program
    in question has ended."""
    since = f"{literal(before.clock)}::timestamptz"
    left = _LEAVING_SECONDS
    while True:
        now = _sessions(session, before.database, since)
        new = [name for key, name, _ in now if key not in before.sessions]
        if not new or left <= 0:
            break
        interrupts.sleep(interrupts.POLL_SECONDS)
        left -= interrupts.POLL_SECONDS
    active = [name for key, name, is_active in now if key in before.sessions and is_active]
    still = {key for key, *_ in now}
    gone = [name for key, name in before.sessions.items() if key not in still]
    sentences = {
        "have run statements since": active,
        "have ended since": gone,
        "are new, and were not ended with the command": new,
    }
    first = ["Somebody wrote while the commit was made."] if before.has_changed else []
    return first + [
        f"Sessions that {what}: {', '.join(sorted(set(names)))}."
        for what, names in sentences.items()
        if names
    ]


def what_hides_sessions(session: Session) -> str:
    """Return the statement that would show us the sessions of other roles; "" if we see them."""
    ((name, sees),) = session.query(
        "SELECT current_user::text, pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')"
    )
    return "" if sees == "t" else f"GRANT pg_read_all_stats TO {ident(name or '')};"


def _sessions(
    session: Session, database: str, since: str
) -> list[tuple[tuple[str, str], str, bool]]:
    """Return the sessions of a database: their process and start, their name, and whether they have
    been active *since*, an SQL expression. Of those that we may not look at it is not known."""
    rows = session.query(_SESSIONS.format(database=literal(database), since=since))
    return [
        ((pid or "", start or ""), f"{user} ({program})" if program else f"{user}", active == "t")
        for pid, start, user, program, active in rows
    ]
