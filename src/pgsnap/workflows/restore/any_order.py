"""The rows of one table, for several psql to load at once: whichever is ready takes the next block.

So their order is not kept. Each part is a COPY in a transaction of its own; none may empty the
table first, so no rows are frozen. A part ends only after the end of the section was reached, and
so all of it was found to be what the snapshot says; whatever fails before makes all parts fail.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from pgsnap.errors import CorruptionError, RestoreFailed
from pgsnap.model import DumpEvent, Section, SectionStart
from pgsnap.targets.load.feeder import Expected
from pgsnap.targets.load.workers import Task

_ROWS_END = b"\\.\n"


class SharedRows:
    """The rows of *section*, whose *events* are read once."""

    def __init__(self, section: Section, events: Iterable[DumpEvent]) -> None:
        self._section = section
        # Guards everything below. Whoever takes a part of a row has it until the end of that row.
        self._lock = threading.Lock()
        self._head = b""
        self._blocks = self._read(events)
        self._failure: BaseException | None = None

    def task(self) -> Task:
        """Return the task of one psql, which loads as many of the rows as it gets: none, where
        others have taken all of them before it began."""
        expected: list[Expected] = []
        return Task(partial(self._part, expected), expected)

    def _part(self, expected: list[Expected]) -> Iterator[DumpEvent]:
        rows, is_begun = 0, False
        while True:
            with self._turn():
                block = next(self._blocks, None)
                if block is None:
                    break
                if not is_begun:
                    is_begun = True
                    yield SectionStart(self._section.name)
                    yield self._head
                while not block.endswith(b"\n"):
                    yield block
                    block = next(self._blocks, b"\n")
            rows += block.count(b"\n")
            yield block
        if is_begun:
            yield _ROWS_END
            expected.append(Expected(self._section.name, rows))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep the other parts from taking anything meanwhile; for ever if it fails."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                yield
            except GeneratorExit:
                self._failure = RestoreFailed("the load was stopped")
                raise
            except BaseException as error:
                self._failure = error
                raise

    def _read(self, events: Iterable[DumpEvent]) -> Iterator[bytes]:
        """Yield the rows. A block ends with a row, or is a piece of one row without its end. Raises
        CorruptionError, at the latest at the end, if they are not what the snapshot says."""
        section = self._section
        head_left = section.head_bytes
        rows_left = section.plain_bytes - head_left - section.tail_bytes
        begun, tail, rows = b"", b"", 0
        for event in events:
            if not isinstance(event, bytes):
                continue
            self._head += event[:head_left]
            text = event[head_left:]
            head_left -= len(event) - len(text)
            tail += text[rows_left:]
            text = text[:rows_left]
            rows_left -= len(text)
            end = text.rfind(b"\n") + 1
            if begun and text:
                # Joined to what ends the row; else it is a piece of a row that is longer still.
                text, begun, end = begun + text, b"", end and end + len(begun)
            if end:
                begun = text[end:]
                rows += text.count(b"\n")
                yield text[:end]
            elif text:
                yield text
        if begun or rows_left or rows != section.rows or not tail.startswith(_ROWS_END):
            raise CorruptionError(f"{section.name} does not have the rows that it should have")
