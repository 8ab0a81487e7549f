"""What change detection says about one table."""

from __future__ import annotations

from array import array
from typing import TypeAlias

from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Its rows, and their text, are those of the parent."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Only *blocks* (ascending, 32 bits each) may differ from the parent's; it has *total_blocks*
    now."""

    blocks: array[int]
    total_blocks: int


@dataclass(frozen=True, slots=True)
class Full:
    """It has to be read as a whole, because of *reason*."""

    reason: str


Verdict: TypeAlias = Unchanged | Changed | Full
