"""Parses the times in file names by a user-supplied pattern: strftime's codes, and ``*``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.workflows.commit.backup_names import OFFSET, Doubt, NameTime, at_zone, is_offset

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CODES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "b": "|".join(_MONTHS),
    "d": r"\d{1,2}",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "p": r"[ap](?:m|\.m\.?)",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "f": r"\d{1,9}",
    "z": OFFSET,
    "s": r"\d{9,11}",
}
_ENDING = regex(r"(?:\.(?:sql|dump|pgdump|backup|bak|tar|gz|zst))+\Z", re.I)


class NameFormat:
    """The pattern *text*, for file names without suffixes such as ``.sql.gz``."""

    def __init__(self, text: str) -> None:
        """Raises UsageError for a pattern without a complete date."""
        self.text = text
        found: list[str] = []
        pattern = ""
        parts = re.findall(r"%%|%.?|\*|[^%*]+", text, re.S)
        for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
            if part == "*":
                # It must not split a number.
                pattern += r"(?!\d)" if _is_code(before) else ""
                pattern += r".*"
                pattern += r"(?<!\d)" if _is_code(after) else ""
            elif not part.startswith("%") or part == "%%":
                pattern += re.escape(part.replace("%%", "%"))
            elif part[1:] in _CODES and part[1:] not in found:
                found.append(part[1:])
                form = _CODES[part[1:]]
                if _is_code(before) or _is_code(after):
                    # Adjacent codes can be separated only by their lengths.
                    form = form.replace("{1,2}", "{2}")
                pattern += f"(?P<{part[1:]}>{form})"
            else:
                raise _bad(text, f'"{part}" cannot stand there.')
        self._pattern = re.compile(pattern, re.I | re.S)
        codes = set(found)
        has_date = "d" in codes and codes & {"m", "b"} and codes & {"Y", "y"}
        if not ("s" in codes or has_date):
            raise _bad(text, "It names no day, month and year.")
        if "I" in codes and "p" not in codes:
            raise _bad(text, "%I needs %p.")

    def time_in(self, name: str, zone: tzinfo | None) -> NameTime | Doubt | None:
        """Return the time that the pattern finds in a file's *name*, as `time_in_name` does."""
        match = self._pattern.fullmatch(_ENDING.sub("", name)) or self._pattern.fullmatch(name)
        if match is None:
            return None
        parts = match.groupdict()
        if parts.get("s"):
            return NameTime(datetime.fromtimestamp(int(parts["s"]), UTC), has_clock=True)
        local = _local(parts)
        offset = parts.get("z")
        if local is None or (offset and not is_offset(offset)):
            return Doubt("it is no time")
        has_clock = parts.get("H") is not None or parts.get("I") is not None
        return at_zone(local, offset, zone, has_clock=has_clock)


def _is_code(part: str) -> bool:
    return part.startswith("%") and part != "%%"


def _local(parts: dict[str, str | None]) -> datetime | None:
    def number(code: str) -> int:
        return int(parts.get(code) or 0)

    month = parts.get("b")
    hour = number("H")
    if parts.get("I") is not None:
        if not 1 <= number("I") <= 12:
            return None
        hour = number("I") % 12 + (12 if (parts.get("p") or "")[:1] in ("p", "P") else 0)
    try:
        return datetime(  # noqa: DTZ001 - made aware by at_zone
            number("Y") or 2000 + number("y"),
            _MONTHS.index(month.lower()) + 1 if month else number("m"),
            number("d"),
            hour,
            number("M"),
            number("S"),
            int(f"{parts.get('f') or '0':0<6}"[:6]),
        )
    except ValueError:
        return None


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f'--name-format "{text}" cannot be read',
        detail=why,
        hint="Write the whole name with %Y %m %d %H %M %S (%y %b %I %p %f %z %s) and * for any"
        " text, such as 'shop_%d-%m-%Y_%H%M*'; endings such as .sql.gz are left out.",
    )
