"""This machine's time zone with its transitions, and local times that clocks skip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class MachineZone(tzinfo):
    """The local time zone of this machine, valid for any past or future time.

    `datetime.astimezone()` alone gives today's offset, which is wrong beyond the next change.
    """

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        if dt is None:
            return None
        # Python 3.11 and 3.12 disagree about the offset of a skipped time that `astimezone()`
        # gives, not about which moment it is.
        local = dt.replace(tzinfo=None, microsecond=0)
        return timedelta(seconds=local.replace(tzinfo=UTC).timestamp() - local.timestamp())

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return dt.replace(tzinfo=None).astimezone().tzname() if dt is not None else None

    def fromutc(self, dt: datetime) -> datetime:
        seconds = dt.replace(tzinfo=UTC).timestamp()
        return datetime.fromtimestamp(seconds).replace(tzinfo=self)  # noqa: DTZ006 - ours


def is_skipped(local: datetime) -> bool:
    """Return whether clocks in its zone never showed *local*: they were set forward past it."""
    wall = local.replace(tzinfo=None)
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != wall


def after_gap(skipped: datetime) -> datetime:
    """Return the moment, in UTC, at which clocks were set forward past *skipped*."""
    # With the offset before the change it is after it, with the one after the change before it.
    late = skipped.replace(fold=0).astimezone(UTC)
    early = skipped.replace(fold=1).astimezone(UTC)
    before = early.astimezone(skipped.tzinfo).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early).total_seconds() // 2)
        if middle.astimezone(skipped.tzinfo).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
