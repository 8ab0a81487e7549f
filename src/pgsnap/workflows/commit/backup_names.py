"""Parses the names of backup files, and the times in them. Pure: no I/O.

A name is understood completely or not at all: an unexplained number beside a time may be part of
it, and a snapshot with a wrong date is worse than a missing one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from pgsnap.patterns import regex
from pgsnap.values import dataclass

_DATE = r"(?P<year>\d{4})(?P<dash>[-_.]?)(?P<month>\d{2})(?P=dash)(?P<day>\d{2})"
_CLOCK = (
    r"(?P<hour>\d{2})(?P<colon>[-_.:h]?)(?P<minute>\d{2})(?:(?:(?P=colon)|m)(?P<second>\d{2})s?"
    r"(?:[.,](?P<fraction>\d{1,9})|[-_](?P<after_dash>\d{3,9})(?=Z))?)?"
)
_UTC = r"(?:[-_. ]?(?i:UTC|GMT)|[-_ ]?[Zz])(?![A-Za-z\d]|[-_ ]?[+-]\d)"
OFFSET = rf"{_UTC}|[_ ]?[+-]\d{{2}}:?\d{{2}}|[_ ]?\+\d{{2}}"
"""A time zone, as written after a time."""

_TIME = regex(rf"(?<!\d){_DATE}(?:[-_.T @]{{0,2}}{_CLOCK}(?P<offset>{OFFSET})?)?(?!\d)")
_DATE_ONLY = regex(rf"(?<!\d){_DATE}(?!\d)")
_DAY_FIRST = regex(
    r"(?<!\d)\d{1,2}(?P<dash>[-_.])\d{1,2}(?P=dash)(?P<year>\d{4})(?P<between>[-_.T @]{0,2})"
    r"(?:\d{2}(?P<colon>[-_.:h]?)\d{2}(?P<second>(?P=colon)\d{2})?)?(?!\d)"
)
_CLOCK_FIRST = regex(
    r"(?<!\d)(?:[01]\d|2[0-3])(?P<colon>[-_.:h]?)[0-5]\d(?:(?P<second>[-_.:m]?)[0-5]\d)?"
    r"(?P<between>s?[-_.T @]{1,2})\Z"
)
_HOUR_ALONE = regex(r"([-_.T @])(?:[01]\d|2[0-3])(?=\.[a-z]|\Z)")
# A number by itself; the numbers of "v2" and "pg15" belong to a word.
_NUMBER = regex(r"(?<![A-Za-z\d])\d")
_UTC_WORD = regex(_UTC)
_HALF_OF_DAY = regex(r"(?P<between>[-_. ]?)[ap](?:m(?![a-z])|\.m\b\.?)", re.I)
_WORD = regex(r"[-_. ]?(?P<word>[A-Za-z]{1,5})(?![A-Za-z])")
# From the time zone database and PostgreSQL's own list, except those that are English words.
_ZONE_WORDS = (
    " UTC GMT Z "
    "ACDT ACST ACWST ADT AEDT AEST AFT AKDT AKST ALMT AMST AMT ANAT AQTT ARST AST AWDT AWST AZOST "
    "AZOT AZT BDT BNT BRST BRT BST BTT CAT CCT CDT CEST CET CETDST CHADT CHAST CHST CLST CLT CST "
    "DAVT DDUT EASST EAT EDT EEST EET EGST EGT EST FET FJT FKST FKT FNT GALT GAMT GET GILT GST "
    "GYT HDT HKT HOVT HST ICT IDT IOT IRDT IRKT IRST IST JST KDT KGT KRAT KST LHDT LHST LKT MAGT "
    "MART MAWT MDT MEST MESZ MET MEZ MHT MMT MSD MSK MST MVT MYT NDT NFT NOVT NPT NST NZDT NZST "
    "OMST PDT PETT PGT PHT PKST PKT PMDT PMST PONT PST PYST PYT SAST SBT SGT SST TAHT TFT TJT TKT "
    "TMT TRT TVT ULAT UYST UYT UZT VLAT VOLT VUT WAST WAT WEST WET WFT WGST WGT WIB WIT WITA YAKT "
    "YAPT YEKT "
)
_ZONE_NAME = regex(
    r"[-_. ]?(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)"
    r"[-_.][A-Za-z_]+"
)
# "Jan_12_2024-03-04": the day and the year of a spelled-out date that was not parsed.
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE_IN_WORDS = regex(
    rf"(?<![A-Za-z\d])(?:\d{{1,2}}[-_. ]?{_MONTH}|{_MONTH}[-_., ]{{0,2}}\d{{1,2}})[-_., ]{{0,2}}\Z",
    re.I,
)
# Other eight-digit numbers are no dates of dumps.
_YEARS = range(1996, 2200)
# An offset that no clock in the world has is another number, as in "-0001".
_PARTS_OF_HOURS = frozenset({-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825})


@dataclass(frozen=True, slots=True)
class NameTime:
    """The time in a name, in UTC; *has_clock*: the name has a time of day, not only a date."""

    time: datetime
    has_clock: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """A name whose time may be different from what it seems. *pattern* parses it, if one is
    known."""

    why: str
    pattern: str = ""


def backup_name(time: datetime, zone: tzinfo | None) -> str:
    """Return ``backup_YYYYMMDD_HHMMSS.sql.gz`` for *time* in *zone* (None: the local zone)."""
    return time.astimezone(zone).strftime("backup_%Y%m%d_%H%M%S.sql.gz")


def time_in_name(name: str, zone: tzinfo | None) -> NameTime | Doubt | None:
    """Return the time in a file's *name*, None if it has none.

    A date alone means its first moment. A time without an offset is in *zone* (None: local).
    """
    day_first = _DAY_FIRST.search(name)
    if day_first is not None and int(day_first["year"]) in _YEARS:
        return Doubt("its date begins with the day or the month", _day_first_pattern(day_first))
    dates = _dates(name)
    if not dates:
        return None
    if len(dates) > 1:
        return Doubt("several dates stand in it", f"*{_codes(dates[-1])}*")
    (match,) = (_with_time(name, date) for date in dates)
    before, rest = name[: match.start()], name[match.end() :]
    pattern = f"*{_codes(match)}*"
    clock = _CLOCK_FIRST.search(before) if match["hour"] is None else None
    if clock is not None:
        seconds = "" if clock["second"] is None else f"{clock['second']}%S"
        pattern = f"*%H{clock['colon']}%M{seconds}{clock['between']}{_codes(match)}*"
        return Doubt("a time may stand before its date", pattern)
    hour = _HOUR_ALONE.match(rest) if match["hour"] is None else None
    if hour is not None:
        return Doubt("an hour may follow its date", f"*{_codes(match)}{hour[1]}%H*")
    if _DATE_IN_WORDS.search(before):
        return Doubt("a day and a month in words stand before its date", pattern)
    half = _HALF_OF_DAY.match(rest) if match["hour"] is not None else None
    if half is not None:
        codes = _codes(match).replace("%H", "%I")
        return Doubt("its clock has twelve hours", f"*{codes}{half['between']}%p*")
    offset = match["offset"]
    if match["hour"] is None and (utc := _UTC_WORD.match(rest)):
        offset, rest = utc[0], rest[utc.end() :]
    elif offset is None and (doubt := _zone_in_words(match, rest)):
        return doubt
    if _NUMBER.search(rest):
        return Doubt("a number follows that is no part of a time", pattern)
    local = _local(match)
    assert local is not None, "a date that is none was left out"
    return at_zone(local, offset, zone, has_clock=match["hour"] is not None)


def _zone_in_words(match: re.Match[str], rest: str) -> Doubt | None:
    """Return a doubt if *rest*, after a time, begins with a time zone that is not an offset."""
    word = _WORD.match(rest)
    if word and f" {word['word'].upper()} " in _ZONE_WORDS:
        why = "its time zone is a word that has several meanings, or is not understood whole"
        return Doubt(why, f"*{_codes(match)}{word[0]}*")
    if name := _ZONE_NAME.match(rest):
        # The user can set one zone for all names.
        return Doubt("a time zone stands in it by name", f"*{_codes(match)}{name[0]}*")
    return None


def at_zone(
    local: datetime, offset: str | None, zone: tzinfo | None, *, has_clock: bool
) -> NameTime | Doubt:
    """Return *local*, a time without a zone, converted by *offset* if given, else from *zone*
    (None: the local zone)."""
    if offset:
        return NameTime(local.replace(tzinfo=_offset(offset)).astimezone(UTC), has_clock)
    # astimezone() treats a naive time as local.
    time = (local.replace(tzinfo=zone) if zone else local).astimezone(UTC)
    if time.astimezone(zone).replace(tzinfo=None) != local:
        return Doubt(f"there was no {local:%H:%M} on that day: clocks were put forward")
    return NameTime(time, has_clock)


def is_offset(text: str) -> bool:
    """Return whether *text*, matched by OFFSET, is an offset that clocks really have."""
    if not text.strip("-_. ").startswith(("+", "-")) and text[-1].isalpha():
        return True
    minutes = _minutes(text)
    return minutes in _PARTS_OF_HOURS or (minutes % 60 == 0 and -720 <= minutes <= 840)


def words_before_time(name: str) -> str:
    """Return the part of a file's name before the time: often the name of the database."""
    match = _TIME.search(name) or _DATE_ONLY.search(name)
    return name[: match.start()].rstrip("-_. ") if match else name


