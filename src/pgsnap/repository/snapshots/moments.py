"""Times in revisions: as users write them, and as snap itself prints them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from pgsnap.errors import UsageError
from pgsnap.format.times import to_micros
from pgsnap.patterns import regex

_TIME = regex(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[T ](?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r" ?(?P<zone>Z|[+-]\d{2}:?\d{2})?"
    # The relative time that `snap log` prints after it.
    r"(?: +\((?:just now|[a-z0-9 ]+ ago|in [a-z0-9 ]+)\))?)?",
    re.ASCII,
)


def is_clock_time(text: str) -> bool:
    """Return whether *text* is a date with a time of day. No tag contains a colon."""
    found = _TIME.fullmatch(text)
    return found is not None and found["hour"] is not None


def is_day(text: str) -> bool:
    """Return whether *text* is a date alone, which could also be the name of a tag."""
    found = _TIME.fullmatch(text)
    return found is not None and found["hour"] is None


def last_moment(text: str) -> int:
    """Return the last microsecond (since the epoch) of the day, minute, second or fraction of a
    second that *text* gives. Raises UsageError.

    A time without an offset is in the local time zone of this process, as `date` prints it.
    """
    return _bound(text, is_end=True) - 1


def first_moment(text: str) -> int:
    """Return the first microsecond of what `last_moment` returns the last of."""
    return _bound(text, is_end=False)


def _bound(text: str, *, is_end: bool) -> int:
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return _bound_of(found, is_end=is_end)
    except (ValueError, OverflowError):
        raise UsageError(
            f'"@{text}" is no time',
            hint="Write @2026-01-31, @2026-01-31T14:30 or @2026-01-31T14:30:00+02:00.",
        ) from None


def _bound_of(match: re.Match[str], *, is_end: bool) -> int:
    parts = match.groupdict()
    fraction = parts["fraction"] or ""
    names = ("year", "month", "day", "hour", "minute", "second")
    year, month, day, hour, minute, second = (int(parts[name] or 0) for name in names)
    micros = int(f"{fraction:0<6}")
    moment = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001 - aware below
    if is_end and parts["hour"] is None:
        moment += timedelta(days=1)
    elif is_end and parts["second"] is None:
        moment += timedelta(minutes=1)
    elif is_end:
        moment += timedelta(microseconds=10 ** (6 - len(fraction)))
    zone = parts["zone"]
    # A local day does not last 24 hours if the clocks change in it.
    absolute = moment.astimezone(UTC) if zone is None else moment - _offset(zone)
    return to_micros(absolute.replace(tzinfo=UTC))


def _offset(zone: str) -> timedelta:
    if zone == "Z":
        return timedelta()
    distance = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    # timezone() checks the bounds.
    return timezone(-distance if zone[0] == "-" else distance).utcoffset(None)
