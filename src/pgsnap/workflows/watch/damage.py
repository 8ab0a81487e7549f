"""What is known to be damaged: by the marks in the index, and by what the last verify found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pgsnap.model import Finding, Note, SnapshotId, Verdict
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.workflows.notes.verdicts import chronological

MEND = "snap repair"


def known_damage(
    repo: Repository, labels: Iterable[str], verdicts: Sequence[Note], now: datetime
) -> list[Finding]:
    """Return what is damaged of the snapshots of *labels*, by the notes *verdicts* as of *now*, and
    of all that is stored. Raises StoreError."""
    findings = []
    marks = repo.damaged_count()
    if marks:
        words = "1 stored chunk is" if marks == 1 else f"{marks} stored chunks are"
        findings.append(_found(f"{words} marked as damaged"))
    last: dict[SnapshotId, Note] = {}
    for note in chronological(verdicts, now):
        if note.snapshot is not None and note.body.get("by") == "verify":
            last[note.snapshot] = note
    ill = {snapshot for snapshot, note in last.items() if note.body.get("findings") != 0}
    ill -= accepted_losses(repo).keys()
    for label in labels:
        found = [snapshot.hex()[:12] for snapshot in repo.newest(label) if snapshot in ill]
        if found:
            which = f"snapshot {found[0]}" if len(found) == 1 else f"{len(found)} snapshots"
            findings.append(_found(f"verify found damage in {which} of {label}", label))
    return findings


def _found(reason: str, label: str | None = None) -> Finding:
    return Finding("damage", Verdict.FAILED, reason, MEND, database=label)
