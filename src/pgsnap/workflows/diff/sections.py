"""Compares two versions of a table's rows: chunks that both share are not read, the rows of the
others are compared one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import Protocol, TypeAlias

from pgsnap.limits import CHUNK_BYTES_MIN
from pgsnap.model import ChunkId, Section
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.chunks.stream import chunks_of
from pgsnap.workflows.diff.recipe_steps import Placed, Step, steps

BEFORE, AFTER = 0, 1

# Chunks that one row may span: PostgreSQL's rows are limited to 1 GiB, their text to 2 GiB.
_CHUNKS_OF_A_ROW = 2 * 1024**3 // CHUNK_BYTES_MIN

_Marks: TypeAlias = "Iterator[tuple[tuple[Step, bool], ChunkId | None, int]]"
"""Each step and whether its chunk is common, with what is read of it."""


class RowSink(Protocol):
    """Takes the rows of both sides, as `RowDifference` does."""

    def feed(self, side: int, block: bytes) -> None:
        """Add the next bytes of the rows of one side."""

    def is_in_row(self, side: int) -> bool:
        """Return whether the last row of a side still lacks its line end."""


def within_rows(section: Section, offset: int, data: bytes) -> bytes:
    """Return the part of *data*, at *offset* in its section, that holds rows."""
    first, last = _row_bounds(section, offset, len(data))
    return data if (first, last) == (0, len(data)) else data[first:last]


def _row_bounds(section: Section, offset: int, size: int) -> tuple[int, int]:
    end = section.plain_bytes - section.tail_bytes
    return (
        min(max(section.head_bytes - offset, 0), size),
        min(max(end - offset, 0), size),
    )


class SectionPair:
    """Passes to *rows* the rows of two sections that are not in chunks of both.

    A row is never passed in part: if a common chunk begins or ends inside a row, it is read too.
    Either section may be None.

    With *only* nothing is read for the other side; the chunks *forced* are passed, common or not.
    It ends early once *until* returns true, which is asked at each chunk. *passing* is the chunk
    whose bytes the sink is given.
    """

    def __init__(
        self,
        chunks: ChunkStore,
        before: Section | None,
        after: Section | None,
        rows: RowSink,
        progress: Progress = SILENT,
        *,
        only: int | None = None,
        forced: Collection[ChunkId] = (),
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = chunks.reader
        self._sections = before, after
        self._rows = rows
        self._progress = progress
        self._only = only
        self._forced = forced
        self._until = until
        self.passing: Placed | None = None
        # The common chunk that was passed last, if it was read.
        self._last = b""
        self.read_bytes = 0

    def compare(self) -> None:
        """Compare the two sections. Raises CorruptionError."""
        before, after = self._sections
        passed: deque[Step] = deque(maxlen=_CHUNKS_OF_A_ROW)
        in_difference = False
        found = steps(chunks_of(self._reader, before), chunks_of(self._reader, after))
        with closing(self._reader.read_ahead(self._wanted(found), exact=True)) as parts:
            for (step, is_common), data in parts:
                if not is_common:
                    if not in_difference:
                        self._begin(passed)
                        passed.clear()
                        in_difference = True
                    self._feed(step, data)
                elif in_difference and (any(map(self._rows.is_in_row, (BEFORE, AFTER)))):
                    self._feed(step, data or self._read(step))
                else:
                    in_difference = False
                    passed.append(step)
                    self._last = data
                if self._until():
                    return

    def _wanted(self, found: Iterator[Step]) -> _Marks:
        """Yield what is read: the chunks that differ, and the common one before them."""
        last: Step | None = None
        for step in found if self._only is None else self._of_one(found, self._only):
            before, after = step.before, step.after
            if before is not None and after is not None:
                if self._bounds(BEFORE, before) == self._bounds(AFTER, after):
                    if last is not None:
                        yield (last, True), None, 0
                    last = step
                    continue
                # The same bytes are rows on one side only: never in pg_dump's text.
                differing = [Step(before, None), Step(None, after)]
            else:
                differing = [step]
            if last is not None:
                yield _wanted(last, is_common=True)
                last = None
            for one in differing:
                yield _wanted(one, is_common=False)
        if last is not None:
            yield (last, True), None, 0

    def _of_one(self, found: Iterator[Step], side: int) -> Iterator[Step]:
        """Yield the steps of one side. A common chunk that has another one before it than on the
        other side may complete another row: it counts as different."""
        is_moved = False
        for step in found:
            placed = (step.before, step.after)[side]
            if None in (step.before, step.after):
                is_moved = True
                if placed is not None:
                    yield step
                continue
            assert placed is not None
            if is_moved or placed.entry.chunk in self._forced:
                yield Step(placed, None) if side == BEFORE else Step(None, placed)
            else:
                yield step
            is_moved = False

    def _bounds(self, side: int, placed: Placed) -> tuple[int, int]:
        section = self._sections[side]
        assert section is not None
        return _row_bounds(section, placed.offset, placed.entry.plain_bytes)

    def _begin(self, passed: deque[Step]) -> None:
        """Feed the chunks of both sides that hold the beginning of the row that a difference
        begins in.

        Only a chunk's own end says whether it is cut inside a row: such a cut may be an earlier
        version's, kept where the row is short by now.
        """
        begun: list[tuple[Step, bytes]] = []
        data = self._last
        while passed and not (data := data or self._read(passed[-1])).endswith(b"\n"):
            begun.append((passed.pop(), data))
            data = b""
        for step, text in reversed(begun):
            self._feed(step, text)

    def _read(self, step: Step) -> bytes:
        placed = step.before or step.after
        assert placed is not None
        return self._reader.read(placed.entry.chunk)

    def _feed(self, step: Step, data: bytes) -> None:
        self.read_bytes += len(data)
        for side, placed in ((BEFORE, step.before), (AFTER, step.after)):
            section = self._sections[side]
            if placed is not None and section is not None:
                self.passing = placed
                self._rows.feed(side, within_rows(section, placed.offset, data))
        name = next(str(section.name) for section in self._sections if section is not None)
        self._progress.advance(len(data), name)


def _wanted(step: Step, *, is_common: bool) -> tuple[tuple[Step, bool], ChunkId, int]:
    placed = step.before or step.after
    assert placed is not None
    return (step, is_common), placed.entry.chunk, placed.entry.plain_bytes
