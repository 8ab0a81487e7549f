"""The streaming side of a diff: a dump that is chunked and hashed, but not stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from blake3 import blake3

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.lexer import Lexer, Piece
from pgsnap.limits import CHUNK_BYTES_MIN, HELD_BYTES_MAX, MIB
from pgsnap.model import (
    RecipeEntry,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
    same_text,
)
from pgsnap.progress import Progress
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.chunks.stream import chunks_of
from pgsnap.repository.sections.leaf_lists import leaf_digester
from pgsnap.sources.base import Source, dump_events, reading
from pgsnap.workflows.diff.report import TableName, Version
from pgsnap.workflows.diff.sections import AFTER, BEFORE, within_rows

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowDifference

_KEPT_KINDS = frozenset(
    {
        SectionKind.PRE_DATA,
        SectionKind.POST_DATA,
        SectionKind.SEQUENCES,
        SectionKind.EXTENSION_SEQUENCES,
    }
)
# How many chunks of the snapshot are searched for the next chunk of the dump.
_LOOKED_AHEAD = 20_000
# How far the dump may run ahead before the snapshot's next chunk is read: this keeps the sides in
# step where every chunk differs, which makes comparing them many times faster.
_ALONE_BYTES = MIB // 2

OpenRows = Callable[[TableName, "tuple[str, ...] | None"], "RowDifference | None"]
"""Returns the consumer of a table's rows, or None if they are not needed. The second argument is
the columns of the second side, None if unknown."""


def read_source(
    chunks: ChunkStore, before: Version, source: Source, open_rows: OpenRows, progress: Progress
) -> tuple[Version, int]:
    """Read a dump to its end, and pass the rows of both sides that are not in common chunks to what
    *open_rows* returns. Returns the dump as a version, and the number of bytes of rows that were
    compared one by one. Raises what the source raises."""
    chunker = chunks.chunker()
    sections: dict[SectionName, Section] = {}
    texts: dict[SectionName, bytes] = {}
    passing: _PassingSection | None = None
    read_bytes = 0
    with reading(source):
        progress.phase("diff")
        for event in dump_events(source):
            if isinstance(event, SectionStart):
                chunker.reset()
                passing = _PassingSection(chunks.reader, event.name, before, open_rows)
            elif passing is None:
                raise AssertionError("a dump's bytes come before its first section")
            elif isinstance(event, SectionEnd):
                passing.take([chunk.data for chunk in chunker.finish()])
                section = passing.end(event)
                known = before.sections.get(section.name)
                if known is not None and _is_same(section, known):
                    # Held once: of 200,000 tables nearly all are the same.
                    sections[known.name] = known
                else:
                    sections[section.name], texts[section.name] = section, passing.text()
                read_bytes += passing.read_bytes
                passing = None
            else:
                passing.hash(event)
                passing.take([chunk.data for chunk in chunker.feed(event)])
                progress.advance(len(event), str(passing.name))
        origin = source.finish().origin

    def read(section: Section) -> bytes:
        text = texts.get(section.name)
        return before.read(section) if text is None else text

    return Version(None, None, origin, sections, read), read_bytes


def _is_same(section: Section, known: Section) -> bool:
    """Return whether a section of the dump is the *known* one of the snapshot."""
    return bool(same_text(section, known)) and (
        (section.lines, section.rows, section.head_bytes, section.tail_bytes)
        == (known.lines, known.rows, known.head_bytes, known.tail_bytes)
    )


class _PassingSection:
    """One section of the dump, compared with that of the snapshot as it streams.

    A common chunk is skipped if each side is between two rows before and after it.
    """

    def __init__(
        self, reader: ChunkReader, name: SectionName, before: Version, open_rows: OpenRows
    ) -> None:
        self.name = name
        self.read_bytes = 0
        self._reader = reader
        self._before = before.sections.get(name)
        self._encoding = before.origin.client_encoding
        self._open_rows = open_rows
        self._hasher = blake3()
        # Only if there is no other digest to compare with.
        needs_leaves = self._before is not None and self._before.digest is None
        self._leaves = leaf_digester() if needs_leaves else None
        self._size = self._lines = 0
        self._kept: list[bytes] = []
        self._rows: RowDifference | None = None
        self._columns: tuple[str, ...] | None = None
        # Whether the COPY statement was looked for, and whether rows are still to be compared.
        self._is_open = False
        self._is_wanted = False
        # Waiting chunks: the first ones for the end of the COPY statement, the last ones because
        # the end of the rows is known only at the end of the section.
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._taken = 0
        self._alone_bytes = 0
        self._head_bytes = 0
        self._lookahead = _Lookahead(reader, self._before)

    def hash(self, block: bytes) -> None:
        self._hasher.update(block)
        if self._leaves is not None:
            self._leaves.update(block)
        self._size += len(block)
        self._lines += block.count(b"\n")
        if self.name.kind in _KEPT_KINDS:
            self._kept.append(block)

    def take(self, chunks: list[bytes]) -> None:
        """Take the next chunks of the section."""
        if self.name.kind is not SectionKind.DATA:
            return
        for chunk in chunks:
            self._waiting.append(chunk)
            self._waiting_bytes += len(chunk)
        if not self._is_open and self._waiting_bytes > HELD_BYTES_MAX:
            self._open()
        while self._is_open and self._waiting_bytes - len(self._waiting[0]) >= CHUNK_BYTES_MIN:
            self._compare(self._next(), None)

    def end(self, event: SectionEnd) -> Section:
        """Return the section."""
        rows = None
        if event.is_copy:
            rows = self._lines - event.head_lines - event.tail_lines
        section = Section(
            name=self.name,
            plain_bytes=self._size,
            lines=self._lines,
            digest=self._hasher.digest(),
            segments=(),
            rows=rows,
            head_bytes=event.head_bytes,
            tail_bytes=event.tail_bytes,
            leaf_digest=self._leaves.finish()[0] if self._leaves is not None else None,
        )
        if self._waiting and not self._is_open:
            self._open()
        while self._waiting:
            self._compare(self._next(), section)
        while self._is_wanted and (rest := self._lookahead.rest()):
            for offset, entry in rest:
                if self._wants_rows():
                    self._feed_before(offset, self._reader.read(entry.chunk))
        return section

    def text(self) -> bytes:
        """Return the section's text, of rows nothing."""
        return b"".join(self._kept)

    def _open(self) -> None:
        """Look for the end of the COPY statement."""
        self._is_open = True
        text = b"".join(self._waiting)
        head = 0
        lexer = Lexer()
        for piece, data in (*lexer.feed(text), *lexer.finish()):
            head += len(data)
            if piece is Piece.COPY:
                self._head_bytes = head
                self._columns = copied_columns(text[:head], self._encoding)
                self._is_wanted = self._before is None or self._before.rows is not None
                return

    def _wants_rows(self) -> bool:
        """Get the consumer of the rows, only if some differ."""
        if self._is_wanted and self._rows is None:
            self._rows = self._open_rows((self.name.schema, self.name.name), self._columns)
            self._is_wanted = self._rows is not None
        return self._is_wanted

    def _next(self) -> bytes:
        chunk = self._waiting.popleft()
        self._waiting_bytes -= len(chunk)
        return chunk

    def _compare(self, chunk: bytes, section: Section | None) -> None:
        """Compare a chunk; *section* is known once its end was reached."""
        offset, self._taken = self._taken, self._taken + len(chunk)
        if not self._is_wanted:
            return
        common = self._lookahead.find(self._reader.scheme.naming.name(chunk))
        if common is not None and (common[-1][0] == 0) == (offset == 0):
            for place, entry in common[:-1]:
                if not self._wants_rows():
                    return
                self._feed_before(place, self._reader.read(entry.chunk))
            self._lookahead.pass_by(len(common))
            self._alone_bytes = 0
            if not self._is_in_row() and chunk.endswith(b"\n"):
                return
            if self._wants_rows():
                self._feed_before(common[-1][0], chunk)
        first = min(max(self._head_bytes - offset, 0), len(chunk))
        last = len(chunk)
        if section is not None:
            last = min(max(section.plain_bytes - section.tail_bytes - offset, 0), last)
        if self._wants_rows() and self._rows is not None:
            self.read_bytes += len(chunk)
            self._rows.feed(AFTER, chunk[first:last])
            self._alone_bytes += len(chunk)
            while self._alone_bytes > _ALONE_BYTES and (coming := self._lookahead.first()):
                self._alone_bytes -= coming[1].plain_bytes
                self._feed_before(coming[0], self._reader.read(coming[1].chunk))

    def _is_in_row(self) -> bool:
        rows = self._rows
        return rows is not None and (rows.is_in_row(BEFORE) or rows.is_in_row(AFTER))

    def _feed_before(self, offset: int, data: bytes) -> None:
        assert self._before is not None
        assert self._rows is not None
        self.read_bytes += len(data)
        self._rows.feed(BEFORE, within_rows(self._before, offset, data))


