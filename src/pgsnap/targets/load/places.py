"""Maps a line of psql's input to the section and entry of the dump."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import field

from pgsnap.model import SectionKind, SectionName
from pgsnap.patterns import regex
from pgsnap.values import dataclass

# The header that pg_dump writes before an entry. In a function's body it may be part of the text;
# then an error's place is less accurate.
_ENTRY_HEAD = regex(
    rb"^-- (?:Data for )?Name: (.{1,200}?); Type: ([A-Z ]+); Schema: (.{1,200}?); Owner:"
    rb"|^SET SESSION AUTHORIZATION ([^'\s;][^;\n]*);",
    re.M,
)
_HELD = 20_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a dump. Names are those in the entry's header, "" if there is none; *grantor* is
    the role, as SQL, that the statements of an ACL entry are run as."""

    section: SectionName | None = None
    type: str = ""
    name: str = ""
    schema: str = ""
    grantor: str = ""

    def __str__(self) -> str:
        if self.section is None:
            return "the beginning"
        return f"{self.section}: {self.type} {self.name}" if self.type else str(self.section)


@dataclass(slots=True)
class Places:
    """Tracks the line at which each section began, to name the section of an error's line.

    *line* is the next line of psql's input, *first* the dump's own first one, *inserted* are our
    lines between the dump's, *starts* the latest sections, *entries* the latest entries: psql is
    never further behind than the pipe and its own buffers allow.
    """

    line: int = 1
    first: int = 1
    inserted: list[int] = field(default_factory=list)
    starts: deque[tuple[int, SectionName]] = field(default_factory=lambda: deque(maxlen=_HELD))
    entries: deque[tuple[int, Place]] = field(default_factory=lambda: deque(maxlen=_HELD))

    def begin(self, name: SectionName) -> None:
        self.starts.append((self.line, name))

    def pass_block(self, block: bytes) -> None:
        """Count the lines of a block of the dump, and note the entries that begin in it."""
        counted = 0
        if self.starts and self.starts[-1][1].kind is not SectionKind.DATA:
            for head in _ENTRY_HEAD.finditer(block):
                self.line += block.count(b"\n", counted, head.start())
                counted = head.start()
                self._note(*(part.decode("utf-8", "replace") for part in head.groups(b"")))
        self.line += block.count(b"\n", counted)

    def _note(self, name: str, kind: str, schema: str, grantor: str) -> None:
        section = self.starts[-1][1]
        if not grantor:
            place = Place(section, kind, name, "" if schema == "-" else schema)
        elif self.entries:
            last = self.entries[-1][1]
            place = Place(last.section, last.type, last.name, last.schema, grantor)
        else:
            return
        self.entries.append((self.line, place))

    def of_dump(self, line: int) -> int:
        return line - self.first + 1 - sum(ours < line for ours in self.inserted)

    def at(self, line: int) -> Place:
        """Return the section and the entry that *line* belongs to."""
        before = [name for start, name in self.starts if start <= line]
        if not before:
            return Place()
        entries = [entry for start, entry in self.entries if start <= line]
        with_entry = entries and before[-1].kind is not SectionKind.DATA
        return entries[-1] if with_entry else Place(before[-1])
