"""Runs one transaction in the live database through one psql: a snapshot's rows and what goes with
them. COMMIT is sent only after the last chunk was verified and the server counted the rows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress

from pgsnap import interrupts
from pgsnap.dump.copy_head import copy_into, with_heads
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import encode
from pgsnap.errors import Interrupted, RestoreFailed, SnapError, TargetRefused
from pgsnap.model import DumpEvent, Section, SectionKind, SectionName, ServerInfo, Snapshot
from pgsnap.progress import Progress
from pgsnap.repository.chunks.stream import section_events, sections_of
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import find_database
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.feeder import (
    Expected,
    Feeder,
    FeedResult,
    check_counts,
    expected_rows,
    is_load_idle,
    is_loading,
    psql_feeder,
    terminate_sessions,
)
from pgsnap.targets.load.help import look_up
from pgsnap.targets.naming import new_token
from pgsnap.targets.swap.transactions import transaction_of
from pgsnap.workflows.contents.table_rows import copied_name
from pgsnap.workflows.notes.tables_put_back import TablesPutBack, note_tables_put_back

DONE = "interrupted, but the tables were restored already"
_BACKEND_SECONDS = 10.0


class OneTransaction(ABC):
    """Base of everything that changes tables of the live database. *sections* hold the rows to
    load. Subclasses implement `script` and `is_there`."""

    def __init__(
        self,
        repo: Repository,
        snapshot: Snapshot,
        server: Server,
        database: str,
        psql: Tool,
        info: ServerInfo,
        sections: Iterable[Section],
        progress: Progress,
    ) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._server = server
        self._database = database
        self._psql = psql
        self._info = info
        self._sections = list(sections)
        self._progress = progress
        self._encoding = snapshot.origin.client_encoding
        self._token = new_token()
        self._committing = False

    @abstractmethod
    def script(self, feeder: Feeder) -> Iterator[DumpEvent]:
        """Yield everything that psql is to run; COMMIT only after all checks passed."""

    @abstractmethod
    def is_there(self) -> bool:
        """Return whether the server committed although its reply was lost."""

    def expected(self) -> Iterable[Expected]:
        """Return the COPY statements that psql runs, in their order; all when `script` ends."""
        return expected_rows(self._sections)

    def run(self) -> FeedResult:
        """Run `script`. Raises RestoreFailed, CorruptionError; then nothing was changed. Raises
        Interrupted if a signal arrived but everything was done nevertheless."""
        self._progress.phase("load", sum(section.plain_bytes for section in self._sections))
        loading = psql_feeder(
            self._server,
            self._psql,
            self._database,
            self._token,
            expected=self.expected(),
            facts=lambda: look_up(self._server),
            progress=self._progress,
        )
        try:
            with loading as feeder:
                return feeder.run(self.script(feeder))
        except RestoreFailed as error:
            if self._committing and self.is_there():
                error.detail = (
                    f"{error.detail} The server had committed by then: the tables are restored."
                ).strip()
            raise
        except KeyboardInterrupt as stop:
            self._end_backend()
            if self._committing and self.is_there():
                raise Interrupted(DONE) from stop
            raise

    def _preamble(self) -> Iterator[DumpEvent]:
        preamble = sections_of(self._repo, self._snapshot, [SectionName(SectionKind.PREAMBLE)])
        events = section_events(self._repo, self._snapshot, preamble)
        yield from without_unknown_sets(events, self._info.major)
        yield b"\n"

    def _rows(
        self,
        section: Section,
        names: Mapping[TableName, TableName],
        changed: Callable[[bytes], bytes] = bytes,
    ) -> Iterator[DumpEvent]:
        """Yield a section of rows, with *names* in place of the dump's in its COPY statement, as
        *changed* returns it."""
        events = section_events(self._repo, self._snapshot, [section])

        def with_names(head: bytes) -> bytes:
            return changed(copy_into(head, copied_name(section), names, self._encoding))

        return with_heads(events, lambda _: (section.head_bytes, with_names))

    def _check_rows(self, feeder: Feeder) -> None:
        """Wait until the server has received and counted every row that was sent. Raises
        RestoreFailed."""
        feeder.settle(self._is_idle)
        check_counts(self.expected(), feeder.counts)

    def _note_tables(self, feeder: Feeder, label: str, done: TablesPutBack) -> int:
        """Record, before COMMIT, what an undo needs; return the transaction's ID. Raises
        TargetRefused, StoreError."""
        feeder.settle(self._is_idle)
        with self._server.connect(self._server.maintenance_database()) as session:
            transaction = transaction_of(session, self._token, self._database)
            database = find_database(session, self._database)
        if transaction is None or database is None:
            raise TargetRefused(
                f"the transaction in {self._database} cannot be identified",
                detail="So it would not be known how to undo it. Nothing was changed.",
                hint="Replace nothing: snap restore REV --to NEW",
            )
        note_tables_put_back(
            self._repo,
            label,
            self._info.system_identifier,
            done,
            oid=database.oid,
            transaction=transaction,
        )
        return transaction

    def _commit(self, feeder: Feeder) -> Iterator[DumpEvent]:
        feeder.settle(self._is_idle)
        self._committing = True
        # The load does not wait for its WAL (feeder.SETTINGS); a reported commit must be durable.
        yield b"SET LOCAL synchronous_commit = on;\nCOMMIT;\n"

    def _sql(self, text: str) -> bytes:
        return encode(text, self._encoding)

    def _is_idle(self) -> bool:
        with self._server.connect(self._server.maintenance_database()) as session:
            return is_load_idle(session, self._token, self._database)

    def _end_backend(self) -> None:
        """Terminate the backend that psql left on the server, which may wait for the live table's
        lock or hold it. Returns once it is gone, so that its outcome is known."""
        deadline = time.monotonic() + _BACKEND_SECONDS
        with (
            suppress(SnapError),
            self._server.connect(self._server.maintenance_database()) as session,
        ):
            while is_loading(session, self._token) and time.monotonic() < deadline:
                terminate_sessions(session, self._token)
                interrupts.sleep(0.02)


def carry_out(
    load: Callable[[Callable[[], None]], OneTransaction],
    aside: Callable[[], AbstractContextManager[None]],
) -> FeedResult:
    """Run the transaction that *load* returns. It is called with what enters *aside*, which ends
    after the transaction. Raises what `OneTransaction.run` and *aside* raise."""
    loaded: FeedResult | None = None
    try:
        with ExitStack() as stack:

            def go_aside() -> None:
                stack.enter_context(aside())

            loaded = load(go_aside).run()
        interrupts.check()
    except KeyboardInterrupt as stop:
        if loaded is not None:
            raise Interrupted(DONE) from stop
        raise
    return loaded
