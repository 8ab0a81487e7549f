"""Tables in blocks: how they change, how they are stored as a whole, and by splicing."""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pgsnap.model import (
    BlockMap,
    ChangedBlocks,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
)
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_block_map
from pgsnap.repository.splicing.splicing import splice
from pgsnap.repository.splicing.watching import TextSink

NAME = SectionName(SectionKind.DATA, "public", "orders")
HEAD = b"--\n\nCOPY public.orders (id, text) FROM stdin;\n"
TAIL = b"\\.\n\n\n"


@dataclass
class BlockTable:
    """The rows of each block. *chance* decides on all that changes."""

    chance: random.Random
    blocks: list[list[bytes]] = field(default_factory=list)
    widths: Sequence[int] = (20, 60, 60, 200)
    next_id: int = 0

    def row(self) -> bytes:
        self.next_id += 1
        filler = self.chance.randbytes(self.chance.choice(self.widths) // 2).hex().encode()
        return b"%d\t%s\n" % (self.next_id, filler)

    def grow(self, blocks: int, rows: int = 40) -> list[int]:
        """Add blocks, and return their numbers."""
        first = len(self.blocks)
        self.blocks += [
            [self.row() for _ in range(self.chance.randrange(rows))] for _ in range(blocks)
        ]
        return list(range(first, len(self.blocks)))

    def update(self, numbers: Iterable[int]) -> list[int]:
        """Change something in these blocks, as updates and VACUUM do, and return them."""
        numbers = sorted(set(numbers))
        for number in numbers:
            rows = self.blocks[number]
            kind = self.chance.randrange(7)
            if kind == 0:
                rows.clear()
            elif kind == 1:
                rows += [self.row() for _ in range(self.chance.randrange(30))]
            elif kind == 2 and rows:
                del rows[self.chance.randrange(len(rows))]
            elif kind in (3, 4) and rows:
                place = self.chance.randrange(len(rows))
                row = rows.pop(place)
                rows.insert(self.chance.choice((place, len(rows))), row[:-3] + b"xy\n")
            elif kind == 5:
                rows.insert(0, self.row())
        return numbers

    @property
    def text(self) -> bytes:
        return HEAD + b"".join(row for rows in self.blocks for row in rows) + TAIL

    @property
    def block_map(self) -> BlockMap:
        return BlockMap(*_counts(self.blocks))

    def events(self) -> Iterator[SectionStart | bytes | SectionEnd]:
        yield SectionStart(NAME)
        text = self.text
        for start in range(0, len(text), 100_000):
            yield text[start : start + 100_000]
        ends = len(HEAD), HEAD.count(b"\n"), len(TAIL), TAIL.count(b"\n")
        yield SectionEnd(True, *ends, self.block_map)

    def changed(self, numbers: Sequence[int], at_once: int = 50) -> Iterator[ChangedBlocks]:
        """Yield these blocks as they are, *at_once* together."""
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            blocks = [self.blocks[number] for number in some]
            text = b"".join(row for rows in blocks for row in rows)
            yield ChangedBlocks(array("I", some), *_counts(blocks), text)


def _counts(blocks: Sequence[Sequence[bytes]]) -> tuple[bytes, bytes]:
    sizes = [sum(map(len, rows)) for rows in blocks]
    count = f"<{len(blocks)}I"
    return struct.pack(count, *sizes), struct.pack(count, *map(len, blocks))


def stored(repo: Repository, table: BlockTable) -> Section:
    """Store a table as a whole."""
    with Ingest(repo.chunk_store) as ingest:
        (section,) = list(ingest.store(table.events()))
    return section


def map_of(repo: Repository, section: Section) -> BlockMap:
    found = read_block_map(repo.chunks, section)
    assert found is not None
    return found


def spliced(
    repo: Repository,
    section: Section,
    changed: Iterable[ChangedBlocks],
    total_blocks: int,
    sink: TextSink | None = None,
) -> Section:
    """Store a table by splicing its former *section*."""
    with Ingest(repo.chunk_store) as ingest:
        return splice(ingest, section, map_of(repo, section), changed, total_blocks, sink)
