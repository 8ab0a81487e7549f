"""Rates of bytes in human notation: 10 MB/s, 500kB/s, 1.5 MiB/s."""

from __future__ import annotations

from pgsnap.cli.text.sample_size import UNITS
from pgsnap.errors import UsageError
from pgsnap.patterns import regex

# A slower one is a mistake: a pack of 16 MiB would take five hours.
RATE_LEAST = 1000
_RATE = regex(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)\s*/\s*s")


def parse_rate(text: str, where: str) -> float:
    """Parse *text* as bytes per second; *where* names its key or option. Raises UsageError."""
    found = _RATE.fullmatch(text.strip().lower())
    if found is None or found[2] not in UNITS:
        raise UsageError(
            f'{where} is not a rate: "{text}"',
            hint="Write a number of bytes per second with a unit (kB/s, MB/s, GB/s), such as"
            ' "10 MB/s".',
        )
    rate = float(found[1]) * UNITS[found[2]]
    if rate < RATE_LEAST:
        raise UsageError(
            f'{where} is too slow: "{text}"', detail=f"The least is {RATE_LEAST // 1000} kB/s."
        )
    return rate
