"""How a forgotten snapshot is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import snapshot_fields

if TYPE_CHECKING:
    from pgsnap.workflows.retention.forget import ForgottenSnapshot

# A day before the end of the calendar, so that it can be shown in every time zone.
_NEVER = datetime(9999, 12, 30, tzinfo=UTC)


def forgotten_fields(one: ForgottenSnapshot, grace: timedelta) -> dict[str, Any]:
    """Return the --json fields of a forgotten snapshot."""
    return {
        **snapshot_fields(one.snapshot_id, one.snapshot, one.tags),
        "since": one.since,
        "until": until(one.since, grace),
    }


def until_words(since: datetime, grace: timedelta) -> str:
    """Return how long a snapshot can be brought back: ``can be brought back
    until 2026-01-09 14:30:00 +0100``."""
    return f"can be brought back until {render.clock(until(since, grace))}"


def until(since: datetime, grace: timedelta) -> datetime:
    """Return the end of the grace period; the first gc after that drops the snapshot."""
    try:
        return min(since + grace, _NEVER)
    except OverflowError:
        return _NEVER
