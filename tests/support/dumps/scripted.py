"""Scripted dumps: what a source yields, without PostgreSQL, and how tests read snapshots back."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pgsnap.model import (
    BlockMap,
    ChunkId,
    DumpEvent,
    Origin,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
    SnapshotId,
    SourceKind,
    VolatileLine,
)
from pgsnap.model.baseline import Baseline
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.sources.base import SourceResult
from pgsnap.sources.former import FormerOf

PREAMBLE = b"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n"
TRAILER = b"--\n-- PostgreSQL database dump complete\n--\n\n"
NO_ROWS = SectionEnd()
ORIGIN = Origin(kind=SourceKind.FILE, tool="pg_dump (PostgreSQL) 15.18", file_name="shop.sql")


@dataclass(frozen=True)
class Part:
    """One section of a scripted dump."""

    name: SectionName
    text: bytes
    end: SectionEnd = NO_ROWS

    @property
    def rows(self) -> int | None:
        if not self.end.is_copy:
            return None
        return self.text.count(b"\n") - self.end.head_lines - self.end.tail_lines


@dataclass(frozen=True)
class Dump:
    """A whole scripted dump."""

    parts: tuple[Part, ...]
    volatile: tuple[VolatileLine, ...] = ()
    origin: Origin = field(default=ORIGIN)
    baseline: Baseline | None = None

    @property
    def texts(self) -> list[tuple[SectionName, bytes]]:
        return [(part.name, part.text) for part in self.parts]


def text(kind: SectionKind, content: bytes, *, part: int = 0) -> Part:
    return Part(SectionName(kind, part=part), content)


def table(
    schema: str, name: str, rows: Sequence[bytes], *, part: int = 0, rows_in_block: int = 0
) -> Part:
    """Return the COPY section of a table; each of *rows* is without its line end. With
    *rows_in_block* it was read block by block, of as many rows each."""
    head = f"COPY {schema}.{name} (id, value) FROM stdin;\n".encode()
    tail = b"\\.\n\n\n"
    body = b"".join(row + b"\n" for row in rows)
    end = SectionEnd(
        is_copy=True,
        head_bytes=len(head),
        head_lines=1,
        tail_bytes=len(tail),
        tail_lines=tail.count(b"\n"),
        block_map=_block_map(rows, rows_in_block) if rows_in_block else None,
    )
    return Part(SectionName(SectionKind.DATA, schema, name, part), head + body + tail, end)


def _block_map(rows: Sequence[bytes], rows_in_block: int) -> BlockMap:
    blocks = [rows[at : at + rows_in_block] for at in range(0, len(rows), rows_in_block)]
    return BlockMap(
        struct.pack(f"<{len(blocks)}I", *(sum(len(row) + 1 for row in one) for one in blocks)),
        struct.pack(f"<{len(blocks)}I", *map(len, blocks)),
    )


def rows(count: int, *, seed: int = 1, width: int = 60) -> list[bytes]:
    """Return *count* rows that do not compress to nothing, the same for the same *seed*."""
    chance = random.Random(seed)
    return [
        b"%d\t%s" % (number, chance.randbytes(width // 2).hex().encode()) for number in range(count)
    ]


def dump(*tables: Part, globals_text: bytes | None = None) -> Dump:
    """Return a whole dump around *tables*."""
    parts = [
        text(SectionKind.PREAMBLE, PREAMBLE),
        text(SectionKind.PRE_DATA, b"CREATE TABLE t (id integer, value text);\n"),
        *tables,
        text(SectionKind.POST_DATA, b"CREATE INDEX i ON t (id);\n"),
        text(SectionKind.TRAILER, TRAILER),
    ]
    if globals_text is not None:
        parts.append(text(SectionKind.GLOBALS, globals_text))
    return Dump(tuple(parts))


def shop(count: int = 4000, *, seed: int = 1) -> Dump:
    """Return a dump of two tables, of several chunks each at 4,000 rows."""
    return dump(
        table("public", "users", rows(count, seed=seed, width=200)),
        table("public", "orders", rows(count // 2, seed=seed + 1, width=200)),
    )


class ScriptedSource:
    """A source that yields *dump* in blocks of *block_bytes*.

    With *fail_at* it raises *error* instead of its n-th event (from 0); -1: in `finish`.
    """

    def __init__(
        self,
        dump: Dump,
        *,
        block_bytes: int = 70_001,
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self._dump = dump
        self._block_bytes = block_bytes
        self._fail_at = fail_at
        self._error = error
        self.was_abandoned = False
        self.was_finished = False

    def open(self, former_of: FormerOf | None = None) -> Origin:
        return self._dump.origin

    def events(self) -> Iterator[DumpEvent]:
        for number, event in enumerate(self.all_events()):
            if number == self._fail_at and self._error is not None:
                raise self._error
            yield event

    def all_events(self) -> Iterator[DumpEvent]:
        for part in self._dump.parts:
            yield SectionStart(part.name)
            for start in range(0, len(part.text), self._block_bytes):
                yield part.text[start : start + self._block_bytes]
            yield part.end

    def finish(self) -> SourceResult:
        if self._fail_at == -1 and self._error is not None:
            raise self._error
        self.was_finished = True
        return SourceResult(self._dump.origin, self._dump.volatile, baseline=self._dump.baseline)

    def distrust(self) -> None:
        raise AssertionError("it is compared with no former snapshot")

    def abandon(self) -> None:
        self.was_abandoned = True


def all_chunks(repo: Repository, section: Section) -> set[ChunkId]:
    """Return the chunks of a section, its recipes' nodes too."""
    found: set[ChunkId] = set()

    def read(node: ChunkId) -> bytes:
        found.add(node)
        return repo.chunks.read(node)

    for segment in section.segments:
        found |= {entry.chunk for entry in walk(segment.recipe, read)}
    return found


def texts(repo: Repository, snapshot: SnapshotId) -> list[tuple[SectionName, bytes]]:
    """Return every section of a snapshot with its bytes, each chunk hashed on its way out."""
    found = []
    for section in repo.sections(repo.snapshot(snapshot)):
        chunks = [
            repo.chunks.read(entry.chunk)
            for segment in section.segments
            for entry in walk(segment.recipe, repo.chunks.read)
        ]
        found.append((section.name, b"".join(chunks)))
    return found
