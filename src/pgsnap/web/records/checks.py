"""What was proven: drills and verifies of every snapshot, newest first."""

from __future__ import annotations

from datetime import datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.paging import Part, part_of
from pgsnap.workflows.notes.verdicts import DRILL_NOTE_BYTES_MIN, VERDICT, as_drilled

_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Proof:
    """A drill, or a verify that counted *snapshots*, as *passed* or not, with the *reason*."""

    by: str
    time: datetime
    database: str
    snapshot: SnapshotId | None
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Checks:
    proofs: Part[Proof]
    by: str
    damaged: int


def page(asked: Asked) -> Page:
    by = asked.value("by")
    # Verifies leave a small note for each snapshot: without them few files are read.
    least = DRILL_NOTE_BYTES_MIN if by != "verify" else 0
    notes = [
        note
        for note in asked.repo.sound_notes(VERDICT, bytes_min=least)
        if by not in ("drill", "verify") or (note.body.get("by") == "drill") == (by == "drill")
    ]
    notes.sort(key=lambda note: note.time, reverse=True)
    part = part_of(notes, asked.value("page"), _PER_PAGE)
    proofs = Part(tuple(map(_proof, part.items)), part.number, part.count, part.total)
    data = Checks(proofs, by or "drill", asked.repo.damaged_count())
    return Page("checks.html", "Drills and verifies", data, "checks")


def _proof(note: Note) -> Proof:
    if note.body.get("by") == "drill":
        found = as_drilled(note)
        words = found.reason or found.left_out
        return Proof("drill", note.time, note.database, note.snapshot, found.passed, words)
    count = note.body.get("findings")
    passed = count == 0
    how = "every byte read" if note.body.get("data") is True else "structure only"
    words = how if passed else f"{count} findings"
    return Proof("verify", note.time, note.database, note.snapshot, passed, words)
