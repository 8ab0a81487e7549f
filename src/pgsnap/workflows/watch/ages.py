"""Age limits for warnings, and ages as text."""

from __future__ import annotations

from datetime import timedelta

MAX_AGE = timedelta(hours=26)
"""For the newest snapshot: a day, and two hours for a late or long run."""
MAX_DRILL_AGE = timedelta(days=35)
"""For the last drill: a month, and a few days."""
LOCK_HELD_MAX = timedelta(hours=6)
"""For an exclusive lock: no gc takes that long."""


def span(time: timedelta) -> str:
    """Return a time span in a single unit: ``26 h``, ``3 d``."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"
