"""The snapshot that a source may compare the database with, so that it reads only what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from blake3 import blake3

from pgsnap.dump.summary import DumpSummary
from pgsnap.model import Origin, Section, SectionKind, SectionName, VolatileLine
from pgsnap.model.baseline import Baseline
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Former:
    """A snapshot, and what was known of the server at its moment, *time*. *head* returns what
    precedes the rows of one of its *sections*, None if that cannot be read. *claims*: everything is
    read, and what is taken for unchanged has to be equal. *probes* is how many places are read
    again otherwise. Of the sections that are *lost* something cannot be read any more: they are not
    taken over. *largest_block* returns the bytes of the longest text of a block of a section."""

    baseline: Baseline
    time: datetime
    sections: Mapping[SectionName, Section]
    origin: Origin
    volatile: tuple[VolatileLine, ...]
    head: Callable[[Section], bytes | None]
    claims: bool = False
    probes: int = 3
    lost: frozenset[SectionName] = frozenset()
    largest_block: Callable[[Section], int] = lambda section: 0

    def same(self, name: SectionName, text: bytes) -> Section | None:
        """Return the section *name* if it can be taken over: *text* is what it holds."""
        section = self.sections.get(name)
        if section is None or self.claims or name in self.lost:
            return None
        return section if section.digest == blake3(text).digest() else None

    @property
    def summary(self) -> DumpSummary:
        """What was known of its dump."""
        lines = (line for line in self.volatile if line.section.kind is not SectionKind.GLOBALS)
        return DumpSummary(
            is_pg_dump=True,
            dump_version=self.origin.dump_version,
            dumped_from=self.origin.dumped_from,
            owners=self.origin.owners,
            client_encoding=self.origin.client_encoding,
            has_meta_commands=self.origin.has_meta_commands,
            volatile=tuple(lines),
        )


FormerOf: TypeAlias = Callable[[Origin], Former | None]
"""Returns the former snapshot of the server and database that an origin describes."""
