"""Kept databases, which a restore or undo replaced: what `snap undo` puts back.

The note is written before the swap, so that it exists after a kill right after the swap. So a note
alone means nothing: a kept database is one that a note names and that the server has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, literal
from pgsnap.sessions.half_dropped import drop_command
from pgsnap.targets.checks.preflight import (
    Findings,
    LiveDatabase,
    Problem,
    check_slots,
    find_database,
)
from pgsnap.targets.naming import is_kept_name
from pgsnap.values import dataclass

SWAPPED = "swapped"
DISCARDED = "discarded"
PUT_BACK = "put_back"
TABLES_PUT_BACK = "tables_put_back"
NEVER_MADE = "never made"
_HEX_ID = regex(r"[0-9a-f]{64}")
# Nobody restores so often.
_ORDER_MAX = 2**62


@dataclass(frozen=True, slots=True)
class KeptDatabase:
    """A replaced database under its kept name.

    *live* is the name it had; *since* when it was replaced, by *action* ("restore" or "undo") of
    *snapshot*. *safety* is the snapshot made of it just before. A half-dropped one can only be
    dropped. *order* is as in `order_of`.
    """

    name: str
    live: str
    oid: int
    size_bytes: int | None
    since: datetime
    action: str
    snapshot: SnapshotId | None
    safety: SnapshotId | None
    is_half_dropped: bool = False
    order: int = 0


@dataclass(frozen=True, slots=True)
class SwapNames:
    """The three names of one swap; *scratch* is what takes the live name."""

    live: str
    kept: str
    scratch: str


def swapped_note(
    label: str,
    names: SwapNames,
    *,
    action: str,
    time: datetime,
    snapshot: SnapshotId | None,
    safety: SnapshotId | None,
    system_identifier: str,
    host: str,
    size_bytes: int | None,
    oid: int | None = None,
    order: int = 0,
) -> Note:
    """Return the note to write before the swap; *size_bytes* and *oid* are those of the database
    that will be kept, *order* is a number above those of all such notes so far."""
    body: dict[str, str | int] = {
        "order": order,
        "action": action,
        "live": names.live,
        "kept": names.kept,
        "scratch": names.scratch,
        "safety": safety.hex() if safety is not None else "",
        "system_identifier": system_identifier,
        "host": host,
    }
    if size_bytes is not None:
        body["bytes"] = size_bytes
    if oid is not None:
        body["oid"] = oid
    return Note(kind=SWAPPED, database=label, time=time, snapshot=snapshot, body=body)


def order_of(note: Note) -> tuple[int, datetime]:
    """Return what is higher for a later note on a restore or undo: the number that it was given,
    whatever the clock said. Earlier versions gave none."""
    number = note.body.get("order")
    return (number if isinstance(number, int) and number < _ORDER_MAX else 0, note.time)


def is_possible(note: Note) -> bool:
    """Return whether the database that *note* says was kept has a name that snap gives: somebody
    else may have written the note, to have another one replaced or dropped."""
    return is_kept_name(_text(note, "kept"), _text(note, "live"))


def discarded_note(
    label: str, name: str, live: str, time: datetime, *, snapshot: SnapshotId | None, why: str
) -> Note:
    """Return the note that the kept database *name* no longer exists. *why*: "dropped" on purpose,
    "put back" by an undo, "never made" by a swap that failed, or "gone" for other reasons."""
    body = {"kept": name, "live": live, "why": why}
    return Note(kind=DISCARDED, database=label, time=time, snapshot=snapshot, body=body)


@dataclass(frozen=True, slots=True)
class NotedKept:
    """A kept database according to the notes, without querying the server: it may no longer exist.

    *size_bytes* is its size when it was replaced, None if not noted.
    """

    label: str
    name: str
    live: str
    since: datetime
    action: str
    size_bytes: int | None
    snapshot: SnapshotId | None


def noted_kept(swapped: Iterable[Note], discarded: Iterable[Note]) -> tuple[NotedKept, ...]:
    """Return the kept databases according to the notes, most recently replaced first."""
    swaps = sorted(swapped, key=order_of, reverse=True)
    ends = {_text(note, "kept"): _text(note, "why") for note in discarded}
    # A completed undo gave the kept database its name back, even if it was killed right then.
    put_back = {
        _text(note, "scratch") for note in swaps if ends.get(_text(note, "kept")) != NEVER_MADE
    }
    found: dict[str, NotedKept] = {}
    for note in swaps:
        name, size = _text(note, "kept"), note.body.get("bytes")
        if name and name not in ends and name not in put_back and name not in found:
            found[name] = NotedKept(
                label=note.database,
                name=name,
                live=_text(note, "live"),
                since=note.time,
                action=_text(note, "action") or "restore",
                size_bytes=size if isinstance(size, int) else None,
                snapshot=note.snapshot,
            )
    return tuple(found.values())


def notes_of_gone(
    session: Session, swapped: Sequence[Note], discarded: Iterable[Note], system_identifier: str
) -> tuple[Note, ...]:
    """Return the notes to write on kept databases that this server no longer has: they were dropped
    by hand, or a process was killed between a note and its swap."""
    here = [
        note
        for note in swapped
        if system_identifier and _text(note, "system_identifier") == system_identifier
    ]
    there = _databases(session)
    others = {_text(note, "kept") for note in here if not _is_there(note, there)}
    now = datetime.now(UTC)
    return tuple(
        discarded_note(k.label, k.name, k.live, now, snapshot=k.snapshot, why="gone")
        for k in noted_kept(here, discarded)
        if k.name in others
    )


def find_kept(
    session: Session, notes: Iterable[Note], system_identifier: str, live: str | None = None
) -> tuple[KeptDatabase, ...]:
    """Return the kept databases that exist on this server, most recently replaced first.

    *notes* are those of kind "swapped"; *live* selects those of one live name.
    """
    # One query for all: there is a note for every restore ever made.
    there = _databases(session)
    found: dict[str, KeptDatabase] = {}
    for note in sorted(notes, key=order_of, reverse=True):
        name, was = _text(note, "kept"), _text(note, "live")
        known = _text(note, "system_identifier")
        if not _is_there(note, there) or name in found or (live is not None and was != live):
            continue
        if known and system_identifier and known != system_identifier:
            continue
        database = find_database(session, name)
        if database is not None:
            found[name] = _kept(note, was, database)
    return tuple(found.values())


def check_droppable(session: Session, kept: KeptDatabase) -> Findings:
    """Return what forbids dropping *kept*: that it is the only good copy, or that replication reads
    from it. A half-dropped one is not a copy of anything."""
    database = find_database(session, kept.name)
    if database is None or database.oid != kept.oid:
        return Findings(
            (Problem(f"{kept.name} is not what it was any more", hint="Run the command again."),)
        )
    if database.is_half_dropped:
        return Findings()
    live = find_database(session, kept.live)
    if live is None or live.is_half_dropped:
        state = "is half-dropped" if live is not None else "is not there"
        return Findings(
            (
                Problem(
                    f"{kept.name} is the only good copy: the database {kept.live} {state}",
                    hint="Put it back: snap undo --no-safety-snapshot. Or drop it all the same:"
                    f" {drop_command(kept.name)}",
                ),
            )
        )
    return check_slots(session, database, "They would be dropped with it, and their readers fail.")


def unknown_kept(session: Session, known: Iterable[str]) -> tuple[str, ...]:
    """Return the databases that are named like kept ones but are in none of our notes."""
    pattern = literal("__snap_kept_[0-9a-f]{10}$")
    rows = session.query(
        f"SELECT datname FROM pg_catalog.pg_database WHERE datname ~ {pattern} ORDER BY 1"
    )
    names = set(known)
    return tuple(name for (name,) in rows if name is not None and name not in names)


def _databases(session: Session) -> dict[str | None, str | None]:
    """Return the OID of each database, by name."""
    rows = session.query("SELECT datname, oid FROM pg_catalog.pg_database")
    return {row[0]: row[1] for row in rows}


def _is_there(note: Note, there: dict[str | None, str | None]) -> bool:
    """Return whether the server has what *note* says was kept, and not another database that has
    got its name since."""
    name, oid = _text(note, "kept"), _text(note, "oid")
    return is_possible(note) and name in there and oid in ("", there[name])


def _kept(note: Note, live: str, database: LiveDatabase) -> KeptDatabase:
    safety = _text(note, "safety")
    return KeptDatabase(
        name=database.name,
        live=live,
        oid=database.oid,
        size_bytes=database.size_bytes,
        since=note.time,
        action=_text(note, "action") or "restore",
        snapshot=note.snapshot,
        safety=bytes.fromhex(safety) if _HEX_ID.fullmatch(safety) else None,
        is_half_dropped=database.is_half_dropped,
        order=order_of(note)[0],
    )


def _text(note: Note, key: str) -> str:
    return str(note.body.get(key, ""))
