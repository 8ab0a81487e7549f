"""A database's history in the WAL: from where it must be looked at, and whether it is still the
same history.

A transaction writes its changes to the WAL before it commits, possibly long before: a change that a
snapshot does not show may lie before the position at which the snapshot was taken. So a snapshot's
base is a position that precedes all records of every transaction which it does not show.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from pgsnap import interrupts
from pgsnap.errors import QueryFailed
from pgsnap.model.baseline import Baseline, Mark
from pgsnap.sessions.base import Session, literal, number
from pgsnap.sources.changes.facts import (
    ServerState,
    current_timeline,
    insert_position,
    lsn_literal,
    made_at,
)

PREFIX = "pgsnap"
"""Of messages that are written to the WAL."""

_XID = "SELECT pg_current_xact_id()"
_XMIN = "SELECT pg_snapshot_xmin(pg_current_snapshot())"
_SET_BACK = "the server was set back to an earlier state"
_POLL_SECONDS = 0.01
# So that two servers that replay the same transactions write different WAL.
_PADDING_MAX = 64
# A server set back to an earlier state repeats them all by chance once in a million times.
_PROOF_TRANSACTIONS = 20
# Each needs a transaction of ours that ended before one of somebody else's began.
_MARKS_MAX = 100


def take_mark(session: Session, seconds: float) -> Mark:
    """Return a new mark, having waited up to *seconds* for the transactions that were running.
    Raises QueryFailed, ConnectionFailed."""
    # The position comes first: ids that are given out later belong to records behind it.
    position = insert_position(session)
    xid = int(session.query(_XID)[0][0] or 0)
    deadline = time.monotonic() + seconds
    while int(session.query(_XMIN)[0][0] or 0) <= xid and time.monotonic() < deadline:
        interrupts.sleep(_POLL_SECONDS)
    return Mark(position, xid)


def base_of(marks: Iterable[Mark], xmin: int) -> int | None:
    """Return the latest position before which every transaction that a snapshot of this *xmin* does
    not show had written nothing; None if none of *marks* says so."""
    return max((mark.lsn for mark in marks if mark.xid < xmin), default=None)


def marks_to_keep(marks: Iterable[Mark], base: int | None) -> tuple[Mark, ...]:
    """Return those of *marks* that later snapshots may need: they only look forward."""
    wanted = sorted({mark for mark in marks if base is None or mark.lsn >= base}, key=_position)
    # While a transaction is open for a long time, the one before its start matters.
    return (*wanted[:1], *wanted[1:][-_MARKS_MAX:])


def _position(mark: Mark) -> int:
    return mark.lsn


def fence(session: Session) -> None:
    """Make durable what every transaction has written so far: a crash must not undo what the
    snapshot shows. Raises QueryFailed, ConnectionFailed."""
    before = insert_position(session)
    padding = "." * secrets.randbelow(_PADDING_MAX)
    # A transaction that has written nothing would not wait for the disk. Standbys are not waited
    # for: one that takes over begins a new timeline.
    session.execute(
        "SET synchronous_commit = local;"
        f" SELECT pg_logical_emit_message(true, {literal(PREFIX)}, {literal(padding)})"
    )
    rows = session.query(f"SELECT pg_current_wal_flush_lsn() >= {lsn_literal(before)}")
    if rows[0][0] != "t":
        raise QueryFailed(
            "the server did not make its WAL durable",
            hint="Its settings synchronous_commit and fsync should be on.",
        )


def leave_proof(session: Session) -> tuple[tuple[int, bool], ...]:
    """Return the ids of transactions made for it, and which of them, by chance, were committed: a
    server that is set back to an earlier state gives these ids to other transactions. Raises
    QueryFailed, ConnectionFailed."""
    proof = []
    end = ""
    for _ in range(_PROOF_TRANSACTIONS):
        is_kept = bool(secrets.randbelow(2))
        # One message ends the one and begins the next: a server may be far away.
        rows = session.query(f"{end}BEGIN; {_XID}")
        proof.append((int(rows[0][0] or 0), is_kept))
        end = "COMMIT; " if is_kept else "ROLLBACK; "
    session.execute(end)
    return tuple(proof)


def why_foreign(
    session: Session,
    state: ServerState,
    parent: Baseline,
    settings: bytes,
    parent_time: datetime | None = None,
) -> str:
    """Return why *parent*, which was taken by *parent_time*, is not an earlier state of what
    *session* sees, "" if it is. Raises QueryFailed, ConnectionFailed."""
    if state.in_recovery:
        return "this is a standby"
    if parent.system_identifier != state.system_identifier:
        return "the last snapshot is of another server"
    if parent.version_num != state.version_num:
        return "the server has another version than at the last snapshot"
    if parent.database_oid != state.database_oid or _is_newer(session, parent_time):
        return "the database was made again since the last snapshot"
    if parent.settings != settings:
        return "settings that rows are written by differ from those of the last snapshot"
    if parent.timeline != current_timeline(session, in_recovery=False):
        return "the server has begun a new timeline since the last snapshot"
    if insert_position(session) < parent.boundary:
        return _SET_BACK
    return _why_unproven(session, parent.proof)


def _is_newer(session: Session, time: datetime | None) -> bool:
    """Return whether the database was made after *time*, maybe with the number (OID) of an earlier
    one: a copy has the file nodes and the WAL positions of what it was copied from."""
    made = made_at(session) if time is not None else None
    return made is not None and time is not None and made > time


def _why_unproven(session: Session, proof: Sequence[tuple[int, bool]]) -> str:
    calls = ", ".join(f"pg_xact_status('{number(xid)}'::xid8)" for xid, _ in proof)
    if not calls:
        return "the last snapshot left no proof of the server's history"
    try:
        found = session.query(f"SELECT {calls}")[0]
    except QueryFailed:
        # Of an id that was not given out yet.
        return _SET_BACK
    if None in found:
        return "the last snapshot is too many transactions ago"
    is_same = list(found) == ["committed" if is_kept else "aborted" for _, is_kept in proof]
    return "" if is_same else _SET_BACK
