"""Types of what a parsed dump yields: named sections, their bytes, and volatile lines."""

from __future__ import annotations

import enum
from typing import TypeAlias

from pgsnap.model.block_map import BlockMap
from pgsnap.values import dataclass


class SectionKind(enum.StrEnum):
    """What a section holds. The values are stored: never change one."""

    PREAMBLE = "preamble"
    """What precedes the first entry of the dump: comments and SETs."""
    DATABASE = "database"
    """CREATE/DROP/ALTER DATABASE and ``\\connect`` (pg_dump -C). Never sent by a restore."""
    PRE_DATA = "pre-data"
    DATA = "data"
    """The rows of one table."""
    SEQUENCES = "sequences"
    LARGE_OBJECTS = "large-objects"
    POST_DATA = "post-data"
    TRAILER = "trailer"
    """The end mark of the dump."""
    GLOBALS = "globals"
    """Roles, memberships and tablespaces of the cluster, from pg_dumpall. Not part of the dump."""
    EXTENSION_SEQUENCES = "extension-sequences"
    """The values of extensions' sequences that pg_dump leaves out. Not part of the dump."""
    STATISTICS = "statistics"
    """The planner's statistics in a dump that was made with them."""


OUTSIDE_ROOT = frozenset(
    {SectionKind.GLOBALS, SectionKind.EXTENSION_SEQUENCES, SectionKind.STATISTICS}
)
"""The kinds that the root hash does not cover: each has a root of its own."""


@dataclass(frozen=True, slots=True, order=True)
class SectionName:
    """The name of a section: unique within a snapshot.

    *part* counts from 0 when a dump returns to the same kind, schema and name.
    """

    kind: SectionKind
    schema: str = ""
    name: str = ""
    part: int = 0

    def __str__(self) -> str:
        words = str(self.kind)
        if self.name:
            words += f" {quote_ident(self.schema)}.{quote_ident(self.name)}"
        return f"{words} #{self.part + 1}" if self.part else words


def quote_ident(name: str) -> str:
    """Return *name* as PostgreSQL's quote_ident shows it, without its list of reserved words."""
    plain = name[:1].isalpha() or name[:1] == "_"
    if plain and name.isascii() and name.lower() == name and name.replace("_", "a").isalnum():
        return name
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class SectionStart:
    """The bytes that follow belong to this section."""

    name: SectionName


@dataclass(frozen=True, slots=True)
class SectionEnd:
    """The section that was started last is complete.

    For a section of COPY rows, *head_bytes* and *head_lines* count what precedes the first row
    (comment, COPY statement), *tail_bytes* and *tail_lines* what follows the last row (the ``\\.``
    line and blank lines). For all others *is_copy* is false and the four are 0. *block_map* is
    known if the rows were read block by block.
    """

    is_copy: bool = False
    head_bytes: int = 0
    head_lines: int = 0
    tail_bytes: int = 0
    tail_lines: int = 0
    block_map: BlockMap | None = None


DumpEvent: TypeAlias = "SectionStart | SectionEnd | bytes"
"""A dump is (SectionStart, bytes..., SectionEnd)..., in the order of its text."""


class VolatileKind(enum.StrEnum):
    """Why a line was taken out of a section's bytes. Stored: never change one."""

    RESTRICT = "restrict"
    """``\\restrict KEY``: put back with a fresh key."""
    UNRESTRICT = "unrestrict"
    """``\\unrestrict KEY``: put back with the same fresh key."""
    VERSION = "version"
    """``-- Dumped from/by ...``: put back as it was."""


@dataclass(frozen=True, slots=True)
class VolatileLine:
    """A line that differs between dumps of an unchanged database.

    *text* is the whole line with its line end; it was in *section*, before the byte at *offset* (an
    offset into the section's stored bytes, so without any volatile line).
    """

    section: SectionName
    offset: int
    kind: VolatileKind
    text: bytes
