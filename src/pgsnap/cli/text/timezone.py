"""Time zones by name."""

from __future__ import annotations

from datetime import tzinfo

from pgsnap.errors import UsageError


def parse_zone(text: str | None) -> tzinfo | None:
    """Return the zone named *text*; None, meaning this machine's own, for None or "local"."""
    if text is None or text.lower() == "local":
        return None
    # Imported here: at the top it would slow down every start.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f'--timezone: there is no time zone "{text}"',
            hint="Name one as in Europe/Oslo or UTC, or local.",
        ) from None
