"""Times are stored as microseconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgsnap.errors import CorruptionError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def to_micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int, what: str) -> datetime:
    # A margin of a day at either end: it must be a valid time in the reader's time zone too.
    if not _FIRST <= micros <= _LAST:
        raise CorruptionError(f"{what} is damaged", detail="Its time is out of range.")
    return _EPOCH + timedelta(microseconds=micros)
