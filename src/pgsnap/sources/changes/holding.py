"""Holds a snapshot, with a lock on every table that was taken before it.

A table that is rewritten between a snapshot and the lock on it has no rows in that snapshot. A lock
that comes first leaves no such gap.
"""

from __future__ import annotations

from collections.abc import Callable

from pgsnap import interrupts
from pgsnap.errors import DumpFailed, QueryFailed, SourceError, TablesChanged
from pgsnap.limits import DUMP_ATTEMPTS
from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session, number
from pgsnap.sources.blockers import blockers
from pgsnap.sources.changes.facts import ServerState
from pgsnap.sources.changes.signatures import read_signatures
from pgsnap.sources.changes.tables import lock_statement, read_tables, tables_to_lock
from pgsnap.sources.dump_failure import LOCKED_HINT
from pgsnap.sources.guarded.lock_room import lock_room
from pgsnap.values import dataclass

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE;"
# One message: psql's sessions would take the snapshot with a query of their own between two.
_EXPORT = "SELECT pg_export_snapshot(), pg_snapshot_xmin(pg_current_snapshot())"
_GONE = frozenset({"42P01", "3F000"})
_NO_ROOM = "53200"
_LOCK_TIMEOUT = "55P03"
# Those of the holder, and once more those of pg_dump or of whatever else reads.
_SETS_OF_LOCKS = 2


class TooManyLocks(SourceError):
    """The server has no room for two sets of locks on all tables."""

    kind = "too-many-locks"


@dataclass(frozen=True, slots=True)
class Held:
    """A *session* with an open transaction, the *name* of its snapshot, the oldest transaction that
    was running, and the tables that it shows."""

    session: Session
    name: str
    xmin: int
    tables: tuple[TableState, ...]


def hold(
    connect: Callable[[], Session], asker: Session, state: ServerState, lock_wait_seconds: float
) -> Held:
    """Lock all tables, then take a snapshot. Raises TooManyLocks, TablesChanged, DumpFailed,
    QueryFailed, ConnectionFailed."""
    session = connect()
    changed: list[str] = []
    with interrupts.undone_by(session.close):
        for _ in range(DUMP_ATTEMPTS):
            _check_room(asker)
            found = _locked(session, asker, lock_wait_seconds)
            if isinstance(found, list):
                changed = found
                continue
            name, xmin, changed = found
            tables, rewritten = read_tables(session, state, read_signatures(asker))
            changed += rewritten
            if not changed:
                return Held(session, name, xmin, tables)
            session.execute("ROLLBACK")
        raise TablesChanged(
            "tables were created, renamed or rewritten on every attempt",
            detail=f"Lately: {', '.join(changed[:10])}.",
            hint="Commit again when the job that does it has ended.",
        )


def _check_room(asker: Session) -> None:
    room = lock_room(asker)
    if room.is_short_for(_SETS_OF_LOCKS):
        raise TooManyLocks(
            f"the server has no room for two locks on each of {room.tables:,} tables",
            hint=f"In postgresql.conf: max_locks_per_transaction = {2 * room.advised}",
        )


def _locked(
    session: Session, asker: Session, lock_wait_seconds: float
) -> tuple[str, int, list[str]] | list[str]:
    """Return the snapshot's name, its oldest running transaction, and the tables in it that are not
    locked under their names; or only the names of tables, where one of them was gone."""
    wanted = tables_to_lock(asker)
    wait = f"SET LOCAL lock_timeout = {number(max(1, round(lock_wait_seconds * 1000)))};"
    try:
        row = session.query(f"{_BEGIN} {wait} {lock_statement(wanted)} {_EXPORT}")[0]
    except QueryFailed as error:
        if error.sqlstate in _GONE:
            return [error.message]
        if error.sqlstate == _NO_ROOM:
            raise TooManyLocks("the server has no room for so many locks") from error
        if error.sqlstate != _LOCK_TIMEOUT:
            raise
        detail = "\n".join([*blockers(asker), error.message])
        raise DumpFailed(
            "tables are locked by other sessions", detail=detail, hint=LOCKED_HINT
        ) from error
    there = tables_to_lock(session)
    differing = {f"{schema}.{name}" for _, schema, name in set(wanted) ^ set(there)}
    return row[0] or "", int(row[1] or 0), sorted(differing)
