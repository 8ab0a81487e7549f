"""Sample sizes in human notation: 10%, 2.5%, 500MB, 1GB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgsnap.errors import UsageError
from pgsnap.patterns import regex

if TYPE_CHECKING:
    from pgsnap.maintenance.verify.read_history import SampleSize

UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = regex(r"(\d+(?:\.\d+)?)\s*(%|[kmgt]?i?b)")


def parse_sample(text: str) -> SampleSize:
    """Parse *text* as a share of a repository or a size. Raises UsageError."""
    from pgsnap.maintenance.verify.read_history import SampleSize

    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or (found[2] != "%" and found[2] not in UNITS):
        raise UsageError(
            f'--sample is not a share or a size: "{text}"',
            hint="Write a number with % or a unit (kB, MB, GB, TB), such as 10% or 1GB.",
        )
    amount = float(found[1])
    if found[2] == "%":
        return SampleSize(share=amount / 100)
    return SampleSize(byte_count=round(amount * UNITS[found[2]]))
