"""Databases that a restore or undo replaced and that are kept: what `snap undo` puts back.

The note is written before the swap, so that it is there after a kill right behind the swap. So a
note alone means nothing: a kept database is one that a note names and that the server has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.sessions.base import Session, literal
from pgsnap.targets.preflight import LiveDatabase, look_at

SWAPPED = "swapped"
DISCARDED = "discarded"
_HEX_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeptDatabase:
    """A replaced database under its kept name.

    *live* is the name it had; *since* when it was replaced, by *action* ("restore" or "undo") of
    *snapshot*. *safety* is the snapshot that was made of it just before.
    """

    name: str
    live: str
    oid: int
    size_bytes: int | None
    since: datetime
    action: str
    snapshot: SnapshotId | None
    safety: SnapshotId | None


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
) -> Note:
    """Return the note to be written before the swap."""
    body = {
        "action": action,
        "live": names.live,
        "kept": names.kept,
        "scratch": names.scratch,
        "safety": safety.hex() if safety is not None else "",
        "system_identifier": system_identifier,
        "host": host,
    }
    return Note(kind=SWAPPED, database=label, time=time, snapshot=snapshot, body=body)


def discarded_note(label: str, kept: KeptDatabase, time: datetime) -> Note:
    """Return the note that a kept database was dropped on purpose."""
    body = {"kept": kept.name, "live": kept.live}
    return Note(kind=DISCARDED, database=label, time=time, snapshot=kept.snapshot, body=body)


def find_kept(
    session: Session, notes: Iterable[Note], system_identifier: str, live: str | None = None
) -> tuple[KeptDatabase, ...]:
    """Return the kept databases that are on this server, the last replaced first.

    *notes* are those of kind "swapped"; *live* chooses those of one live name.
    """
    found: dict[str, KeptDatabase] = {}
    for note in sorted(notes, key=lambda note: note.time, reverse=True):
        name, was = str(note.body.get("kept", "")), str(note.body.get("live", ""))
        known = str(note.body.get("system_identifier", ""))
        if not name or name in found or (live is not None and was != live):
            continue
        if known and system_identifier and known != system_identifier:
            continue
        database = look_at(session, name)
        if database is not None:
            found[name] = _kept(note, was, database)
    return tuple(found.values())


def unknown_kept(session: Session, known: Iterable[str]) -> tuple[str, ...]:
    """Return databases that are named like kept ones and that no note of ours names."""
    pattern = literal("__snap_kept_[0-9a-f]{10}$")
    rows = session.query(
        f"SELECT datname FROM pg_catalog.pg_database WHERE datname ~ {pattern} ORDER BY 1"
    )
    names = set(known)
    return tuple(name for (name,) in rows if name is not None and name not in names)


def _kept(note: Note, live: str, database: LiveDatabase) -> KeptDatabase:
    safety = str(note.body.get("safety", ""))
    return KeptDatabase(
        name=database.name,
        live=live,
        oid=database.oid,
        size_bytes=database.size_bytes,
        since=note.time,
        action=str(note.body.get("action", "restore")),
        snapshot=note.snapshot,
        safety=bytes.fromhex(safety) if _HEX_ID.fullmatch(safety) else None,
    )
