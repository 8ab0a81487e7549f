"""Snapshots that exist only as far as retention looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from hashlib import sha256

from pgsnap.model import EMPTY_RECIPE, Origin, Snapshot, SourceKind
from pgsnap.workflows.retention.policy import Candidate, Decision, Policy, judge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def when(text: str) -> datetime:
    """Return a time in UTC, unless an offset stands at its end."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def candidate(text: str, tags: Sequence[str] = (), *, name: str = "") -> Candidate:
    """Return a snapshot of that time; its message is *name*, else the time as it is written."""
    snapshot = Snapshot(
        database="shop",
        time=when(text),
        message=name or text,
        parent=None,
        root=bytes(32),
        leaf_root=None,
        globals_root=None,
        sections_recipe=EMPTY_RECIPE,
        section_count=0,
        table_count=0,
        plain_bytes=0,
        rows=0,
        stored_bytes=0,
        duration_ms=0,
        origin=Origin(SourceKind.FILE),
    )
    return Candidate(sha256((name or text).encode()).digest(), snapshot, tuple(tags))


def kept(
    policy: Policy,
    times: Sequence[str],
    tags: Mapping[str, Sequence[str]] | None = None,
    *,
    now: datetime = NOW,
    zone: tzinfo | None = UTC,
) -> list[Decision]:
    """Judge snapshots of these times, which go from the oldest to the newest."""
    found = [candidate(text, (tags or {}).get(text, ())) for text in reversed(times)]
    return judge(found, policy, now, zone=zone)
