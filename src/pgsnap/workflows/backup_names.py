"""The names of backup files, and the times that stand in them. Pure: nothing is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_DATE = r"(?P<year>\d{4})(?P<dash>[-_.]?)(?P<month>\d{2})(?P=dash)(?P<day>\d{2})"
_CLOCK = (
    r"(?P<hour>\d{2})(?P<colon>[-_.:h]?)(?P<minute>\d{2})(?:(?:(?P=colon)|m)(?P<second>\d{2})s?)?"
)
_OFFSET = r"(?P<offset>Z|[+-](?:0\d|1[0-4]):?[0-5]\d)"
_TIME = re.compile(rf"(?<!\d){_DATE}(?:[-_.T @]{{0,2}}{_CLOCK}{_OFFSET}?)?(?!\d)")
_DATE_ONLY = re.compile(rf"(?<!\d){_DATE}(?!\d)")
# Other numbers of eight digits are no dates of dumps.
_YEARS = range(1996, 2200)


def backup_name(time: datetime, zone: tzinfo | None) -> str:
    """Return ``backup_YYYYMMDD_HHMMSS.sql.gz`` for *time* on a clock in *zone* (None: here)."""
    return time.astimezone(zone).strftime("backup_%Y%m%d_%H%M%S.sql.gz")


def time_in_name(name: str, zone: tzinfo | None) -> datetime | None:
    """Return the time, in UTC, that stands in a file's *name*: of several the last one.

    A date alone means its first moment. A time without an offset is one of *zone* (None: here).
    """
    found = None
    position = 0
    while match := (_TIME.search(name, position) or _DATE_ONLY.search(name, position)):
        moment = _moment(match, zone)
        if moment is None:
            # "20260131-9999": a date, and a number that is no time of day.
            alone = _DATE_ONLY.match(name, match.start())
            moment = _moment(alone, zone) if alone else None
        found = moment or found
        position = match.end() if moment else match.start() + 1
    return found


def words_before_time(name: str) -> str:
    """Return what stands before the time in a file's name: whose dump it is, often."""
    match = _TIME.search(name) or _DATE_ONLY.search(name)
    return name[: match.start()].rstrip("-_. ") if match else name


def _moment(match: re.Match[str], zone: tzinfo | None) -> datetime | None:
    parts = match.groupdict()
    keys = ("year", "month", "day", "hour", "minute", "second")
    year, month, day, hour, minute, second = (int(parts.get(key) or 0) for key in keys)
    if year not in _YEARS:
        return None
    try:
        local = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - made aware below
    except ValueError:
        return None
    offset = parts.get("offset")
    if offset:
        return local.replace(tzinfo=_offset(offset)).astimezone(UTC)
    # Without a zone astimezone() takes the time for one of this machine.
    return (local.replace(tzinfo=zone) if zone else local).astimezone(UTC)


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-distance if text[0] == "-" else distance)
