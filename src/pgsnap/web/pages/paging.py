"""Lists that are too long for one page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Generic, TypeVar

from pgsnap.values import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The *items* of a page: its *number*, from 1, of *count*; *total* items there are in all."""

    items: tuple[T, ...]
    number: int
    count: int
    total: int


def part_of(items: Sequence[T], number: str, size: int) -> Part[T]:
    """Return the page of *items* that *number* names, the nearest that there is; *size* are on
    one."""
    count = max(1, -(-len(items) // size))
    asked = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 1
    found = min(max(asked, 1), count)
    shown = tuple(islice(items, (found - 1) * size, found * size))
    return Part(shown, found, count, len(items))
