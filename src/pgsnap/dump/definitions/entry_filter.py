"""Removes entries of a dump, or the statements that set owners, from its text on the fly, and moves
subscriptions and event triggers to the end.

pg_dump writes the owner of an object as the last statement of its entry, and rights as separate
entries. So nothing in a function's body or in a row can be mistaken for either.

It writes event triggers before refreshing materialized views: there they would fire, log what
nobody did in the source database, or forbid it. So they are created last. Nothing needs them but
their own comments and labels, which move with them; no statement about event triggers fires any. A
subscription may make the server keep dead rows (since 19), so it is created as late as possible.
And if a partition's trigger is disabled, pg_dump may write that before the parent's trigger is
created.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.dump.definitions.ddl import GRANTOR
from pgsnap.dump.definitions.mending import MARKED_TYPES, Identities, with_constant_marks
from pgsnap.dump.definitions.table_parts import TableName, foreign_key_ends, without_owner
from pgsnap.dump.entries import ENTRY, Entry, decode, encode, parse_entry
from pgsnap.dump.lexer import Lexer, Piece
from pgsnap.model import DumpEvent, SectionKind, SectionName, SectionStart
from pgsnap.patterns import regex
from pgsnap.values import dataclass

_RIGHTS = (b"ACL", b"DEFAULT ACL", b"ACL LANGUAGE")
_DEFINITIONS = (SectionKind.PRE_DATA, SectionKind.POST_DATA)
# Statistics come between the parts of a section, wherever pg_dump wrote them.
_BEFORE_LAST = (SectionKind.POST_DATA, SectionKind.STATISTICS)
_NO_ENTRY = Entry(b"", b"", b"", b"")
_MAKES_PUBLIC = regex(rb"^CREATE SCHEMA (?=public;)", re.M)
# In the order of creation: event triggers see subscriptions too.
_LAST_TYPES = (b"SUBSCRIPTION", b"EVENT TRIGGER")
_MAKES_TRIGGER = regex(rb"(?:\s++|--[^\n]*+\n)*CREATE ")
_KEEPS_DEAD_ROWS = regex(rb", retain_dead_tuples = true(?=[^\n]*\);\n)")
_NOTES = (b"COMMENT", b"SECURITY LABEL")
_TAKEN_FROM_ALL = regex(rb'^REVOKE (?:[^"\n;]|"(?:[^"]|"")*")*? FROM PUBLIC;\n', re.M)
_AUTHORIZATION = b"SET SESSION AUTHORIZATION "
_LARGE_OBJECT_OWNER = regex(rb"^ALTER LARGE OBJECT \d+ OWNER TO .*;\r?(?:\n|\Z)", re.M)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a restore leaves out of the definitions: *owners*; *rights* (grants, but not what was
    revoked from PUBLIC, or everybody could call a copy's functions); all foreign keys except those
    between the tables *keys_between* (None: keeps all); the creation of the schema *public*, if it
    exists already: `pg_dump --schema` creates it, and so does template0; *dead_rows*, the option of
    subscriptions to retain them: the server creates a slot for that in any database; everything
    that belongs to *extensions*; and entries of *types*, with comments, labels and rights on
    them."""

    owners: bool = False
    rights: bool = False
    keys_between: frozenset[TableName] | None = None
    public: bool = False
    dead_rows: bool = False
    extensions: tuple[BoundExtension, ...] = ()
    types: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return (
            self.owners
            or self.rights
            or self.public
            or self.keys_between is not None
            or bool(self.extensions)
            or bool(self.types)
        )


def leave_out(events: Iterable[DumpEvent], what: LeftOut, encoding: str) -> Iterator[DumpEvent]:
    """Yield *events* without *what*, with some entries moved to the end, between two sections."""
    running: _Filter | None = None
    last, identities = _Last(), Identities()
    for event in events:
        if isinstance(event, bytes):
            if running is None:
                yield event
            else:
                yield from running.feed(event)
            continue
        if isinstance(event, SectionStart):
            if event.name.kind not in _BEFORE_LAST:
                yield from last.release()
            running = _filter_of(event.name, what, encoding, last, identities)
        elif running is not None:
            yield from running.finish()
        yield event
    yield from last.release()


class _Last:
    """What is held back until everything else was created."""

    def __init__(self) -> None:
        self.changes_role = False
        self._held: list[tuple[int, bytes, bytes]] = []

    def hold(self, rank: int, owner: bytes, text: bytes) -> None:
        """Hold *text* back, to be sent after everything of a lower *rank*."""
        self._held.append((rank, owner, text))

    def release(self) -> Iterator[bytes]:
        for _, owner, text in sorted(self._held, key=lambda held: held[0]):
            # With --use-set-session-authorization there is no ALTER … OWNER in the entry.
            if self.changes_role and owner:
                yield _AUTHORIZATION + b'"' + owner.replace(b'"', b'""') + b'";\n'
            yield text
        self._held.clear()