class _Lookahead:
    """The upcoming chunks of a section of the snapshot, each with its offset."""

    def __init__(self, reader: ChunkReader, section: Section | None) -> None:
        self._entries = chunks_of(reader, section)
        self._coming: deque[tuple[int, RecipeEntry]] = deque()
        self._numbers: dict[bytes, int] = {}
        self._passed = 0
        self._offset = 0

    def find(self, chunk: bytes) -> list[tuple[int, RecipeEntry]] | None:
        """Return the chunks up to the next one with this name, None if there is none nearby."""
        self._fill()
        number = self._numbers.get(chunk)
        if number is None:
            return None
        return [self._coming[i] for i in range(number - self._passed + 1)]

    def pass_by(self, count: int) -> None:
        for _ in range(count):
            _, entry = self._coming.popleft()
            if self._numbers.get(entry.chunk) == self._passed:
                del self._numbers[entry.chunk]
            self._passed += 1

    def first(self) -> tuple[int, RecipeEntry] | None:
        """Take the next chunk, None if there is none."""
        self._fill()
        if not self._coming:
            return None
        coming = self._coming[0]
        self.pass_by(1)
        return coming

    def rest(self) -> list[tuple[int, RecipeEntry]]:
        """Return upcoming chunks, as many as are held; call it until it returns none."""
        self._fill()
        found = list(self._coming)
        self.pass_by(len(found))
        return found

    def _fill(self) -> None:
        while len(self._coming) < _LOOKED_AHEAD:
            entry = next(self._entries, None)
            if entry is None:
                return
            # The nearest of several with the same name.
            self._numbers.setdefault(entry.chunk, self._passed + len(self._coming))
            self._coming.append((self._offset, entry))
            self._offset += entry.plain_bytes
