"""Times in cron's syntax: read, written as systemd's OnCalendar, and counted backwards.

The rules are those of crontab(5): five fields; lists, ranges and steps; three-letter names; if
day of the month and day of the week are both given, matching either is enough.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.schedulers.zone import after_gap, is_skipped
from pgsnap.values import dataclass

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

# Around 2100, 29 February comes only after eight years.
_DAYS_LOOKED_BACK = 9 * 366
_PART = regex(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")
_HINT = (
    'Write five fields, minute hour day-of-month month day-of-week, as in "0 2 * * *" (every day'
    ' at 02:00), or a name such as "@daily".'
)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first_named: int = 0


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS, 1),
    # 7 is Sunday too.
    _Field("day of the week", 0, 7, DAYS),
)


@dataclass(frozen=True, slots=True)
class CronTime:
    """When a job runs. *text* is the five fields; *either_day*: both kinds of days are given, and
    matching one is enough."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def is_on(self, day: date) -> bool:
        """Return whether the job runs on *day*."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)

    def last_before(self, moment: datetime, *, skips_gap: bool = False) -> datetime | None:
        """Return the last time at or before *moment* by the clocks of its time zone, in UTC; None
        if there is none.

        Of a repeated hour the first one counts. A time in a skipped hour moves to right after
        it, as in cron, if the job has a fixed time of day; with *skips_gap*, as in systemd, it
        is left out.
        """
        now = moment.astimezone(UTC)
        # If clocks were set back across midnight, tomorrow has already begun.
        day = moment.date() + timedelta(days=1)
        for _ in range(_DAYS_LOOKED_BACK):
            if self.is_on(day):
                for hour in sorted(self.hours, reverse=True):
                    for minute in sorted(self.minutes, reverse=True):
                        local = datetime.combine(day, time(hour, minute, tzinfo=moment.tzinfo))
                        found = self._moment(local, skips_gap=skips_gap)
                        if found is not None and found <= now:
                            return found
            day -= timedelta(days=1)
        return None

    def next_after(self, moment: datetime, *, skips_gap: bool = False) -> datetime | None:
        """Return the first time after *moment*, as `last_before` counts them; None if there is
        none."""
        now = moment.astimezone(UTC)
        # If clocks are set back across midnight, yesterday goes on.
        day = moment.date() - timedelta(days=1)
        for _ in range(_DAYS_LOOKED_BACK):
            if self.is_on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        local = datetime.combine(day, time(hour, minute, tzinfo=moment.tzinfo))
                        found = self._moment(local, skips_gap=skips_gap)
                        if found is not None and found > now:
                            return found
            day += timedelta(days=1)
        return None

    def _moment(self, local: datetime, *, skips_gap: bool) -> datetime | None:
        if not is_skipped(local):
            return local.astimezone(UTC)
        is_wildcard = any(field.startswith("*") for field in self.text.split()[:2])
        return None if skips_gap or is_wildcard else after_gap(local)


def parse_cron(text: str, where: str) -> CronTime:
    """Parse *text*; *where* names it in the UsageError."""
    wanted = " ".join(text.split()).lower()
    if wanted == "@reboot":
        raise UsageError(f'{where}: "@reboot" is no time', hint=_HINT)
    if wanted.startswith("@"):
        if wanted not in NAMES:
            raise UsageError(
                f'{where}: there is no time called "{text.strip()}"',
                hint=f"Names are {', '.join(NAMES)}.",
            )
        wanted = NAMES[wanted]
    words = wanted.split(" ")
    if len(words) != len(_FIELDS):
        raise UsageError(
            f'{where} is not a time in cron\'s syntax: "{text}"',
            detail=f"It has {len([word for word in words if word])} fields.",
            hint=_HINT,
        )
    found = [_read(word, field, where) for word, field in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = found
    # As in crontab(5): a field that begins with a star leaves the choice to the other.
    either = not (words[2].startswith("*") or words[4].startswith("*"))
    weekdays = frozenset(day % 7 for day in weekdays)
    made = CronTime(wanted, minutes, hours, days, months, weekdays, either)
    # The end of a leap year: the nine years before it contain every calendar day.
    if made.last_before(datetime(2032, 12, 31, 23, 59, tzinfo=UTC)) is None:
        raise UsageError(
            f'{where}: the time "{text}" never comes', detail="No month has that day.", hint=_HINT
        )
    return made


def _read(word: str, field: _Field, where: str) -> frozenset[int]:
    values: set[int] = set()
    for part in word.split(","):
        found = _PART.fullmatch(part)
        if found is None or (found[1] == "*" and found[2]):
            raise _wrong(part, field, where)
        step = int(found[3]) if found[3] else 1
        if found[1] == "*":
            low, high = field.low, min(field.high, 6) if field.names is DAYS else field.high
        else:
            low = _value(found[1], field, where)
            alone = field.high if found[3] else low
            high = _value(found[2], field, where) if found[2] else alone
        if step < 1 or high < low:
            raise _wrong(part, field, where)
        values.update(range(low, high + 1, step))
    return frozenset(values)


def _value(word: str, field: _Field, where: str) -> int:
    if word in field.names:
        return field.names.index(word) + field.first_named
    if not word.isdigit() or not field.low <= int(word) <= field.high:
        raise _wrong(word, field, where)
    return int(word)


def _wrong(part: str, field: _Field, where: str) -> UsageError:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return UsageError(
        f'{where}: "{part}" is no {field.name}',
        detail=f"It goes from {field.low} to {field.high}{names}; lists (1,3), ranges (1-5) and "
        "steps (*/2) are allowed.",
        hint=_HINT,
    )


def on_calendar(when: CronTime) -> tuple[str, ...]:
    """Return *when* as the values of one or two OnCalendar= lines (systemd.time(7))."""
    clock = f"{_list(when.hours, 0, 23)}:{_list(when.minutes, 0, 59)}:00"
    months = _list(when.months, 1, 12)
    days = _list(when.days, 1, 31)
    week = ""
    if len(when.weekdays) < 7:
        # systemd's week begins on Monday.
        in_order = sorted(when.weekdays, key=lambda day: (day - 1) % 7)
        week = ",".join(DAYS[day].capitalize() for day in in_order) + " "
    if when.either_day and week and days != "*":
        return (f"*-{months}-{days} {clock}", f"{week}*-{months}-* {clock}")
    if when.either_day:
        # One of the two covers every day.
        return (f"*-{months}-* {clock}",)
    return (f"{week}*-{months}-{days} {clock}",)


def _list(values: frozenset[int], low: int, high: int) -> str:
    if len(values) == high - low + 1:
        return "*"
    return ",".join(f"{value:02d}" for value in sorted(values))
