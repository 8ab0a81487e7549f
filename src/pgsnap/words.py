"""Sizes, counts, rates and exit statuses in human-readable form, and guesses at misspelt names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def how_it_ended(status: int) -> str:
    """Return a phrase for a program's exit status; a negative one is the signal that killed it."""
    return f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *word* most likely is a typo or a part of, None if none is."""
    # Only errors need it.
    import difflib

    by_case = {name.casefold(): name for name in sorted(known)}
    asked = word.casefold()
    close = difflib.get_close_matches(asked, by_case, n=1, cutoff=_CLOSE)
    if not close and len(asked) >= _PART_CHARS_MIN:
        close = [name for name in by_case if asked in name]
    return by_case[close[0]] if close else None


def did_you_mean(
    word: str, known: Iterable[str], otherwise: str = "", *, is_sure: bool = False
) -> str:
    """Return a hint that names the one of *known* that is meant by *word*, followed by *otherwise*;
    *is_sure*: it is the first, however it is spelt."""
    found = next(iter(known), None) if is_sure else nearest(word, known)
    guess = f'Did you mean "{found}"?' if found is not None else ""
    return " ".join(filter(None, (guess, otherwise)))
