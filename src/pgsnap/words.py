"""Sizes, counts, rates and exit statuses in human-readable form."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED_MAX = 10


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
