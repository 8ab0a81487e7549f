"""How a forgotten snapshot is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import snapshot_fields

if TYPE_CHECKING:
    from pgsnap.workflows.retention.forget import ForgottenSnapshot

# A day before the calendar's end, so that it can be shown in every zone.
_NEVER = datetime(9999, 12, 30, tzinfo=UTC)


def forgotten_fields(one: ForgottenSnapshot, grace: timedelta) -> dict[str, Any]:
    """Return what --json tells about a forgotten snapshot."""
    return {
        **snapshot_fields(one.snapshot_id, one.snapshot, one.tags),
        "since": one.since,
        "until": until(one.since, grace),
    }


def until_words(since: datetime, grace: timedelta) -> str:
    """Return until when a snapshot can be brought back: ``can be brought back
    until 2026-01-09 14:30:00 +0100``."""
    return f"can be brought back until {render.clock(until(since, grace))}"


def until(since: datetime, grace: timedelta) -> datetime:
    """Return when the grace period is over; the first gc after that drops the snapshot."""
    try:
        return min(since + grace, _NEVER)
    except OverflowError:
        return _NEVER
