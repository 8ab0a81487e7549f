"""The checks of a drill, and their results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pgsnap.model import Finding, Snapshot, SnapshotId, Verdict
from pgsnap.sources.parts import left_out
from pgsnap.values import dataclass

REPORT_SCHEMA = 1
"""The version of the JSON report: incremented when a field changes its meaning."""

CHECKS: dict[str, str] = {
    "postgresql": "PostgreSQL is running",
    "tools": "tools and versions fit",
    "repository": "the backup folder is accessible and private",
    "space": "there is enough space",
    "commit": "a snapshot can be created",
    "snapshot": "the snapshot is valid",
    "restore": "the restore procedure works",
    "contents": "the contents are equal",
    "schema": "the schema is equal",
    "extensions": "the extensions are equal",
    "sequences": "the sequences are equal",
    "large-objects": "the large objects are equal",
    "assertions": "the assertions hold",
    "documentation": "the documentation is complete",
}
"""All checks of a drill, in order, with the message if they pass. The names are stored."""

OF_COPY = ("contents", "schema", "extensions", "sequences", "large-objects")
"""The checks that compare the restored database with the snapshot."""

_REASON_CHARACTERS = 300
OF_SNAPSHOT = frozenset({"snapshot", "restore", *OF_COPY, "assertions"})
"""The checks that concern the snapshot, not its surroundings."""


_STATUSES = {
    Verdict.PASSED: "passed",
    Verdict.SKIPPED: "skipped",
    Verdict.FAILED: "failed",
}
"""The outcomes of a check. Stored: never change one."""


def passed(reason: str, *details: str) -> Finding:
    return Finding("", Verdict.PASSED, reason, details=details)


def failed(reason: str, *details: str, hint: str = "") -> Finding:
    return Finding("", Verdict.FAILED, reason, hint, tuple(filter(None, details)))


def skipped(reason: str, *details: str) -> Finding:
    return Finding("", Verdict.SKIPPED, reason, details=details)


@dataclass(frozen=True, slots=True)
class Check(Finding):
    """A check that was run: one of CHECKS."""

    seconds: float = 0.0

    @classmethod
    def of(cls, name: str, found: Finding, seconds: float = 0.0) -> Check:
        """Return *found* as the result of the check *name*; a finding does not contain its name."""
        return cls(name, found.verdict, found.reason, found.help, found.details, seconds=seconds)

    @property
    def title(self) -> str:
        return CHECKS[self.check]

    @property
    def status(self) -> str:
        return _STATUSES[self.verdict]


@dataclass(frozen=True, slots=True)
class RowFinding:
    """A row that differs. *change* is "removed" (not restored), "added" or "changed".

    *key* holds the values of the primary key, if the table has one; then *columns* are those that
    differ (in a changed row), and *text* is empty: the rest of the row does not belong in a report.
    Without a key, *text* is the beginning of the row.
    """

    change: str
    key: dict[str, str | None]
    columns: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class TableFinding:
    """A table whose rows differ. Counts are None if rows cannot be distinguished."""

    table: str
    rows_snapshot: int | None
    rows_restored: int | None
    removed: int | None
    added: int | None
    changed: int | None
    rows: tuple[RowFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the restore took: the time that users would have waited, without restarting services."""

    seconds: float
    plain_bytes: int
    rows: int
    phases: dict[str, float]


@dataclass(frozen=True, slots=True)
class DrillReport:
    """A drill's report. *place* is "scratch" (a database on the same server) or "throw-away" (a
    cluster of its own). *host* and *server_version* are empty if no server was reached."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    dry_run: bool
    place: str
    host: str
    server_version: str
    started: datetime
    seconds: float
    checks: tuple[Check, ...]
    recovery: Recovery | None
    tables: tuple[TableFinding, ...]
    notices: tuple[str, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.verdict is Verdict.FAILED)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def left_out(self) -> str:
        """What the snapshot lacks, and so the drill does not cover; "" for a snapshot of the whole
        database."""
        return left_out(self.snapshot.origin)


def verdict_of(checks: dict[str, Verdict]) -> bool | None:
    """Return what *checks* say about the snapshot itself: proven, unfit, or (None) nothing."""
    if Verdict.FAILED in {checks[name] for name in OF_SNAPSHOT if name in checks}:
        return False
    return True if checks.get("contents") is Verdict.PASSED else None


def reason_of(checks: Iterable[Check]) -> str:
    """Return in one line why the snapshot is unfit, from the first of *checks* that says so."""
    for one in checks:
        if one.check in OF_SNAPSHOT and one.verdict is Verdict.FAILED:
            line = f"{one.check}: {' '.join(one.reason.split())}"
            return line if len(line) <= _REASON_CHARACTERS else f"{line[:_REASON_CHARACTERS]}…"
    return ""
