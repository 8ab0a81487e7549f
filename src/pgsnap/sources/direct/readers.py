"""Several psql that read rows of one snapshot; what they read is passed on in order.

Requests are handed out from one queue. What a reader has read ahead is held until its turn, a few
MiB of each; then its pipe is full, and it waits.
"""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from pgsnap import interrupts
from pgsnap.errors import DumpFailed, Interrupted, SnapError, SourceError
from pgsnap.interrupts import Stopped
from pgsnap.limits import DIRECT_AHEAD, DIRECT_BYTES_HELD
from pgsnap.sessions.server import Server
from pgsnap.sources.direct.counting import BlockCounter, FewBlocksCounter, block_counter
from pgsnap.sources.direct.psql import RowsPsql
from pgsnap.sources.direct.tables import Table
from pgsnap.values import dataclass

_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """Statements for a part of *table*: rows, and (unless empty) the counts of its blocks. Where
    *blocks* lists them, the counter is left to the reader of the answer."""

    table: Table
    rows: bytes
    counts: bytes = b""
    before: bytes = b""
    blocks: array[int] | None = None


class Answer:
    """What a request brings: iterate it for the text of its rows, then look at *counter*."""

    def __init__(self, request: Request, change: threading.Condition) -> None:
        self.request = request
        self.counter: BlockCounter | FewBlocksCounter | None = None
        self._change = change
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._is_done = False
        self._error: SnapError | None = None

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._next()) is not None:
            yield piece

    def _next(self) -> bytes | None:
        with self._change:
            while not (self._pieces or self._is_done or self._error):
                self._change.wait(_WAIT_SECONDS)
                interrupts.check()
            if self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                self._change.notify_all()
                return piece
            if self._error:
                raise self._error
            return None

    # -- called by the thread of its reader ----------------------------------------------------

    def put(self, piece: bytes) -> None:
        """Add a piece, when there is room for it. Raises Interrupted."""
        if self.counter is not None and self.request.blocks is None:
            self.counter.add(piece)
        with self._change:
            while self._held >= DIRECT_BYTES_HELD and not self._error:
                self._change.wait()
            if self._error:
                raise self._error
            self._pieces.append(piece)
            self._held += len(piece)
            self._change.notify_all()

    def finish(self) -> None:
        """Mark it as complete. Raises DumpFailed if its rows do not fit its counts."""
        if self.counter is not None and self.request.blocks is None:
            self.counter.finish(str(self.request.table))
        with self._change:
            self._is_done = True
            self._change.notify_all()

    def fail(self, error: SnapError) -> None:
        """Let whoever reads it fail; *change* is held."""
        if not self._is_done:
            self._error = self._error or error


