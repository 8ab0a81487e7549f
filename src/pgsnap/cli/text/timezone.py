"""Time zones as people name them."""

from __future__ import annotations

from datetime import tzinfo

from pgsnap.errors import UsageError


def parse_zone(text: str | None) -> tzinfo | None:
    """Return the zone that *text* names; None, which is this machine's own, for none or "local"."""
    if text is None or text.lower() == "local":
        return None
    # Only here: every start would pay for it.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f'--timezone: there is no time zone "{text}"',
            hint="Name one as in Europe/Oslo or UTC, or local.",
        ) from None
