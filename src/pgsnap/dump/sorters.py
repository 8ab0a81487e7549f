"""Assigns the pieces of a dump to sections: one sorter for pg_dump's text, one for other SQL."""

from __future__ import annotations

import re
from typing import Protocol

from pgsnap.dump.entries import (
    BESIDE_RUN,
    DUMP_END,
    ENTRY,
    Entry,
    copied_table,
    decode,
    entry_kind,
    parse_entry,
)
from pgsnap.dump.lexer import Piece
from pgsnap.dump.tally import Tally
from pgsnap.dump.volatile import version_lines, volatile_kind
from pgsnap.dump.writer import SectionWriter
from pgsnap.errors import DumpIncomplete, UnusableInput
from pgsnap.limits import HELD_BYTES_MAX
from pgsnap.model import SectionKind, VolatileKind
from pgsnap.patterns import regex

_CLIENT_ENCODING = regex(
    rb"SET\s+(?:SESSION\s+)?client_encoding(?:\s*=\s*|\s+TO\s+)'?([\w-]+)", re.I
)
# SETs that pg_dump writes before the header of the entry that they apply to.
_LEADS_ENTRY = regex(
    rb"SET (?:default_tablespace|default_table_access_method|search_path) = |SET SESSION AUTH"
)
# What may come between the header of a table's rows and its COPY statement.
_ALTER_TABLE = regex(rb"\s*ALTER TABLE\s")
# What pg_restore --single-transaction writes before the SETs.
_BEGIN = regex(rb"(?:\s*BEGIN;)?\s*")
# What -c -C writes before the first entry.
_CHANGES_DATABASE = regex(rb"(?:DROP DATABASE|UPDATE pg_catalog\.pg_database|ALTER DATABASE)\s")
_VERSION = regex(rb"-- Dumped (from database|by pg_dump) version ([^\r\n]*)")


class Sorter(Protocol):
    """Assigns the pieces of a lexer to the sections of a writer."""

    client_encoding: str
    dump_version: str
    dumped_from: str
    has_meta_commands: bool
    tally: Tally

    @property
    def owners(self) -> tuple[str, ...]:
        """Return the owners named by entries, sorted."""

    def take(self, piece: Piece, data: bytes) -> None:
        """Sort the next piece."""

    def finish(self) -> None:
        """Pass on what was held back. Raises DumpIncomplete."""


class ForeignSorter:
    """For SQL that pg_dump did not write: COPY blocks, and what precedes and follows them."""

    def __init__(self, writer: SectionWriter) -> None:
        self._writer = writer
        self.client_encoding = ""
        self.dump_version = ""
        self.dumped_from = ""
        self.owners: tuple[str, ...] = ()
        self.has_meta_commands = False
        self.tally = Tally()

    def take(self, piece: Piece, data: bytes) -> None:
        writer = self._writer
        match piece:
            case Piece.COPY:
                self.has_meta_commands |= data.startswith(b"\\")
                writer.start(SectionKind.DATA, *copied_table(data, self.client_encoding))
                writer.head(data)
            case Piece.ROWS:
                writer.put(data)
            case Piece.ROWS_END:
                writer.begin_tail()
                writer.put(data)
            case _:
                self.has_meta_commands |= piece is Piece.META
                if piece is Piece.SETTING:
                    self.client_encoding = encoding_set(data) or self.client_encoding
                self._other(data)

    def _other(self, data: bytes) -> None:
        writer = self._writer
        if writer.name is None:
            writer.start(SectionKind.PRE_DATA)
        if writer.has_rows and not data.isspace():
            start = len(data) - len(data.lstrip())
            writer.put(data[:start])
            writer.start(SectionKind.POST_DATA)
            data = data[start:]
        writer.put(data)

    def finish(self) -> None:
        self._writer.close()


