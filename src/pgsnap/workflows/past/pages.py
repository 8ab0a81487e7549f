"""Rows of a table of a snapshot, page by page, in the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgsnap.dump.definitions.copy_text import unescaped
from pgsnap.dump.entries import decode
from pgsnap.limits import KIB, MIB
from pgsnap.model import ChunkId, Section
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.stream import chunks_of, read_head
from pgsnap.rows.assembled import Field, LongField, LongRow, RowAssembly
from pgsnap.rows.matching import RowMatcher
from pgsnap.values import dataclass
from pgsnap.workflows.past.conditions import Condition, tests_of
from pgsnap.workflows.past.tables import PastTable, TablePart

VALUE_BYTES_MAX = 64 * KIB
_SEARCHED_BYTES = 64 * MIB
# What `decode` makes of bytes that are no character.
_BROKEN = "".join(map(chr, range(0xDC80, 0xDD00)))


@dataclass(frozen=True, slots=True)
class Value:
    """A value as text: all of it, or if not *is_whole* its beginning. *text* is None for NULL,
    *size* is that of the value in the dump's text, in bytes."""

    text: str | None
    size: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class PastRow:
    """A row: its *number* in the table (from 0) as it is stored, the partition it is in, and the
    values of *columns*."""

    number: int
    part: TablePart
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and from which number the next page begins; None at the end of the table.
    *is_full*: there are as many rows as were asked for. If it is not and there is more, the search
    was ended for now because so much was read."""

    rows: tuple[PastRow, ...]
    following: int | None
    is_full: bool


def page(
    table: PastTable,
    start: int = 0,
    limit: int = 50,
    conditions: Sequence[Condition] = (),
    *,
    value_bytes: int = VALUE_BYTES_MAX,
    searched_bytes: int | None = _SEARCHED_BYTES,
    progress: Progress = SILENT,
) -> Page:
    """Return at most *limit* rows that meet all *conditions*, from row number *start* on.

    A search ends once *searched_bytes* were read (None: never); values are shortened to about
    *value_bytes*. Raises CorruptionError, and UsageError for columns that the table lacks.
    """
    found: list[PastRow] = []
    read = 0
    number = 0
    for part in table.parts:
        rows = part.section.rows
        if rows is None or start >= number + rows:
            number += rows or 0
            continue
        columns = part.columns or ()
        types = [table.types.get(name, "") for name in columns] if conditions else []
        tests = tests_of(conditions, columns, types, table.encoding)
        matcher = RowMatcher(tests, len(columns))
        for first, block, size in _blocks(table, part.section, max(start - number, 0), progress):
            for place, fields in _found(matcher, first, block):
                values = tuple(value_of(field, table.encoding, value_bytes) for field in fields)
                found.append(PastRow(number + place, part, values))
                if len(found) == limit:
                    return Page(tuple(found), _next(table, number + place + 1), is_full=True)
            read += size
            if searched_bytes is not None and read > searched_bytes:
                after = number + first + (block.count(b"\n") if isinstance(block, bytes) else 1)
                return Page(tuple(found), _next(table, after), is_full=False)
        number += rows
    return Page(tuple(found), None, is_full=False)


def _next(table: PastTable, number: int) -> int | None:
    total = sum(part.section.rows or 0 for part in table.parts)
    return number if number < total else None


def _found(
    matcher: RowMatcher, first: int, block: bytes | LongRow
) -> Iterator[tuple[int, Sequence[Field]]]:
    """Yield the matching rows of a block, of which the first is number *first*."""
    if not isinstance(block, bytes):
        if matcher.matches(block):
            yield first, block
        return
    place = 0
    for start, stop in matcher.find(block):
        first += block.count(b"\n", place, start)
        place = start
        yield first, block[start:stop].split(b"\t")


def _blocks(
    table: PastTable, section: Section, start: int, progress: Progress
) -> Iterator[tuple[int, bytes | LongRow, int]]:
    """Yield the rows of a section from number *start* on, in blocks of complete ones: the number of
    the first, the rows, and how many bytes were read for them."""
    reader = table.repo.chunks
    end = section.plain_bytes - section.tail_bytes
    assembly = RowAssembly()
    number = start
    for (offset, lines), data in reader.read_ahead(_wanted(reader, section, start), exact=True):
        text = _after_lines(data[: max(end - offset, 0)], lines)
        for block in assembly.feed(text):
            yield number, block, len(data)
            number += block.count(b"\n") if isinstance(block, bytes) else 1
        progress.advance(len(data), str(section.name))
    for block in assembly.finish():
        yield number, block, 0


def _wanted(
    reader: ChunkReader, section: Section, start: int
) -> Iterator[tuple[tuple[int, int], ChunkId | None, int]]:
    """Yield the chunks from that on in which the line before row number *start* ends, each with its
    offset, and how many lines of it are to be skipped."""
    left = start + read_head(reader, section).count(b"\n")
    offset = 0
    for entry in chunks_of(reader, section):
        if left <= entry.lines:
            yield (offset, left), entry.chunk, entry.plain_bytes
            left = 0
        else:
            left -= entry.lines
        offset += entry.plain_bytes


def _after_lines(text: bytes, lines: int) -> bytes:
    """Return what follows the first *lines* lines of a text."""
    if not lines:
        return text
    import numpy as np

    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    return text[int(ends[lines - 1]) + 1 :]


def value_of(field: Field, encoding: str, value_bytes: int = VALUE_BYTES_MAX) -> Value:
    """Return the value of a field of COPY text, shortened to about *value_bytes*."""
    if isinstance(field, LongField):
        size, held = field.size, field.head
    else:
        size, held = len(field), field
    if size <= value_bytes and size == len(held):
        whole = unescaped(held)
        return Value(None if whole is None else decode(whole, encoding), size)
    # The cut may be inside an escape, or a character.
    shown = decode(unescaped(held[:value_bytes].rstrip(b"\\")) or b"", encoding)
    return Value(shown.rstrip(_BROKEN), size, is_whole=False)
