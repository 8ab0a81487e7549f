"""Values that PostgreSQL has and that few others can read: years before 1 and after 9999."""

from __future__ import annotations

from pgsnap.patterns import regex

_DATE = r"(\d+)-(\d\d)-(\d\d)"
_ODD_DATE = regex(rf"{_DATE}( BC)?")
_ODD_TIMESTAMP = regex(
    rf"{_DATE} (\d\d):(\d\d):(\d\d)(?:\.(\d{{1,6}}))?"
    r"(?:([-+])(\d\d)(?::(\d\d))?(?::(\d\d))?)?( BC)?"
)
_DAYS_FROM_0000_TO_1970 = 719_468
_INT64 = 1 << 63


def days(text: str) -> int | None:
    """Return the days since 1970 of a date, None for infinity."""
    match = _ODD_DATE.fullmatch(text)
    if match is None:
        return None
    return _days(int(match[1]), int(match[2]), int(match[3]), is_bc=match[4] is not None)


def microseconds(text: str) -> int | None:
    """Return the microseconds since 1970 of a time stamp in UTC, None for infinity, and for the
    last years of PostgreSQL's range, which 64 bits from 1970 on do not reach."""
    match = _ODD_TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int((match[7] or "0").ljust(6, "0"))
    east = sum(
        int(part or 0) * unit
        for part, unit in zip(match.groups()[8:11], (3600, 60, 1), strict=True)
    )
    if match[8] == "-":
        east = -east
    of_day = hour * 3600 + minute * 60 + second - east
    number = _days(year, month, day, is_bc=match[12] is not None) * 86_400 + of_day
    found = number * 1_000_000 + fraction
    return found if -_INT64 <= found < _INT64 else None


def _days(year: int, month: int, day: int, *, is_bc: bool) -> int:
    """Return the days since 1970 in the Gregorian calendar, as PostgreSQL counts in all times."""
    if is_bc:
        year = 1 - year
    # Years begin in March, so that a leap day is the last one.
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    of_era = of_era * 365 + of_era // 4 - of_era // 100 + of_year
    return era * 146_097 + of_era - _DAYS_FROM_0000_TO_1970