class DumpSorter:
    """For pg_dump's own text: sections by the headers of its entries, see `entry_kind`."""

    def __init__(self, writer: SectionWriter) -> None:
        self._writer = writer
        self.client_encoding = ""
        self.dump_version = ""
        self.dumped_from = ""
        self.has_meta_commands = False
        self.tally = Tally()
        self._owners: set[bytes] = set()
        self._in_preamble = True
        self._is_complete = False
        self._run = SectionKind.PRE_DATA
        # What is held until the next piece: SETs before a header, or the header of a table's rows
        # (then _entry is set) before the COPY statement.
        self._held: list[bytes] = []
        self._entry: Entry | None = None
        self._alters = False
        self._takers = {
            Piece.TEXT: self._text,
            Piece.COMMENT: self._comment,
            Piece.META: self._meta,
            Piece.SETTING: self._setting,
            Piece.COPY: self._copy,
            Piece.ROWS: writer.put,
            Piece.ROWS_END: self._rows_end,
        }
        writer.start(SectionKind.PREAMBLE)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(sorted(decode(owner, self.client_encoding) for owner in self._owners))

    def take(self, piece: Piece, data: bytes) -> None:
        if self._is_complete:
            self._after_end(piece, data)
        else:
            self._takers[piece](data)

    def finish(self) -> None:
        self._release()
        self._writer.close()
        if not self._is_complete:
            raise DumpIncomplete(
                "the dump has no end mark",
                detail="Its last lines should say: PostgreSQL database dump complete.",
                hint="Make the dump again; the disk may have been full, or pg_dump was stopped.",
            )
        kinds = [line.kind for line in self._writer.volatile]
        if kinds.count(VolatileKind.RESTRICT) != kinds.count(VolatileKind.UNRESTRICT):
            raise DumpIncomplete(
                "the dump does not end as it began",
                detail="The lines \\restrict and \\unrestrict are not in pairs.",
                hint="Make the dump again.",
            )

    # -- holding back ------------------------------------------------------------------------------

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        if sum(map(len, self._held)) > HELD_BYTES_MAX:
            self._release()

    def _release(self) -> None:
        """Pass on what was held: what it was waiting for did not come."""
        if not self._held:
            return
        held, entry = b"".join(self._held), self._entry
        self._held, self._entry, self._alters = [], None, False
        if entry:
            schema, name = (
                decode(part, self.client_encoding) for part in (entry.schema, entry.name)
            )
            self._writer.start(SectionKind.DATA, schema, name)
        self._writer.put(held)

    # -- the pieces --------------------------------------------------------------------------------

    def _text(self, data: bytes) -> None:
        self.tally.text(data)
        is_blank = data.isspace()
        if self._held:
            self._alters = self._alters or bool(self._entry and _ALTER_TABLE.match(data))
            if is_blank or self._alters:
                return self._hold(data)
            self._release()
        begin = _BEGIN.match(data) if self._in_preamble else None
        if begin and begin.end() < len(data):
            self._in_preamble = False
            self._writer.put(begin[0])
            data = data[begin.end() :]
            is_database = _CHANGES_DATABASE.match(data)
            self._writer.start(SectionKind.DATABASE if is_database else SectionKind.PRE_DATA)
        return self._writer.put(data)

    def _comment(self, data: bytes) -> None:
        header = ENTRY.search(data)
        end = None if header else DUMP_END.search(data)
        mark = header or end
        before = data[: mark.start()] if mark else data
        if before:
            self._comment_lines(before)
        if header:
            self._open_entry(header, data[header.start() :])
        elif end:
            self._release()
            self._writer.start(SectionKind.TRAILER)
            self._writer.put(data[end.start() :])
            self._is_complete = True

    def _comment_lines(self, data: bytes) -> None:
        if self._entry:
            return self._hold(data)
        self._release()
        if not self._in_preamble:
            return self._writer.put(data)
        # Not line by line: a file may begin with millions of them.
        start = 0
        for line in version_lines(data):
            self._writer.put(data[start : line.start()])
            self._note_version(line[0])
            self._writer.take_out(VolatileKind.VERSION, line[0])
            start = line.end()
        return self._writer.put(data[start:])

    def _note_version(self, line: bytes) -> None:
        if match := _VERSION.match(line):
            version = decode(match[2], self.client_encoding)
            if match[1] == b"by pg_dump":
                self.dump_version = version
            else:
                self.dumped_from = version

    def _open_entry(self, header: re.Match[bytes], data: bytes) -> None:
        if self._entry:
            self._release()
        entry = parse_entry(header)
        kind = entry_kind(entry, self._run)
        self.tally.entry(entry, kind)
        self._in_preamble = False
        if entry.owner:
            self._owners.add(entry.owner)
        if kind not in BESIDE_RUN:
            self._run = kind
        if kind is SectionKind.DATA:
            self._entry = entry
            return self._hold(data)
        if self._writer.kind is not kind:
            held, self._held = self._held, []
            self._writer.start(kind)
            self._held = held
        self._release()
        return self._writer.put(data)

    def _meta(self, data: bytes) -> None:
        self._release()
        kind = volatile_kind(data)
        in_database = self._writer.kind is SectionKind.DATABASE
        is_begin = kind is VolatileKind.RESTRICT and self._in_preamble
        is_reconnect = kind in (VolatileKind.RESTRICT, VolatileKind.UNRESTRICT) and in_database
        if kind and (is_begin or is_reconnect):
            return self._writer.take_out(kind, data)
        if not (in_database and data.startswith(b"\\connect ")):
            self.has_meta_commands = True
        return self._writer.put(data)

    def _setting(self, data: bytes) -> None:
        self.client_encoding = self.client_encoding or encoding_set(data)
        if self._entry or _LEADS_ENTRY.match(data):
            return self._hold(data)
        self._release()
        return self._writer.put(data)

    def _copy(self, data: bytes) -> None:
        self.has_meta_commands |= data.startswith(b"\\")
        if self._entry is None:
            self._release()
        head = b"".join([*self._held, data])
        self._held, self._entry, self._alters = [], None, False
        self._in_preamble = False
        self._run = SectionKind.DATA
        self._writer.start(SectionKind.DATA, *copied_table(data, self.client_encoding))
        self._writer.head(head)

    def _rows_end(self, data: bytes) -> None:
        self._writer.begin_tail()
        self._writer.put(data)

    def _after_end(self, piece: Piece, data: bytes) -> None:
        if piece is Piece.META and volatile_kind(data) is VolatileKind.UNRESTRICT:
            return self._writer.take_out(VolatileKind.UNRESTRICT, data)
        # A command without a line end was truncated: `finish` finds it unpaired.
        is_cut = piece is Piece.META and not data.endswith(b"\n")
        if piece is not Piece.COMMENT and not data.isspace() and not is_cut:
            raise UnusableInput(
                "something follows the end of the dump",
                detail="After its end mark stands"
                f" {data.split(maxsplit=1)[0][:40].decode('utf-8', 'backslashreplace')!r}.",
                hint="Commit the dump as pg_dump wrote it, one database in a file.",
            )
        return self._writer.put(data)


def encoding_set(setting: bytes) -> str:
    """Return the encoding to which a SET statement sets client_encoding, else ""."""
    match = _CLIENT_ENCODING.match(setting)
    return match[1].decode("ascii", "replace") if match else ""
