"""Sizes, counts, times and exit statuses in human-readable form, and guesses at misspelt names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

SHORT_ID_CHARS = 12

_NAMED_MAX = 10
# How alike two names must be, from 0 to 1, for one to be a typo of the other.
_CLOSE = 0.6
# A shorter part stands in too many names.
_PART_CHARS_MIN = 3


def size(count: int) -> str:
    """Return a number of bytes in decimal units: ``98.3 MB``."""
    if abs(count) < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        amount /= 1000
        # 999.95 would be shown as 1000.0 of this unit.
        if abs(amount) < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} EB"


def rate(count: int, seconds: float) -> str:
    """Return bytes per second: ``312.0 MB/s``."""
    return f"{size(round(count / max(seconds, 0.001)))}/s"


def number(count: int) -> str:
    """Return an integer with thousands separators: ``1,234,567``."""
    return f"{count:,}"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return ``1 table`` or ``23 tables``."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def some(names: Sequence[str]) -> str:
    """Return the first few of *names*, and how many more there are."""
    more = f" and {number(len(names) - _NAMED_MAX)} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def seconds(amount: float) -> str:
    """Return a duration: ``0.84 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if amount < 10:
        return f"{amount:.2f} s"
    if amount < 59.95:
        return f"{amount:.1f} s"
    whole = round(amount)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(moment: datetime) -> str:
    """Return *moment* in local time, with its offset from UTC: ``2026-01-02 14:30:05 +0100``."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def ago(moment: datetime, now: datetime) -> str:
    """Return how far *moment* is from *now*: ``3 hours ago``, ``in 2 minutes``, ``just now``."""
    distance = (now - moment).total_seconds()
    amount = abs(distance)
    for unit, length in (
        ("year", 365.25 * 86400),
        ("month", 30.44 * 86400),
        ("week", 7 * 86400),
        ("day", 86400),
        ("hour", 3600),
        ("minute", 60),
        ("second", 10),
    ):
        # Years, months and weeks are used from two of them on: "9 days" says more than
        # "1 week".
        if amount >= length * (2 if unit in ("year", "month", "week") else 1):
            count = int(amount // (1 if unit == "second" else length))
            words = plural(count, unit)
            return f"{words} ago" if distance > 0 else f"in {words}"
    return "just now"


def short_id(identifier: bytes) -> str:
    """Return the part of a snapshot's id that is shown to people."""
    return identifier.hex()[:SHORT_ID_CHARS]


def plain(text: str, *, keep_lines: bool = False) -> str:
    """Return *text* with control characters made visible.

    Names and messages come from foreign databases and files: an escape sequence in one must not
    reach the terminal. With *keep_lines* line ends and tabs stay.
    """
    if text.isprintable():
        return text
    shown = []
    for character in text:
        if keep_lines and character in "\n\t":
            shown.append(character)
        # Cf includes the marks that reverse the writing direction.
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown.append(character.encode("unicode_escape", "surrogatepass").decode("ascii"))
        else:
            shown.append(character)
    return "".join(shown)


def first_line(text: str) -> str:
    """Return the first line of a message, for lists."""
    return plain(text.strip().split("\n", 1)[0].rstrip("\r"))


def how_it_ended(status: int) -> str:
    """Return a phrase for a program's exit status; a negative one is the signal that killed it."""
    return f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *word* most likely is a typo or a part of, None if none is."""
    # Only errors need it.
    import difflib

    by_case = {name.casefold(): name for name in sorted(known)}
    asked = word.casefold()
    # Two letters in the wrong order are one slip, though they differ in two places.
    close = [name for name in by_case if _is_transposed(asked, name)][:1]
    close = close or difflib.get_close_matches(asked, by_case, n=1, cutoff=_CLOSE)
    if not close and len(asked) >= _PART_CHARS_MIN:
        close = [name for name in by_case if asked in name]
    return by_case[close[0]] if close else None


def _is_transposed(word: str, name: str) -> bool:
    """Return whether *word* is *name* with two neighbouring letters exchanged."""
    places = [at for at, pair in enumerate(zip(word, name, strict=False)) if pair[0] != pair[1]]
    if len(word) != len(name) or len(places) != 2 or places[1] != places[0] + 1:
        return False
    first, second = places
    return word[first] == name[second] and word[second] == name[first]


def did_you_mean(
    word: str, known: Iterable[str], otherwise: str = "", *, is_sure: bool = False
) -> str:
    """Return a hint that names the one of *known* that is meant by *word*, followed by *otherwise*;
    *is_sure*: it is the first, however it is spelt."""
    found = next(iter(known), None) if is_sure else nearest(word, known)
    guess = f'Did you mean "{found}"?' if found is not None else ""
    return " ".join(filter(None, (guess, otherwise)))
