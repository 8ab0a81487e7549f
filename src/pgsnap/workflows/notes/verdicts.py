"""Which snapshots are proven, according to the verdicts of drills and of `snap verify --data`."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import CLOCK_SLACK
from pgsnap.values import dataclass

VERDICT = "verdict"
SERVER_KEY = "system_identifier"
"""In the body of a drill's verdict: the server of its snapshot, which may be dropped later."""
REASON_KEY = "reason"
"""In the body of a drill's verdict: why it failed."""
LEFT_OUT_KEY = "left_out"
"""In the body of a drill's verdict: what the snapshot lacks, and so the drill does not cover."""

# A drill's verdict lists its checks, so it is never smaller than this; a verify's is never as
# large. So `snap log` reads only drills, though each verify leaves a note for every snapshot.
DRILL_NOTE_BYTES_MIN = 300


@dataclass(frozen=True, slots=True)
class Drilled:
    """The last drill of a snapshot; *reason* is why it failed, "" if unknown; *left_out* is what
    the snapshot lacks."""

    time: datetime
    passed: bool
    reason: str = ""
    left_out: str = ""


def is_of_the_future(time: datetime, now: datetime) -> bool:
    """Return whether a verdict's *time* shows that a clock was wrong."""
    return time > now + CLOCK_SLACK


def chronological(notes: Iterable[Note], now: datetime | None = None) -> list[Note]:
    """Return verdicts, oldest first. Those of a clock that was ahead come before all others: when
    they were made is not known, and they must not hide for years what was found since."""
    known = now or datetime.now(UTC)
    return sorted(notes, key=lambda note: (not is_of_the_future(note.time, known), note.time))


def drilled(repo: Repository) -> dict[SnapshotId, Drilled]:
    """Return the last drill of each snapshot that was drilled. Raises StoreError."""
    found: dict[SnapshotId, Drilled] = {}
    for note in chronological(repo.sound_notes(VERDICT, bytes_min=DRILL_NOTE_BYTES_MIN)):
        if note.body.get("by") == "drill" and note.snapshot is not None:
            found[note.snapshot] = as_drilled(note)
    return found


def last_drill(repo: Repository, snapshots: Collection[SnapshotId]) -> Drilled | None:
    """Return the newest drill of any of *snapshots*. Raises StoreError."""
    of_these = [one for snapshot, one in drilled(repo).items() if snapshot in snapshots]
    now = datetime.now(UTC)
    return max(
        of_these, key=lambda one: (not is_of_the_future(one.time, now), one.time), default=None
    )


def as_drilled(note: Note) -> Drilled:
    """Return the drill that a verdict describes. Those of the first version have no reason."""
    reason, without = note.body.get(REASON_KEY), note.body.get(LEFT_OUT_KEY)
    passed = note.body.get("passed") is True
    return Drilled(
        note.time,
        passed,
        reason if isinstance(reason, str) and not passed else "",
        without if isinstance(without, str) else "",
    )


class Proof(enum.IntEnum):
    """How well a snapshot is proven; higher is better."""

    NONE = 0
    READ = 1
    """Every byte was read and is correct (`snap verify --data`)."""
    DRILLED = 2
    """It was restored and compared (`snap drill`), and covers the whole database."""


def proofs(repo: Repository) -> dict[SnapshotId, Proof]:
    """Return the proof of each snapshot that has a verdict. Raises StoreError."""
    return judge(repo.sound_notes(VERDICT))


def judge(notes: Iterable[Note]) -> dict[SnapshotId, Proof]:
    """Return the proof of each snapshot after *notes*, read in chronological order: a verdict with
    findings revokes the earlier ones."""
    found: dict[SnapshotId, Proof] = {}
    for note in chronological(notes):
        if note.snapshot is not None and (proof := _proof(note)) is not None:
            before = found.get(note.snapshot, Proof.NONE)
            found[note.snapshot] = max(before, proof) if proof else proof
    return found


def newest_verified(
    newest_first: Iterable[SnapshotId], proven: dict[SnapshotId, Proof]
) -> SnapshotId | None:
    """Return the newest snapshot that passed a drill; if none did, the newest whose bytes were all
    read and found correct."""
    best: SnapshotId | None = None
    for snapshot in newest_first:
        proof = proven.get(snapshot, Proof.NONE)
        if proof is Proof.DRILLED:
            return snapshot
        if proof is Proof.READ and best is None:
            best = snapshot
    return best


def _proof(note: Note) -> Proof | None:
    """Return what one verdict proves; None if it does not cover the whole snapshot."""
    body = note.body
    if body.get("by") == "drill":
        if body.get("passed") is not True:
            return Proof.NONE
        # A drill of a part is no reason to drop the last snapshot that is proven as a whole.
        return Proof.READ if body.get(LEFT_OUT_KEY) else Proof.DRILLED
    if body.get("findings") != 0:
        return Proof.NONE
    # A verify that did not read every byte revokes nothing, and proves nothing.
    return Proof.READ if body.get("data") is True else None
