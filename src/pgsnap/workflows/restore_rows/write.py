"""Writes the rows that a plan is about in one transaction: as a trial, which is rolled back, and
then to stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, Interrupted, QueryFailed, RestoreFailed, SnapError
from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import Problem, find_database, refuse
from pgsnap.targets.swap.transactions import was_committed
from pgsnap.targets.tables.live import find_table
from pgsnap.targets.tables.rows_back import (
    RowsTable,
    begin_writing,
    count_moved,
    count_wrong,
    lock,
    write,
)
from pgsnap.targets.tables.swap import LOCK_SECONDS
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.notes.tables_put_back import TablesPutBack, note_tables_put_back
from pgsnap.workflows.restore_rows.checks import (
    beside,
    check_acting,
    check_referrers,
    not_accepted,
    referring_keys,
)
from pgsnap.workflows.restore_rows.model import Prepared, RowsBackPlan

DONE = "interrupted, but the rows were put back already"
_IDS = 2**32


class NotAsShown(Exception):
    """The rows cannot be written as they were shown, because of *problem*."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class RowsBackReport:
    """What was done as planned. *safety* has what was there before; None if nothing was recorded.
    *seconds* is wall time, without the safety snapshot."""

    plan: RowsBackPlan
    safety: SnapshotId | None
    seconds: float


def try_changes(
    session: Session, table: RowsTable, changed: tuple[str, ...], snapshot_id: SnapshotId
) -> None:
    """Write the rows, and roll that back. Others are not kept from writing meanwhile, except to
    these rows. Raises QueryFailed for what the server does not accept, NotAsShown."""
    session.execute(begin_writing(LOCK_SECONDS))
    _write(session, table, changed, snapshot_id)
    session.execute("ROLLBACK")


def put_rows_back(
    repo: Repository,
    prepared: Prepared,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    verb: str = "restore",
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> RowsBackReport:
    """Carry out a plan within *aside*, after *safety* has recorded the database.

    Raises TargetRefused, RestoreFailed, or what *safety* and *aside* raise; then the database is as
    it was. Raises Interrupted if a signal arrived but everything was done nevertheless.
    """
    plan = prepared.plan
    plan.check()
    if not plan.changes:
        return RowsBackReport(plan, None, 0.0)
    safety_id: SnapshotId | None = None
    if safety is not None:
        progress.phase("safety snapshot")
        safety_id = safety()
    started = time.monotonic()
    progress.phase("load")
    writing = _Writing(repo, prepared, server, safety_id, verb)
    try:
        with aside():
            writing.run()
        interrupts.check()
    except KeyboardInterrupt as stop:
        if writing.is_done:
            raise Interrupted(DONE) from stop
        raise
    return RowsBackReport(plan, safety_id, time.monotonic() - started)


class _Writing:
    """The transaction of one plan."""

    def __init__(
        self,
        repo: Repository,
        prepared: Prepared,
        server: Server,
        safety: SnapshotId | None,
        verb: str,
    ) -> None:
        assert prepared.table is not None, "something is to be written"
        self._repo = repo
        self._prepared = prepared
        self._plan = prepared.plan
        self._table = prepared.table
        self._session = prepared.session
        self._server = server
        self._safety = safety
        self._verb = verb
        self.is_done = False

    def run(self) -> None:
        """Write and commit. Raises TargetRefused, RestoreFailed, ConnectionFailed, StoreError; then
        nothing is locked any more."""
        try:
            self._run()
        except SnapError:
            with suppress(SnapError):
                self._session.execute("ROLLBACK")
            raise
        self.is_done = True

    def _run(self) -> None:
        plan, session = self._plan, self._session
        what = f"the restore of rows to {plan.database}"
        try:
            session.execute(begin_writing(LOCK_SECONDS))
            session.execute(lock(self._prepared.locked))
            _check_unmoved(session, self._table)
            self._check_again(what)
            _write(session, self._table, self._prepared.changed, plan.snapshot_id)
        except QueryFailed as error:
            refuse([not_accepted(plan.snapshot_id, self._table.name, error)], what)
        except NotAsShown as moved:
            problem = moved.problem
            raise RestoreFailed(
                problem.message, detail=problem.detail, hint=problem.hint
            ) from moved
        transaction = self._note()
        self._commit(transaction)

    def _check_again(self, what: str) -> None:
        """Check what may be otherwise than when the plan was made: no foreign key can be added now.
        Raises TargetRefused, NotAsShown."""
        plan, session, table = self._plan, self._session, self._table
        live = find_table(session, table.name)
        keys = self._prepared.referring
        if (
            live is None
            or live.oid != self._prepared.oid
            or referring_keys(session, live, plan.writes, self._prepared.changed) != keys
        ):
            raise _moved(f"{shown(table.name)}, or what refers to it, was altered since then")
        refuse(
            [
                *check_acting(session, live, plan.writes),
                *check_referrers(session, table, keys),
            ],
            what,
        )

    def _note(self) -> int:
        """Record, before COMMIT, what an undo needs; return the transaction's ID."""
        plan, session = self._plan, self._session
        ((number,),) = session.query("SELECT pg_catalog.pg_current_xact_id()::text")
        transaction = int(number or 0) % _IDS
        database = find_database(session, plan.database)
        assert database is not None, "we are connected to it"
        if self._repo.place.is_writable():
            note_tables_put_back(
                self._repo,
                plan.label,
                plan.server.system_identifier,
                TablesPutBack(
                    time=datetime.now(UTC),
                    snapshot=plan.snapshot_id,
                    safety=self._safety,
                    database=plan.database,
                    action=self._verb,
                    tables=(self._table.name,),
                    keys=self._prepared.keys,
                ),
                oid=database.oid,
                transaction=transaction,
            )
        return transaction

    def _commit(self, transaction: int) -> None:
        try:
            self._session.execute("SET LOCAL synchronous_commit = on; COMMIT")
        except KeyboardInterrupt as stop:
            if self._is_committed(transaction):
                raise Interrupted(DONE) from stop
            raise
        except ConnectionFailed as error:
            if self._is_committed(transaction):
                raise RestoreFailed(
                    "the connection was lost after the rows were put back",
                    detail=f"The server had committed by then. {error.detail}".strip(),
                ) from error
            raise

    def _is_committed(self, transaction: int) -> bool:
        try:
            with self._server.connect(self._server.maintenance_database()) as session:
                return was_committed(session, transaction)
        except SnapError:
            return False


def _check_unmoved(session: Session, table: RowsTable) -> None:
    """Raise NotAsShown if a row is not as it was when the plan was made."""
    ((moved,),) = session.query(count_moved(table))
    if moved != "0":
        raise _moved(f"rows of {shown(table.name)} were written to since they were shown")


def _moved(what: str) -> NotAsShown:
    return NotAsShown(
        Problem(
            what,
            detail="Nothing was changed.",
            hint="Run the same command again: it shows the rows as they are now.",
        )
    )


def _write(
    session: Session, table: RowsTable, changed: tuple[str, ...], snapshot_id: SnapshotId
) -> None:
    """Delete, change and add, and check the result. Raises QueryFailed, NotAsShown."""
    for sql in write(table, changed):
        session.query(sql)
    ((count,),) = session.query(count_wrong(table))
    if count != "0":
        session.execute("ROLLBACK")
        raise NotAsShown(
            Problem(
                f"rows of {shown(table.name)} would not be as they are in the snapshot",
                detail="Something in the database changes what is written, or it was written to"
                " meanwhile.",
                hint=beside(snapshot_id, table.name),
            )
        )
