"""A dump in which nothing is read that is as in a former snapshot.

Change detection (`sources/changes`) says which blocks of which tables may differ; these are read
over several connections, and what pg_dump writes of the definitions is taken from the former
snapshot while the catalogs are the same. Whatever this way cannot do, and whatever goes wrong
before the first byte was passed on, is left to a GuardedDump, which reads everything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby, islice

from pgsnap import interrupts
from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.dump.summary import DumpSummary
from pgsnap.errors import DumpIncomplete, Interrupted, SourceError
from pgsnap.limits import READ_BYTES
from pgsnap.model import (
    ChangedBlocks,
    DumpEvent,
    Probe,
    SectionChanged,
    SectionClaim,
    SectionEnd,
    SectionKept,
    SectionKind,
    SectionName,
    SectionStart,
    SourceEvent,
)
from pgsnap.model.baseline import Baseline
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.moment import Moment, Terms, begin
from pgsnap.sources.direct.choosing import Choice, Choices, TableChoice
from pgsnap.sources.direct.readers import Readers
from pgsnap.sources.direct.reading import SEGMENT_BLOCKS, read_blocks, read_tables
from pgsnap.sources.direct.sequences import sequences_section
from pgsnap.sources.direct.tables import (
    ROWS_END,
    Table,
    definitions_arguments,
    dump_key,
    dumped_tables,
    end_of_rows,
    hindrance,
)
from pgsnap.sources.former import Former
from pgsnap.sources.guarded.dump import GuardedDump
from pgsnap.sources.guarded.lock_room import lock_room
from pgsnap.sources.pg_dump import PgDump, expect_definitions

_BEFORE_ROWS = frozenset({SectionKind.PREAMBLE, SectionKind.DATABASE, SectionKind.PRE_DATA})
# These are not pg_dump's.
_BESIDE = frozenset({SectionKind.GLOBALS, SectionKind.EXTENSION_SEQUENCES})
# A session that waits to rewrite a table queues between our lock and pg_dump's, and nobody detects
# that deadlock: so pg_dump gives up early, and everything is read as if there were no snapshot.
_LOCK_WAIT_SECONDS_MAX = 5.0


class DumpSince:
    """A dump of *database* since *former* (None: everything is read, for later dumps to compare
    with), read by *jobs* connections. It has the methods of `GuardedDump`.

    *reason* is why pg_dump reads the rows, "" if it does not. After `finish` there is a *baseline*,
    if the next dump can be one since this.
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
        former: Former | None,
        may_checkpoint: bool,
    ) -> None:
        self._server = server
        self._database = database
        self._tool = tool
        self._arguments = tuple(arguments)
        self._jobs = jobs
        self._encoding = encoding
        self._lock_wait_seconds = lock_wait_seconds
        self._former = former
        self._may_checkpoint = may_checkpoint
        self._lock = threading.Lock()
        self._is_stopped = False
        self._moment: Moment | None = None
        self._run: PgDump | None = None
        self._run_writes_sequences = False
        self._choices: Choices | None = None
        self._readers: Readers | None = None
        self._streamed: GuardedDump | None = None
        self._owners: set[str] = set()
        self._is_complete = False
        self.baseline: Baseline | None = None
        self.globals_are_kept = False
        self.reason = ""

    @property
    def summary(self) -> DumpSummary | None:
        """What is known of the dump that was read to its end."""
        if self._streamed is not None:
            return self._streamed.summary
        if not self._is_complete:
            return None
        if self._run is None:
            assert self._former is not None
            return self._former.summary
        summary = self._run.reader.summary
        # Those of configuration tables occur nowhere but above their rows.
        owners = self._owners.union(summary.owners) - {""}
        return replace(summary, owners=tuple(sorted(owners)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What pg_dump wrote to standard error although it succeeded."""
        source = self._streamed or self._run
        return source.warnings if source is not None else ()

    @property
    def choices(self) -> Choices | None:
        """What is read, and why; None where pg_dump reads it."""
        return self._choices if self._streamed is None else None

    def begin(self, session: Session) -> None:
        """Take the moment of the dump; it takes over *session*, which is connected to its database.
        Raises ToolMissing, ConnectionFailed, QueryFailed, Interrupted."""
        session.close()
        self.reason = self._prepare()
        if self.reason:
            self._streamed = self._guarded()

    def events(self) -> Iterator[SourceEvent]:
        """Yield the sections; may be called again after `finish` raised TablesChanged.

        Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput, TablesChanged,
        Interrupted.
        """
        if self._streamed is None and self._moment is None:
            self.begin(self.connect())
        own = self._of_own() if self._streamed is None else None
        if own is None:
            assert self._streamed is not None
            yield from self._streamed.events()
            return
        yield from own
        self._is_complete = True

    def finish(self) -> None:
        """Raise TablesChanged if the dump, read to its end, is invalid."""
        if self._streamed is not None:
            self._streamed.finish()
            return
        assert self._moment is not None
        try:
            expect_definitions(self._run)
            self.baseline = self._moment.finish()
        finally:
            self._end()

    def distrust(self) -> None:
        """Read everything when `events` is called once more."""
        self._former = None

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
        if self._streamed is not None:
            self._streamed.stop()
        self._end()

    def connect(self) -> Session:
        """Return a session to the database. Raises ConnectionFailed."""
        if self._streamed is not None:
            return self._streamed.connect()
        return self._server.connect(self._database)

    # -- before the first byte -----------------------------------------------------------------

    def _prepare(self) -> str:
        """Take the moment and choose what to read; return why pg_dump has to read everything."""
        if self._tool.major != self._server.version_num // 10000:
            return "pg_dump is not of the server's version"
        former, key = self._former, dump_key(self._tool, self._arguments)
        baseline, time = (former.baseline, former.time) if former is not None else (None, None)
        terms = Terms(
            self._lock_wait_seconds, key, may_checkpoint=self._may_checkpoint, parent_time=time
        )
        try:
            moment = begin(self.connect, baseline, terms)
        except SourceError as error:
            return error.message
        with self._lock:
            self._moment = moment
        if self._is_stopped:
            self._end()
            raise Interrupted("the dump was stopped")
        with interrupts.undone_by(self._end):
            if reason := hindrance(moment.session) or self._choose(moment):
                self._end()
        return reason

    def _choose(self, moment: Moment) -> str:
        tables, self._run = dumped_tables(moment.session, self._encoding), None
        self._choices = choices = Choices(tables, moment, self._former)
        is_compared = self._former is not None and not self._former.claims
        self.globals_are_kept = is_compared and moment.globals_equal
        if choices.definitions_are_kept:
            return ""
        arguments, reason = definitions_arguments(moment.session, tables)
        if reason:
            return reason
        self._run_writes_sequences = not arguments[0].startswith("--section")
        wait_seconds = min(self._lock_wait_seconds, _LOCK_WAIT_SECONDS_MAX)
        self._run = PgDump(
            self._server,
            self._database,
            self._tool,
            [
                f"--snapshot={moment.snapshot_name}",
                *arguments,
                *self._arguments,
                # The last one holds.
                f"--lock-wait-timeout={round(1000 * wait_seconds)}",
            ],
            lock_wait_seconds=wait_seconds,
        )
        return ""

    def _of_own(self) -> Iterator[SourceEvent] | None:
        """Return the events, once all locks are held; None if all is left to a streamed dump."""
        assert self._choices is not None
        events: Iterator[DumpEvent] = self._run.events() if self._run is not None else iter(())
        try:
            # pg_dump writes nothing before it has its locks.
            first = list(islice(events, 1))
            self._start_readers(self._choices.to_read)
        except SourceError as error:
            self._leave_it(f"{error.message}. {error.detail}".rstrip(". "))
            return None
        return self._with_rows(chain(first, events)) if self._run is not None else self._kept()

    def _start_readers(self, tables: Sequence[Table]) -> None:
        assert self._moment is not None
        if not tables:
            return
        readers = Readers(
            self._server,
            self._database,
            self._moment.snapshot_name,
            self._reader_count(self._moment),
            encoding=self._encoding,
            lock_wait_seconds=self._lock_wait_seconds,
        )
        with self._lock:
            self._readers = readers
        readers.lock(tables)

    def _reader_count(self, moment: Moment) -> int:
        """Return how many connections have something to read: each costs a process, here and on
        the server."""
        assert self._choices is not None
        ranges = -(-self._choices.reading().blocks_read // SEGMENT_BLOCKS)
        # Each locks what it reads, beside the moment itself and pg_dump.
        fit = lock_room(moment.session).sets_that_fit - 2
        return max(1, min(self._jobs, ranges, fit))

    def _leave_it(self, reason: str) -> None:
        self._end()
        with self._lock:
            if self._is_stopped:
                raise Interrupted("the dump was stopped")
        self.reason = reason
        self.globals_are_kept = False
        self._streamed = self._guarded()

    def _guarded(self) -> GuardedDump:
        return GuardedDump(
            self._server,
            self._database,
            self._tool,
            self._arguments,
            lock_wait_seconds=self._lock_wait_seconds,
            leaves_out_rows=False,
        )

    # -- what is passed on ---------------------------------------------------------------------

    def _kept(self) -> Iterator[SourceEvent]:
        """Yield what the former snapshot has, with the rows and sequences of now."""
        assert self._former is not None
        are_rows_done = False
        for name, section in self._former.sections.items():
            if name.kind is SectionKind.DATA:
                if not are_rows_done:
                    are_rows_done = True
                    yield from self._rows()
            elif name.kind is SectionKind.SEQUENCES:
                yield from self._sequences()
            elif name.kind not in _BESIDE:
                yield SectionKept(section)

    def _with_rows(self, events: Iterator[DumpEvent]) -> Iterator[SourceEvent]:
        """Yield what pg_dump writes, with the rows, and the sequences unless it writes them."""
        is_before = True
        for event in events:
            if is_before and isinstance(event, SectionStart):
                is_before = event.name.kind in _BEFORE_ROWS
                if not is_before:
                    yield from self._rows()
                    if not self._run_writes_sequences:
                        yield from self._sequences()
            yield event
        if is_before:
            raise DumpIncomplete("pg_dump ended before the definitions that follow the rows")

    def _rows(self) -> Iterator[SourceEvent]:
        assert self._choices is not None
        # Tables that are read as a whole are read ahead, beyond the end of each.
        for is_whole, run in groupby(self._choices.tables, lambda each: each.choice is Choice.FULL):
            if is_whole:
                yield from self._read(list(run))
            else:
                for table in run:
                    yield self._part(table)
        if self._readers is not None:
            self._readers.close()

    def _part(self, chosen: TableChoice) -> SourceEvent:
        assert chosen.section is not None
        changed = self._changed(chosen)
        if chosen.choice is Choice.KEPT:
            return SectionKept(chosen.section, Probe(changed) if chosen.blocks else None)
        return SectionChanged(
            chosen.section, changed, chosen.total_blocks, lambda: self._again(chosen)
        )

    def _changed(self, chosen: TableChoice) -> Iterator[ChangedBlocks]:
        if chosen.blocks:
            assert self._readers is not None
            yield from read_blocks(self._readers, chosen.table, chosen.blocks)

    def _again(self, chosen: TableChoice) -> Iterator[DumpEvent | SectionClaim]:
        assert self._choices is not None
        self._choices.read_in_full(chosen, "what is stored of it does not fit")
        return self._read([chosen])

    def _read(self, tables: Sequence[TableChoice]) -> Iterator[DumpEvent | SectionClaim]:
        assert self._readers is not None
        blocks = {each.table.oid: each.total_blocks for each in tables}
        found = read_tables(self._readers, [each.table for each in tables], blocks, with_maps=True)
        for chosen, rows in zip(tables, found, strict=True):
            self._note_owners(chosen.table.head)
            if chosen.claim is not None:
                yield SectionClaim(chosen.claim)
            yield SectionStart(chosen.name)
            yield chosen.table.head
            yield from rows
            yield ROWS_END
            yield end_of_rows(chosen.table, rows.block_map)

    def _sequences(self) -> Iterator[SourceEvent]:
        assert self._moment is not None
        text = sequences_section(self._moment.session, self._lock_wait_seconds)
        self._note_owners(text)
        name = SectionName(SectionKind.SEQUENCES)
        if kept := self._former and self._former.same(name, text):
            yield SectionKept(kept)
        elif text:
            yield SectionStart(name)
            yield from (text[at : at + READ_BYTES] for at in range(0, len(text), READ_BYTES))
            yield SectionEnd()

    def _note_owners(self, text: bytes) -> None:
        self._owners.update(
            decode(parse_entry(found).owner, self._encoding) for found in ENTRY.finditer(text)
        )

    def _end(self) -> None:
        """Stop all that reads, and end the moment."""
        with self._lock:
            run, readers, moment = self._run, self._readers, self._moment
            self._readers = self._moment = None
        if readers is not None:
            readers.stop()
        if run is not None:
            run.stop()
        if moment is not None:
            moment.close()
