"""What a source yields in place of a section's bytes where only changes were read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pgsnap.model.dump import DumpEvent
from pgsnap.model.stored import Section
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class ChangedBlocks:
    """The rows of some *blocks* of a table (ascending), in their order; the counts are u32,
    little-endian, one for each block, as in a `BlockMap`."""

    blocks: array[int]
    byte_counts: bytes
    row_counts: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """Blocks of a table that are taken as unchanged and were read nevertheless: *changed* yields
    what is in them now. Their text has to be that which is stored."""

    changed: Iterator[ChangedBlocks]


@dataclass(frozen=True, slots=True)
class SectionKept:
    """The section is as an earlier snapshot has it; *probe* reads a part of it again."""

    section: Section
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class SectionClaim:
    """The section that begins next was read as a whole, though change detection took it for that
    of an earlier snapshot: it has to be equal to it."""

    section: Section


@dataclass(frozen=True, slots=True)
class SectionChanged:
    """The section differs from that of an earlier snapshot only in the blocks that *changed*
    yields, ascending; the table has *total_blocks* now. *again* reads all of it, where what is
    stored does not fit; then *changed* must have been read to its end."""

    section: Section
    changed: Iterator[ChangedBlocks]
    total_blocks: int
    again: Callable[[], Iterator[DumpEvent | SectionClaim]]


SourceEvent: TypeAlias = "DumpEvent | SectionKept | SectionChanged | SectionClaim"
"""What a source yields that was given a former snapshot; others yield each `DumpEvent`."""
