"""A dump whose rows are read over several connections, and whose definitions pg_dump writes.

Both read the same snapshot. Whatever this way cannot reproduce, and whatever goes wrong before the
first byte was passed on, is left to a GuardedDump, which pg_dump writes as a whole.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.dump.reader import DumpSummary
from pgsnap.errors import DumpIncomplete, Interrupted, QueryFailed, SourceError, ToolMissing
from pgsnap.limits import READ_BYTES
from pgsnap.model import (
    DumpEvent,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
)
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.direct.readers import Readers
from pgsnap.sources.direct.reading import read_tables
from pgsnap.sources.direct.sequences import sequences_section
from pgsnap.sources.direct.tables import (
    DEFINITIONS,
    ROWS_END,
    Table,
    definitions_arguments,
    dumped_tables,
    end_of_rows,
    hindrance,
)
from pgsnap.sources.dump_failure import query_failed
from pgsnap.sources.guarded.dump import GuardedDump
from pgsnap.sources.guarded.lock_room import lock_room
from pgsnap.sources.guarded.snapshot import HeldSnapshot
from pgsnap.sources.pg_dump import PgDump

_BEFORE_ROWS = frozenset({SectionKind.PREAMBLE, SectionKind.DATABASE, SectionKind.PRE_DATA})


class DirectDump:
    """A dump of *database*, read by *jobs* connections beside pg_dump; else as `GuardedDump`, whose
    methods it has. `stop` may be called from any thread, and twice.

    *is_part*: the *arguments* choose a part of the database; only pg_dump knows which. *reason* is
    why pg_dump reads the rows, "" if it does not.
    """

    def __init__(
        self,
        server: Server,
        database: str,
        tool: Tool,
        arguments: Sequence[str],
        *,
        jobs: int,
        encoding: str,
        lock_wait_seconds: float,
        is_part: bool,
        with_block_maps: bool = False,
    ) -> None:
        self._server = server
        self._database = database
        self._tool = tool
        self._arguments = tuple(arguments)
        self._jobs = jobs
        self._encoding = encoding
        self._lock_wait_seconds = lock_wait_seconds
        self._is_part = is_part
        self._with_block_maps = with_block_maps
        self._lock = threading.Lock()
        self._is_stopped = False
        self._held: HeldSnapshot | None = None
        self._session: Session | None = None
        self._run: PgDump | None = None
        self._readers: Readers | None = None
        self._tables: tuple[Table, ...] = ()
        self._blocks: dict[int, int] = {}
        self._choice: tuple[str, ...] = DEFINITIONS
        self._streamed: GuardedDump | None = None
        self._owners: set[str] = set()
        self._is_complete = False
        self.reason = ""

    @property
    def summary(self) -> DumpSummary | None:
        """What is known of the dump that was read to its end."""
        if self._streamed is not None:
            return self._streamed.summary
        if self._run is None or not self._is_complete:
            return None
        summary = self._run.reader.summary
        # Those of configuration tables occur nowhere but above their rows.
        owners = self._owners.union(summary.owners) - {""}
        return replace(summary, owners=tuple(sorted(owners)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What pg_dump wrote to standard error although it succeeded."""
        source = self._streamed or self._run
        return source.warnings if source is not None else ()

    def begin(self, session: Session) -> None:
        """Start it; it takes over *session*, which is connected to its database. Raises
        ToolMissing, ConnectionFailed, QueryFailed, Interrupted."""
        try:
            self.reason = self._prepare(session)
        except QueryFailed as error:
            self.reason = error.message
        except ToolMissing as error:
            # pg_dump is there, and needs no psql.
            self._leave_it(error.message)
            return
        if self.reason:
            self._streamed = self._guarded()
            self._streamed.begin(session)

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections; may be called again after `finish` raised TablesChanged.

        Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput, TablesChanged,
        Interrupted.
        """
        events = self._of_own() if self._streamed is None else None
        if events is None:
            assert self._streamed is not None
            yield from self._streamed.events()
            return
        yield from self._with_rows(events)
        self._release()
        self._is_complete = True

    def finish(self) -> None:
        """Raise TablesChanged if the dump, read to its end, is invalid."""
        if self._streamed is not None:
            self._streamed.finish()

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
        if self._streamed is not None:
            self._streamed.stop()
        self._end()

    def connect(self) -> Session:
        """Return a session to the database, while pg_dump is not running. Raises
        ConnectionFailed."""
        if self._streamed is not None:
            return self._streamed.connect()
        return self._server.connect(self._database)

    # -- before the first byte -----------------------------------------------------------------

    def _prepare(self, session: Session) -> str:
        """Take the snapshot and start all that reads it; return why that cannot be done. Then
        *session* is as it was."""
        if self._is_part:
            return "a part of the database is dumped"
        if self._tool.major != self._server.version_num // 10000:
            return "pg_dump is not of the server's version"
        try:
            held = HeldSnapshot(session)
        except QueryFailed as error:
            return f"no snapshot can be exported: {error.message}"
        reason = hindrance(session)
        self._tables = () if reason else dumped_tables(session, self._encoding)
        jobs = self._jobs if reason else self._jobs_that_fit(session)
        self._choice = DEFINITIONS
        if not reason:
            self._choice, reason = definitions_arguments(session, self._tables)
        if not reason and not jobs:
            reason = "the server has no room for the locks of another session"
        if reason or not self._tables:
            session.execute("ROLLBACK")
            return reason or "there are no tables"
        with self._lock:
            self._held, self._session = held, session
        self._start(held.name, jobs)
        return ""

    def _jobs_that_fit(self, session: Session) -> int:
        """Return how many readers can lock all tables besides pg_dump."""
        room = lock_room(session)
        return min(self._jobs, room.sets_that_fit - 1)

    def _start(self, snapshot_name: str, jobs: int) -> None:
        with self._lock:
            if self._is_stopped:
                raise Interrupted("the dump was stopped")
            self._run = PgDump(
                self._server,
                self._database,
                self._tool,
                [f"--snapshot={snapshot_name}", *self._choice, *self._arguments],
                lock_wait_seconds=self._lock_wait_seconds,
            )
            self._readers = Readers(
                self._server,
                self._database,
                snapshot_name,
                jobs,
                encoding=self._encoding,
                lock_wait_seconds=self._lock_wait_seconds,
            )

    def _of_own(self) -> Iterator[DumpEvent] | None:
        """Return what pg_dump writes of the definitions, once all locks are held; None if all is
        left to a streamed dump."""
        run, readers, held = self._run, self._readers, self._held
        assert run is not None, "begin comes first"
        assert readers is not None
        assert held is not None
        events = run.events()
        try:
            # It writes nothing before it has its locks.
            first = next(events)
            readers.lock(self._tables)
            with self._server.connect(self._database) as now:
                changed = held.changed_beside(now)
            self._blocks = readers.block_counts(self._tables)
        except SourceError as error:
            if run.waited_for_locks:
                raise
            self._leave_it(f"{error.message}. {error.detail}")
            return None
        if changed:
            self._leave_it("a table was changed while the dump began")
            return None
        return chain((first,), events)

    def _leave_it(self, reason: str) -> None:
        with self._lock:
            if self._is_stopped:
                raise Interrupted("the dump was stopped")
        self._end()
        self.reason = reason
        self._streamed = self._guarded()

    def _guarded(self) -> GuardedDump:
        return GuardedDump(
            self._server,
            self._database,
            self._tool,
            self._arguments,
            lock_wait_seconds=self._lock_wait_seconds,
            leaves_out_rows=self._is_part,
        )

    # -- what is passed on ---------------------------------------------------------------------

    def _with_rows(self, events: Iterator[DumpEvent]) -> Iterator[DumpEvent]:
        is_before = True
        for event in events:
            if is_before and isinstance(event, SectionStart):
                is_before = event.name.kind in _BEFORE_ROWS
                if not is_before:
                    yield from self._rows()
                    yield from self._sequences()
            yield event
        if is_before:
            raise DumpIncomplete("pg_dump ended before the definitions that follow the rows")

    def _rows(self) -> Iterator[DumpEvent]:
        assert self._readers is not None
        parts: Counter[tuple[str, str]] = Counter()
        for rows in read_tables(
            self._readers, self._tables, self._blocks, with_maps=self._with_block_maps
        ):
            table = rows.table
            self._note_owners(table.head)
            key = (table.schema, table.name)
            yield SectionStart(SectionName(SectionKind.DATA, *key, parts[key]))
            parts[key] += 1
            yield table.head
            yield from rows
            yield ROWS_END
            yield end_of_rows(table, rows.block_map)
        self._readers.close()

    def _sequences(self) -> Iterator[DumpEvent]:
        assert self._session is not None
        if self._choice is not DEFINITIONS:
            return
        try:
            text = sequences_section(self._session, self._lock_wait_seconds)
        except QueryFailed as error:
            endpoint = self._server.endpoint.with_database(self._database)
            raise query_failed("the values of sequences", error, endpoint) from error
        self._note_owners(text)
        if text:
            yield SectionStart(SectionName(SectionKind.SEQUENCES))
            for first in range(0, len(text), READ_BYTES):
                yield text[first : first + READ_BYTES]
            yield SectionEnd()

    def _note_owners(self, text: bytes) -> None:
        self._owners.update(
            decode(parse_entry(found).owner, self._encoding) for found in ENTRY.finditer(text)
        )

    def _release(self) -> None:
        """End the snapshot."""
        with self._lock:
            session, self._session, self._held = self._session, None, None
        if session is not None:
            session.close()

    def _end(self) -> None:
        """Stop all that reads."""
        with self._lock:
            run, readers = self._run, self._readers
        self._release()
        if readers is not None:
            readers.stop()
        if run is not None:
            run.stop()
