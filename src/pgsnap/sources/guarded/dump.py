"""Runs pg_dump, and restarts it until its whole output is of one moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import chain

from pgsnap import interrupts
from pgsnap.dump.summary import DumpSummary
from pgsnap.errors import ConnectionFailed, Interrupted, QueryFailed, SourceError, TablesChanged
from pgsnap.limits import DUMP_ATTEMPTS
from pgsnap.model import DumpEvent, SectionKind, SectionStart, quote_ident
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.guarded.snapshot import HeldSnapshot, TableName, signatures
from pgsnap.sources.pg_dump import PgDump, expect_definitions

_NAMED_MAX = 10
# How long a backend may take to exit after its client.
_LEAVING_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


class GuardedDump:
    """A dump of *database* in which no table was read that had been rewritten behind pg_dump's
    snapshot. `stop` may be called from any thread, and twice.

    *leaves_out_rows*: the *arguments* name tables that are dumped without their rows; only pg_dump
    knows which. Changes are detected, in this order: by a session beside pg_dump that holds its
    snapshot, before anything of the dump is passed on; at the end, if the role may have no second
    connection, and for tables that pg_dump does not lock first.
    """

    def __init__(
        self,
        server: Server,
        database: str,
        tool: Tool,
        arguments: Sequence[str],
        *,
        lock_wait_seconds: float,
        leaves_out_rows: bool,
    ) -> None:
        self._server = server
        self._database = database
        self._tool = tool
        self._arguments = tuple(arguments)
        self._lock_wait_seconds = lock_wait_seconds
        self._leaves_out_rows = leaves_out_rows
        self._lock = threading.Lock()
        self._is_stopped = False
        self._may_hold = True
        self._held: HeldSnapshot | None = None
        self._run: PgDump | None = None
        # To be compared at the end, if they turn out to be in the dump: tables as they were, and
        # tables that are known to have changed.
        self._before: dict[TableName, str] = {}
        self._suspects: set[TableName] = set()
        self._dumped: set[TableName] = set()

    @property
    def summary(self) -> DumpSummary | None:
        """What is known of the dump that was read to its end."""
        return self._run.reader.summary if self._run is not None else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What pg_dump wrote to standard error although it succeeded."""
        return self._run.warnings if self._run is not None else ()

    def begin(self, session: Session) -> None:
        """Start it; it takes over *session*, which is connected to its database. Raises
        ToolMissing, ConnectionFailed, Interrupted."""
        try:
            held = HeldSnapshot(session) if self._may_hold else None
        except QueryFailed:
            self._may_hold, held = False, None
        if held is None:
            with session:
                self._before = signatures(session)
        with self._lock:
            self._held = held
        self._start()

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections; may be called again after `finish` raised TablesChanged.

        Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput, TablesChanged,
        Interrupted.
        """
        if self._run is None:
            self.begin(self.connect())
        for event in self._of_one_moment():
            if isinstance(event, SectionStart) and event.name.kind is SectionKind.DATA:
                table = (event.name.schema, event.name.name)
                if table in self._before or table in self._suspects:
                    self._dumped.add(table)
            yield event

    def finish(self) -> None:
        """Raise TablesChanged if the dump, read to its end, is invalid."""
        changed = self._dumped & self._suspects
        looked_at = self._dumped & self._before.keys()
        if looked_at:
            with self.connect() as session:
                now = signatures(session)
            changed |= {table for table in looked_at if now.get(table) != self._before[table]}
        if changed:
            self._forget()
            raise _tables_changed(sorted(changed))
        run = self._run
        try:
            expect_definitions(run)
        except TablesChanged:
            self._forget()
            raise

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
        self._release()
        if self._run is not None:
            self._run.stop()

    def connect(self) -> Session:
        """Return a session to the database, while pg_dump is not running. Raises
        ConnectionFailed."""
        deadline = time.monotonic() + _LEAVING_SECONDS
        while True:
            try:
                return self._server.connect(self._database)
            except ConnectionFailed:
                if self._may_hold or time.monotonic() > deadline:
                    raise
            # The only connection allowed may have been pg_dump's a moment ago.
            interrupts.sleep(_PAUSE_SECONDS)

    # -- attempts ------------------------------------------------------------------------------

    def _start(self) -> PgDump:
        snapshot = [f"--snapshot={self._held.name}"] if self._held is not None else []
        with self._lock:
            if self._is_stopped:
                raise Interrupted("the dump was stopped")
            self._run = PgDump(
                self._server,
                self._database,
                self._tool,
                [*snapshot, *self._arguments],
                lock_wait_seconds=self._lock_wait_seconds,
            )
            return self._run

    def _of_one_moment(self) -> Iterator[DumpEvent]:
        """Return the events of the first dump during which no table was changed."""
        changed: list[TableName] = []
        for left in reversed(range(DUMP_ATTEMPTS)):
            run = self._run or self._start()
            events = run.events()
            try:
                first = next(events)
            except SourceError:
                if run.was_refused and left:
                    self._go_on_alone()
                    continue
                changed = self._gone(run)
                if not (changed and left):
                    raise
            else:
                found, changed = self._checked(run, chain((first,), events))
                if not changed:
                    return found
            run.stop()
            self._run = None
            if self._held is not None:
                self._held.renew()
        raise _tables_changed(changed)

    def _checked(
        self, run: PgDump, events: Iterator[DumpEvent]
    ) -> tuple[Iterator[DumpEvent], list[TableName]]:
        """Return the events, and the tables that make them invalid."""
        if self._held is None:
            return events, []
        changed = self._held.changed(run.application)
        tables = changed.tables
        if tables and not (changed.are_locked and not self._leaves_out_rows):
            if changed.are_locked or not run.ends_soon():
                self._suspects.update(tables)
                tables = []
            else:
                # All of its output fit into the pipe.
                try:
                    known = list(events)
                except SourceError:
                    # It failed, most likely for the same reason.
                    return events, tables
                events = iter(known)
                tables = [table for table in tables if table in _tables_of(known)]
        if not tables:
            self._before = self._held.unlocked_tables
            self._release()
        return events, tables

    def _gone(self, run: PgDump) -> list[TableName]:
        """Return the tables whose loss may be why pg_dump failed before it wrote anything."""
        if self._held is None or run.waited_for_locks:
            return []
        try:
            return self._held.gone()
        except SourceError:
            # The server is in trouble, and pg_dump's own messages say more about it.
            return []

    def _go_on_alone(self) -> None:
        """Continue without a session beside pg_dump: the role or the database may have no more."""
        if self._held is not None:
            self._before = self._held.every_table()
            self._release()
        else:
            interrupts.sleep(_PAUSE_SECONDS)
        self._may_hold, self._run = False, None

    def _release(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def _forget(self) -> None:
        self._run = None
        self._before = {}
        self._suspects, self._dumped = set(), set()


def _tables_of(events: Sequence[DumpEvent]) -> set[TableName]:
    return {
        (event.name.schema, event.name.name)
        for event in events
        if isinstance(event, SectionStart) and event.name.kind is SectionKind.DATA
    }


def _tables_changed(tables: Sequence[TableName]) -> TablesChanged:
    names = [".".join(map(quote_ident, table)) for table in tables]
    words = ", ".join(names[:_NAMED_MAX])
    if len(names) > _NAMED_MAX:
        words += f" and {len(names) - _NAMED_MAX} more"
    return TablesChanged(
        f"tables were rewritten, renamed or dropped while pg_dump began to read: {words}",
        detail="pg_dump would have written them without their rows, or with those of others.",
        hint="Run it again when the migration, or the job that loads these tables, is over.",
    )
