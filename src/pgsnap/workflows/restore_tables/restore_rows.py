"""Restores only the rows of extensions' tables, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

from pgsnap.dump.definitions.table_parts import quoted
from pgsnap.errors import SnapError
from pgsnap.model import DumpEvent, SectionKind, SectionName, SectionStart, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.targets.load.feeder import Feeder
from pgsnap.targets.swap.transactions import transaction_of, was_committed
from pgsnap.targets.tables.extension_tables import delete_rows, raise_sequence
from pgsnap.targets.tables.swap import LOCK_SECONDS
from pgsnap.values import dataclass
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.notes.tables_put_back import TablesPutBack
from pgsnap.workflows.restore_tables.one_transaction import OneTransaction, carry_out
from pgsnap.workflows.restore_tables.rows_plan import RowsOfTable, RowsPlan


@dataclass(frozen=True, slots=True)
class RowsReport:
    """What was done. *seconds* is wall time, without the safety snapshot."""

    snapshot_id: SnapshotId
    database: str
    tables: tuple[RowsOfTable, ...]
    safety: SnapshotId | None
    rows: int
    seconds: float


def restore_rows(
    repo: Repository,
    plan: RowsPlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    verb: str = "restore",
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> RowsReport:
    """Carry out *plan* within *aside*, after *safety* has recorded the database.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what *safety* and *aside* raise; then
    the database is as it was. Raises Interrupted if a signal arrived but everything was done
    nevertheless.
    """
    plan.check()
    safety_id: SnapshotId | None = None
    if safety is not None:
        progress.phase("safety snapshot")
        safety_id = safety()
    started = time.monotonic()

    def load(go_aside: Callable[[], None]) -> _Load:
        go_aside()
        return _Load(repo, plan, server, safety_id, verb, progress)

    loaded = carry_out(load, aside)
    return RowsReport(
        snapshot_id=plan.snapshot_id,
        database=plan.database,
        tables=plan.tables,
        safety=safety_id,
        rows=loaded.rows,
        seconds=time.monotonic() - started,
    )


class _Load(OneTransaction):
    """Deletes rows and loads the snapshot's in their place."""

    def __init__(
        self,
        repo: Repository,
        plan: RowsPlan,
        server: Server,
        safety: SnapshotId | None,
        verb: str,
        progress: Progress,
    ) -> None:
        sections = [section for table in plan.tables for section in table.sections]
        snapshot = snapshot_to_run(repo, plan.snapshot_id)
        super().__init__(
            repo, snapshot, server, plan.database, plan.psql, plan.server, sections, progress
        )
        self._plan = plan
        self._tables = plan.tables
        self._safety = safety
        self._verb = verb
        self._transaction: int | None = None

    def script(self, feeder: Feeder) -> Iterator[DumpEvent]:
        yield from self._preamble()
        yield SectionStart(SectionName(SectionKind.PRE_DATA))
        names = ", ".join(quoted(table.table) for table in self._tables)
        yield self._sql(
            f"BEGIN;\nSET LOCAL lock_timeout = '{LOCK_SECONDS}s';\n"
            f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE;\n"
        )
        # Referencing tables are deleted from first, and loaded last.
        for table in reversed(self._tables):
            yield self._sql(delete_rows(table.table, table.condition))
        for table in self._tables:
            for section in table.sections:
                yield from self._rows(section, {})
        yield SectionStart(SectionName(SectionKind.POST_DATA))
        for table in self._tables:
            for name, value, called in table.sequences:
                yield self._sql(raise_sequence(name, value, called=called))
        self._check_rows(feeder)
        if self._repo.place.is_writable():
            self._transaction = self._note_tables(feeder, self._plan.label, self._done())
        else:
            with self._server.connect(self._server.maintenance_database()) as session:
                self._transaction = transaction_of(session, self._token, self._database)
        yield from self._commit(feeder)

    def _done(self) -> TablesPutBack:
        return TablesPutBack(
            time=datetime.now(UTC),
            snapshot=self._plan.snapshot_id,
            safety=self._safety,
            database=self._database,
            action=self._verb,
            tables=tuple(table.table for table in self._tables),
            rows_only=True,
        )

    def is_there(self) -> bool:
        if self._transaction is None:
            return False
        try:
            with self._server.connect(self._server.maintenance_database()) as session:
                return was_committed(session, self._transaction)
        except SnapError:
            return False
