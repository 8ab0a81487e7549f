"""Whole tables and lists of blocks, read by several readers at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence

from pgsnap.errors import DumpFailed
from pgsnap.limits import DIRECT_PIECE_BYTES
from pgsnap.model import BlockMap, ChangedBlocks
from pgsnap.sources.direct import statements
from pgsnap.sources.direct.counting import BlockCounter, FewBlocksCounter
from pgsnap.sources.direct.readers import Answer, Readers, Request
from pgsnap.sources.direct.tables import Table

# A range of blocks that is read by one statement: 2 MiB of a table. Larger ones leave a reader
# without work at the end of a table; 16 blocks cost a quarter more (each statement is planned).
SEGMENT_BLOCKS = 256
# How many blocks one statement lists: some 5 MB of text, which a reader can hold ahead.
_LIST_BLOCKS = 512


class TableRows:
    """The rows of *table*: iterate it for their text; then *block_map* is what its blocks hold, if
    that was asked for and the table is read by blocks."""

    def __init__(self, table: Table, answers: _Ahead, *, with_map: bool) -> None:
        self.table = table
        self.block_map: BlockMap | None = None
        self._answers = answers
        self._with_map = with_map and not table.condition

    def __iter__(self) -> Iterator[bytes]:
        byte_counts, row_counts = [], []
        while (answer := self._answers.of(self.table)) is not None:
            yield from answer
            if answer.counter is not None:
                byte_counts.append(answer.counter.byte_counts)
                row_counts.append(answer.counter.row_counts)
        if self._with_map:
            self.block_map = BlockMap(b"".join(byte_counts), b"".join(row_counts))


def read_tables(
    readers: Readers, tables: Sequence[Table], blocks: Mapping[int, int], *, with_maps: bool
) -> Iterator[TableRows]:
    """Yield the rows of each table, to be iterated before the next is taken; *blocks* is the number
    of blocks of each, by OID. Raises DumpFailed, ConnectionFailed, Interrupted."""
    answers = _Ahead(readers.answers(_requests(tables, blocks, with_maps=with_maps)))
    for table in tables:
        yield TableRows(table, answers, with_map=with_maps)
    answers.finish()


def read_blocks(readers: Readers, table: Table, blocks: array[int]) -> Iterator[ChangedBlocks]:
    """Yield the rows of these *blocks* of a table, which ascend, in pieces of at most
    DIRECT_PIECE_BYTES or one block. Raises DumpFailed, ConnectionFailed, Interrupted."""
    if not blocks:
        return
    plan = readers.plan(statements.list_query(table, blocks[:_LIST_BLOCKS]))
    if not statements.reads_blocks_alone(plan):
        raise DumpFailed(
            f"single blocks of {table} cannot be read",
            detail=f"The server would read more than these:\n{plan}",
        )
    requests = (
        Request(
            table,
            statements.rows_of_list(table, some),
            statements.counts_of_list(table, some),
            blocks=some,
        )
        for first in range(0, len(blocks), _LIST_BLOCKS)
        for some in (blocks[first : first + _LIST_BLOCKS],)
    )
    for answer in readers.answers(requests):
        yield from _pieces(answer)


def _requests(
    tables: Sequence[Table], blocks: Mapping[int, int], *, with_maps: bool
) -> Iterator[Request]:
    for table in tables:
        end = blocks[table.oid]
        if table.condition:
            reset = "".join(f"RESET {name};\n" for name in statements.PLANNERS_OWN)
            yield Request(table, statements.rows_by_condition(table), before=reset.encode())
            continue
        # A table without blocks has no rows in the snapshot: it was locked before these were
        # counted.
        for first in range(0, end, SEGMENT_BLOCKS):
            last = min(first + SEGMENT_BLOCKS, end)
            counts = statements.counts_of_range(table, first, last) if with_maps else b""
            yield Request(table, statements.rows_of_range(table, first, last), counts)


def _pieces(answer: Answer) -> Iterator[ChangedBlocks]:
    request, held = answer.request, bytearray()
    assert request.blocks is not None
    counter: BlockCounter | FewBlocksCounter | None = None
    # How many blocks were passed on, and the bytes of them.
    passed = passed_bytes = 0
    for piece in answer:
        counter = counter or answer.counter
        assert counter is not None
        held += piece
        counter.add(piece)
        blocks, end = counter.settled()
        if len(held) >= DIRECT_PIECE_BYTES and blocks > passed:
            yield _cut(request.blocks, counter, passed, blocks, bytes(held[: end - passed_bytes]))
            del held[: end - passed_bytes]
            passed, passed_bytes = blocks, end
    counter = counter or answer.counter
    assert counter is not None
    counter.finish(str(request.table))
    if passed < len(request.blocks):
        yield _cut(request.blocks, counter, passed, len(request.blocks), bytes(held))


def _cut(
    blocks: array[int], counter: BlockCounter | FewBlocksCounter, first: int, end: int, text: bytes
) -> ChangedBlocks:
    return ChangedBlocks(
        blocks[first:end],
        counter.byte_counts[4 * first : 4 * end],
        counter.row_counts[4 * first : 4 * end],
        text,
    )


class _Ahead:
    """The answers to the requests for several tables, of which the next can be looked at."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self._answers = answers
        self._next: Answer | None = None
        self._is_started = False

    def of(self, table: Table) -> Answer | None:
        """Return the next answer if it is for *table*."""
        if self._next is None:
            self._next = next(self._answers, None)
        if self._next is None or self._next.request.table is not table:
            return None
        answer, self._next = self._next, None
        return answer

    def finish(self) -> None:
        """End what read them."""
        assert self._next is None
        assert next(self._answers, None) is None