def _dates(name: str) -> list[re.Match[str]]:
    """Return the dates in *name*; if there are several, only those that are not part of a word, as
    in "v20240101"."""
    found = []
    position = 0
    # Including its time, since a date may have no delimiter after it: "20260131020305".
    while match := (_DATE_ONLY.search(name, position) or _TIME.search(name, position)):
        is_date = _local(match, date_only=True) is not None
        found += [match] if is_date else []
        position = match.end("day") if is_date else match.start() + 1
    apart = [match for match in found if not name[: match.start()][-1:].isalpha()]
    return apart if len(found) > 1 and apart else found


def _with_time(name: str, date: re.Match[str]) -> re.Match[str]:
    """Return the match of *date* extended by the whole time that follows it."""
    match = _TIME.match(name, date.start()) or date
    if match["offset"] and not is_offset(match["offset"]):
        # "020305-0001": a time, and a number.
        match = _TIME.match(name[: match.start("offset")], date.start()) or match
    if _local(match) is None:
        # "20260131-9999": a date, and a number that is not a time of day.
        match = _TIME.match(name[: match.end("day")], date.start()) or match
    return match


def _local(match: re.Match[str], *, date_only: bool = False) -> datetime | None:
    parts = match.groupdict()
    keys = ("year", "month", "day", *(() if date_only else ("hour", "minute", "second")))
    values = [int(parts.get(key) or 0) for key in keys]
    if values[0] not in _YEARS:
        return None
    fraction = "" if date_only else parts.get("fraction") or parts.get("after_dash") or ""
    try:
        local = datetime(*values)  # type: ignore[arg-type]  # noqa: DTZ001 - aware by at_zone
        return local.replace(microsecond=int(f"{fraction:0<6}"[:6]))
    except ValueError:
        return None


def _offset(text: str) -> timezone:
    if text[-1].isalpha():
        return UTC
    return timezone(timedelta(minutes=_minutes(text)))


def _minutes(text: str) -> int:
    text = text.lstrip("_ ")
    digits = text[1:].replace(":", "")
    distance = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return -distance if text[0] == "-" else distance


def _codes(match: re.Match[str]) -> str:
    """Return the strftime pattern of a date and its time."""
    parts = match.groupdict()
    dash = parts["dash"]
    codes = f"%Y{dash}%m{dash}%d"
    if parts.get("hour") is None:
        return codes
    between = match.string[match.end("day") : match.start("hour")]
    codes += f"{between}%H{parts['colon']}%M"
    if parts.get("second") is not None:
        codes += match.string[match.end("minute") : match.start("second")] + "%S"
    return codes


def _day_first_pattern(match: re.Match[str]) -> str:
    dash, colon = match["dash"], match["colon"]
    codes = f"*%d{dash}%m{dash}%Y"
    if colon is not None:
        codes += f"{match['between']}%H{colon}%M"
        codes += f"{colon}%S" if match["second"] is not None else ""
    return f"{codes}*"