class _Filter:
    """Splits a section of definitions into entries, and passes on what is left of each."""

    def __init__(self, what: LeftOut, encoding: str, last: _Last, identities: Identities) -> None:
        self._what = what
        self._identities = identities
        self._encoding = encoding
        self._lexer = Lexer()
        self._entry = _NO_ENTRY
        self._type = b""
        self._parts: list[bytes] = []
        self._last = last

    def feed(self, block: bytes) -> Iterator[bytes]:
        yield from self._take(self._lexer.feed(block))

    def finish(self) -> Iterator[bytes]:
        yield from self._take(self._lexer.finish())
        yield self._left()

    def _take(self, pieces: Iterable[tuple[Piece, bytes]]) -> Iterator[bytes]:
        for piece, data in pieces:
            header = ENTRY.search(data) if piece is Piece.COMMENT else None
            if header is not None:
                yield self._left()
                self._parts = []
                self._entry = parse_entry(header)
                self._type = self._entry.type
            elif piece is Piece.SETTING and not (self._type == b"ACL" and GRANTOR.match(data)):
                # It applies to the entries that follow, and comes after this one's owner.
                yield self._left()
                if data.startswith(_AUTHORIZATION):
                    self._last.changes_role = True
                self._parts, self._type = [], b""
            self._parts.append(data)

    def _left(self) -> bytes:
        text = b"".join(self._parts)
        is_left_out = self._what.extensions and self._type and self._is_of_extension()
        if is_left_out or (self._what.types and self._type and self._is_of_types()):
            # What follows keeps its line number in the dump.
            return b"\n" * text.count(b"\n")
        if self._type == b"TABLE":
            self._identities.see_table(text)
        elif self._type == b"SEQUENCE":
            text = self._identities.mended(text)
        elif self._type == b"SEQUENCE SET":
            text = self._identities.wide_values(text)
        elif self._type in MARKED_TYPES:
            text = with_constant_marks(text)
        if self._what.public and self._type == b"SCHEMA":
            text = _MAKES_PUBLIC.sub(b"CREATE SCHEMA IF NOT EXISTS ", text, count=1)
        if self._what.rights and self._type in _RIGHTS:
            # What was revoked from PUBLIC is not a grant, so it stays.
            return b"".join(_TAKEN_FROM_ALL.findall(text)) if self._type == b"ACL" else b""
        if self._what.keys_between is not None and self._type == b"FK CONSTRAINT":
            ends = foreign_key_ends(decode(text, self._encoding))
            if not _are_in(ends, self._what.keys_between):
                return b""
        if self._what.owners and self._type:
            left = without_owner(decode(text, self._encoding))
            text = encode(left.rstrip() + "\n\n\n", self._encoding)
        rank = self._rank(text)
        if rank is None:
            return text
        if self._what.dead_rows:
            text = _KEEPS_DEAD_ROWS.sub(b"", text, count=1)
        self._last.hold(rank, self._entry.owner, text)
        # What follows keeps its line number in the dump.
        return b"\n" * text.count(b"\n")

    def _is_of_extension(self) -> bool:
        name, kind, schema = (decode(part, self._encoding) for part in self._entry[:3])
        return any(extension.owns(kind, schema, name) for extension in self._what.extensions)

    def _is_of_types(self) -> bool:
        if self._type in self._what.types:
            return True
        is_attached = self._type in _NOTES or self._type in _RIGHTS
        return is_attached and self._entry.name.startswith(
            tuple(made + b" " for made in self._what.types)
        )

    def _rank(self, text: bytes) -> int | None:
        """Return the rank of an entry among those that come last, None for all others."""
        if self._type == b"TRIGGER":
            return None if _MAKES_TRIGGER.match(text) else 0
        for rank, made in enumerate(_LAST_TYPES, 1):
            if self._type == made:
                return rank
            if self._type in _NOTES and self._entry.name.startswith(made + b" "):
                return rank
        return None


class _Lines(_Filter, ABC):
    """A section whose lines can be processed independently."""

    def __init__(self, what: LeftOut, encoding: str, last: _Last, identities: Identities) -> None:
        super().__init__(what, encoding, last, identities)
        self._rest = b""

    def feed(self, block: bytes) -> Iterator[bytes]:
        lines, end, self._rest = (self._rest + block).rpartition(b"\n")
        if left := self._changed(lines + end):
            yield left

    def finish(self) -> Iterator[bytes]:
        yield self._changed(self._rest)

    @abstractmethod
    def _changed(self, lines: bytes) -> bytes:
        """Return what is sent to psql in place of *lines*."""


class _LargeObjects(_Lines):
    """The section of large objects: their bytes are too many to hold, and are in hex."""

    def _changed(self, lines: bytes) -> bytes:
        return _LARGE_OBJECT_OWNER.sub(b"", lines)


class _Sequences(_Lines):
    """The section of the sequences' values."""

    def _changed(self, lines: bytes) -> bytes:
        return self._identities.wide_values(lines)


def _filter_of(
    section: SectionName, what: LeftOut, encoding: str, last: _Last, identities: Identities
) -> _Filter | None:
    if section.kind in _DEFINITIONS:
        return _Filter(what, encoding, last, identities)
    if section.kind is SectionKind.SEQUENCES:
        # Entry by entry only if some are to be left out: there may be very many.
        if what.extensions:
            return _Filter(replace(what, owners=False), encoding, last, identities)
        return _Sequences(what, encoding, last, identities)
    if section.kind is SectionKind.LARGE_OBJECTS and what.owners:
        return _LargeObjects(what, encoding, last, identities)
    return None


def _are_in(ends: Collection[TableName], tables: frozenset[TableName]) -> bool:
    return len(ends) == 2 and tables.issuperset(ends)