class Readers:
    """Up to *jobs* connections to *database* that read within the snapshot *snapshot_name*, which
    its owner holds until `lock` has returned. `stop` may be called from any thread, and twice."""

    def __init__(
        self,
        server: Server,
        database: str,
        snapshot_name: str,
        jobs: int,
        *,
        encoding: str,
        lock_wait_seconds: float,
    ) -> None:
        """Start them; they connect meanwhile. Raises ToolMissing, ConnectionFailed."""
        self._server = server
        self._application = f"snap rows {os.urandom(8).hex()}"
        self._change = threading.Condition()
        self._failure: SnapError | None = None
        self._threads: list[threading.Thread] = []
        self._open: list[Answer] = []
        self._psqls: list[RowsPsql] = []
        with interrupts.undone_by(self.stop):
            for _ in range(jobs):
                self._psqls.append(
                    RowsPsql(
                        server,
                        database,
                        snapshot_name,
                        application=self._application,
                        encoding=encoding,
                        lock_wait_seconds=lock_wait_seconds,
                    )
                )

    def __len__(self) -> int:
        return len(self._psqls)

    def lock(self, tables: Sequence[Table]) -> None:
        """Enter the snapshot and lock *tables*, without waiting, in each of them: a session that
        waits to rewrite a table must not queue between two of our locks, where no one would detect
        the deadlock. Those that cannot are given up. Raises DumpFailed, ConnectionFailed if all
        of them must be."""
        names = b", ".join(b"ONLY " + table.qualified for table in tables)
        statements = [b"LOCK TABLE " + names + b" IN ACCESS SHARE MODE NOWAIT"] if names else []
        left = []
        failure: SourceError | None = None
        for psql in self._psqls:
            try:
                psql.begin(*statements)
                left.append(psql)
            except SourceError as error:
                failure = failure or error
                psql.kill()
        self._psqls = left
        if not left:
            assert failure is not None
            raise failure

    def backend_pids(self) -> list[str]:
        """Return the process IDs of their backends. Raises DumpFailed, ConnectionFailed."""
        return [
            self._value(psql, b"COPY (SELECT pg_catalog.pg_backend_pid()) TO STDOUT").strip()
            for psql in self._psqls
        ]

    def plan(self, query: bytes) -> str:
        """Return the server's plan of a query, as JSON. Raises DumpFailed, ConnectionFailed."""
        return self._value(self._psqls[0], b"EXPLAIN (COSTS OFF, FORMAT JSON) " + query)

    def answers(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield the answers to *requests*, in order; each is to be read to its end before the next
        is taken. Raises DumpFailed, ConnectionFailed, Interrupted."""
        source = iter(requests)
        waiting: deque[Answer] = deque()
        state = _Queue(source, waiting)
        self._threads = [
            threading.Thread(target=self._read, args=(psql, state), name="rows", daemon=True)
            for psql in self._psqls
        ]
        for thread in self._threads:
            thread.start()
        try:
            while (answer := self._head(state)) is not None:
                yield answer
                with self._change:
                    waiting.popleft()
                    self._change.notify_all()
        finally:
            if not state.is_exhausted or waiting:
                # What they read is no longer wanted, and a psql in the middle of it is of no use.
                self.stop()
            for thread in self._threads:
                interrupts.ended(thread)

    def close(self) -> None:
        """End them, when nothing is left to be read."""
        for psql in self._psqls:
            psql.close()

    def stop(self) -> None:
        with self._change:
            self._failure = self._failure or Interrupted("the dump was stopped")
            for answer in self._open:
                answer.fail(self._failure)
            self._change.notify_all()
        were_running = [psql.kill() for psql in self._psqls]
        if any(were_running):
            # Their backends must not go on reading. If the server is no longer reachable, there is
            # nothing left to terminate.
            with contextlib.suppress(SnapError):
                self._server.terminate(self._application)

    def _value(self, psql: RowsPsql, copy: bytes) -> str:
        parts: list[bytes] = []
        psql.ask(copy)
        psql.take(parts.append)
        return b"".join(parts).decode("utf-8", "replace")

    def _head(self, state: _Queue) -> Answer | None:
        with self._change:
            while not state.waiting:
                if self._failure:
                    raise self._failure
                if state.is_exhausted:
                    return None
                self._change.wait(_WAIT_SECONDS)
                interrupts.check()
            return state.waiting[0]

    # -- a reader's thread ---------------------------------------------------------------------

    def _read(self, psql: RowsPsql, state: _Queue) -> None:
        try:
            while (answer := self._next(state)) is not None:
                self._answer(psql, answer)
        except (SnapError, Stopped, OSError) as error:
            failure = error if isinstance(error, SnapError) else _broken(error)
            with self._change:
                self._failure = self._failure or failure
                for answer in self._open:
                    answer.fail(self._failure)
                self._change.notify_all()

    def _next(self, state: _Queue) -> Answer | None:
        with self._change:
            while len(state.waiting) >= DIRECT_AHEAD * len(self._psqls):
                if self._failure:
                    return None
                self._change.wait()
            if self._failure or state.is_exhausted:
                return None
            request = next(state.source, None)
            if request is None:
                state.is_exhausted = True
                self._change.notify_all()
                return None
            answer = Answer(request, self._change)
            state.waiting.append(answer)
            self._open.append(answer)
            self._change.notify_all()
            return answer

    def _answer(self, psql: RowsPsql, answer: Answer) -> None:
        request = answer.request
        copies = [copy for copy in (request.counts, request.rows) if copy]
        psql.ask(*copies, before=request.before)
        try:
            if request.counts:
                counts: list[bytes] = []
                psql.take(counts.append)
                answer.counter = block_counter(b"".join(counts))
            psql.take(answer.put)
        except DumpFailed as error:
            error.detail = f"While reading {request.table}.\n{error.detail}"
            raise
        answer.finish()
        with self._change:
            self._open.remove(answer)


@dataclass(slots=True)
class _Queue:
    """Requests that nobody took yet, and the answers that were not read yet."""

    source: Iterator[Request]
    waiting: deque[Answer]
    is_exhausted: bool = False


def _broken(error: BaseException) -> SnapError:
    return Interrupted("the dump was stopped", detail=str(error))
