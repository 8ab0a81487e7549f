"""What a commit read of its database, and why."""

from __future__ import annotations

import enum

from pgsnap.values import dataclass


class ReadMode(enum.StrEnum):
    """How the rows were read. The values are stored: never change one."""

    STREAM = "stream"
    """As pg_dump wrote them."""
    FULL = "full"
    """All blocks of all tables, on connections of snap's own."""
    CHANGED = "changed"
    """Only the blocks that changed since the parent."""


class ChangeWay(enum.StrEnum):
    """How the changed blocks were found. The values are stored: never change one."""

    SUMMARIES = "summaries"
    """The server's WAL summaries."""
    FILES = "files"
    """Page LSNs, read from the files of the data directory."""
    PAGEINSPECT = "pageinspect"
    """Page LSNs, read by the extension pageinspect."""


@dataclass(frozen=True, slots=True)
class FullRead:
    """A table that was read in full although the parent has it, and why."""

    schema: str
    table: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """*blocks_read* of *blocks* heap blocks were read, both 0 if nothing is known about blocks.

    *full_reads* lists at most `limits.FULL_READS_LISTED_MAX` of the *full_read_count* tables.
    """

    mode: ReadMode
    way: ChangeWay | None = None
    blocks_read: int = 0
    blocks: int = 0
    full_reads: tuple[FullRead, ...] = ()
    full_read_count: int = 0
