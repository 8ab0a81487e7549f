"""Splits the blocks of a dump into its sections, on the fly, without changing a byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.entries import CLUSTER_BEGIN, DUMP_BEGIN
from pgsnap.dump.lexer import Lexer
from pgsnap.dump.sorters import DumpSorter, ForeignSorter, Sorter
from pgsnap.dump.summary import DumpSummary
from pgsnap.dump.writer import SectionWriter
from pgsnap.errors import DumpIncomplete, UnusableInput
from pgsnap.model import DumpEvent
from pgsnap.patterns import regex

# Enough to recognise the input's format: a tar header is 512 bytes.
_SNIFF_BYTES = 512
# How the output of other databases' tools begins.
_OTHER_DATABASE = regex(
    rb"\s*(?:/\*M!.*?\*/\s*)?-- (?P<mysql>MySQL|MariaDB|phpMyAdmin) (?:SQL )?[Dd]ump\b"
    rb"|PRAGMA foreign_keys=|SQLite format 3\0"
)
_ARCHIVE_HINT = "Make plain SQL of it: pg_restore -f - FILE | snap commit -m TEXT --file -"
_DAMAGED_HINT = "The file was damaged, perhaps by a crash: dump again, or take another copy of it."


class DumpReader:
    """Reads one dump. Its sections and volatile lines together yield exactly its bytes.

    Only what pg_dump itself wrote around its sections is trusted: a dump without pg_dump's first
    lines is split only at its COPY blocks, and none of its lines are volatile.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self._summary: DumpSummary | None = None

    @property
    def summary(self) -> DumpSummary:
        """Return what was found; only after `events` is exhausted."""
        if self._summary is None:
            raise RuntimeError("the dump was not read to its end")
        return self._summary

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections in the order of the text, bytes in events of at most 1 MiB.

        Raises DumpIncomplete for a dump that is empty or truncated, UnusableInput for anything but
        a plain SQL dump of one database. Sections yielded before an error must be discarded.
        """
        blocks = iter(self._blocks)
        first = read_ahead(blocks)
        _refuse_unusable(first)
        is_pg_dump = DUMP_BEGIN.match(first) is not None
        lexer, writer = Lexer(), SectionWriter()
        sorter: Sorter = DumpSorter(writer) if is_pg_dump else ForeignSorter(writer)
        for piece, data in lexer.feed(first):
            sorter.take(piece, data)
        yield from writer.drain()
        is_blank = first.isspace()
        for block in blocks:
            _refuse_nul(block, _DAMAGED_HINT)
            is_blank = is_blank and (not block or block.isspace())
            for piece, data in lexer.feed(block):
                sorter.take(piece, data)
            yield from writer.drain()
        for piece, data in lexer.finish():
            sorter.take(piece, data)
        refuse_cut(lexer, writer)
        if is_blank:
            raise DumpIncomplete("the dump is empty", detail="It holds nothing but white space.")
        sorter.finish()
        yield from writer.drain()
        self._summary = DumpSummary(
            is_pg_dump=is_pg_dump,
            dump_version=sorter.dump_version,
            dumped_from=sorter.dumped_from,
            owners=sorter.owners,
            client_encoding=sorter.client_encoding,
            has_meta_commands=sorter.has_meta_commands,
            volatile=tuple(writer.volatile),
            part=str(sorter.tally.part),
            lacks_rights=sorter.tally.lacks_rights,
        )


def read_ahead(blocks: Iterator[bytes]) -> bytes:
    """Return the first bytes, enough to recognise the input's format. Raises DumpIncomplete if
    there are none."""
    first = b""
    for block in blocks:
        first = first + block if first else block
        if len(first) >= _SNIFF_BYTES:
            break
    if not first:
        raise DumpIncomplete("the dump is empty", detail="There was not a single byte to read.")
    return first


def refuse_cut(lexer: Lexer, writer: SectionWriter) -> None:
    """Raise DumpIncomplete if the input ended inside a statement, string, comment or rows."""
    if lexer.inside:
        raise DumpIncomplete(
            f"the dump ends inside {lexer.inside}",
            detail=f"This is in its section {writer.name}." if writer.name else "",
            hint="Make the dump again; the disk may have been full, or pg_dump was stopped.",
        )


def _refuse_unusable(first: bytes) -> None:
    if first.startswith(b"PGDMP"):
        raise UnusableInput(
            "the input is an archive in pg_dump's custom format", hint=_ARCHIVE_HINT
        )
    if first.startswith(b"toc.dat\0") and first[257:262] == b"ustar":
        raise UnusableInput("the input is an archive in pg_dump's tar format", hint=_ARCHIVE_HINT)
    if CLUSTER_BEGIN.match(first):
        raise UnusableInput(
            "the input is a dump of a whole cluster",
            detail="A snapshot holds one database.",
            hint="Dump each database by itself: pg_dump DATABASE | snap commit -m TEXT --file -",
        )
    if other := _OTHER_DATABASE.match(first):
        name = "MySQL or MariaDB" if other["mysql"] else "SQLite"
        raise UnusableInput(
            f"the input is a dump of {name}",
            detail="Its SQL is not PostgreSQL's.",
            hint="Load it into PostgreSQL first (pgloader does), then commit that database.",
        )
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnusableInput(
            "the input is UTF-16 text",
            detail="PowerShell writes it so when output is redirected with >.",
            hint="Let pg_dump write the file: pg_dump -f FILE DATABASE",
        )
    if first.startswith(b"\xef\xbb\xbf"):
        raise UnusableInput(
            "the input begins with a byte order mark",
            hint="Leave it out: tail -c +4 FILE | snap commit -m TEXT --file -",
        )
    _refuse_nul(first, _ARCHIVE_HINT)


def _refuse_nul(block: bytes, hint: str) -> None:
    """Raise UnusableInput for NUL bytes: a crash of the machine may leave blocks of them in a file
    that is intact at both ends."""
    if b"\0" in block:
        raise UnusableInput(
            "the input is not text",
            detail="There are NUL bytes in it, which no plain dump holds.",
            hint=hint,
        )
