"""Durations as people write them: 90s, 10min, 1h30m, 7d."""

from __future__ import annotations

from datetime import timedelta

from pgsnap.errors import UsageError
from pgsnap.patterns import regex

_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_PART = regex(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_PLAIN = regex(r"\d+(?:\.\d+)?")


def parse_duration(text: str, where: str) -> float:
    """Parse *text* as seconds; a bare number is seconds.

    *where* names the option, variable or key in the UsageError.
    """
    wanted = text.strip().lower()
    if _PLAIN.fullmatch(wanted):
        return float(wanted)
    seconds = 0.0
    position = 0
    for part in _PART.finditer(wanted):
        if part.start() != position or part[2] not in _SECONDS:
            break
        seconds += float(part[1]) * _SECONDS[part[2]]
        position = part.end()
    if not wanted or position != len(wanted):
        raise UsageError(
            f'{where} is not a duration: "{text}"',
            hint="Write a number and a unit (ms, s, min, h, d, w), such as 90s, 10min or 1h30m.",
        )
    return seconds


def parse_timedelta(text: str, where: str) -> timedelta:
    """Parse *text* as a duration. Raises UsageError if it is not one, or is too long."""
    try:
        return timedelta(seconds=parse_duration(text, where))
    except OverflowError:
        raise UsageError(f'{where} is too long: "{text}"') from None
