"""Puts back, in one transaction of the live database, what differs from a snapshot.

The order is what makes it safe: lock; then record what is there, durably, so that nothing written
before the lock can be lost; then write. A failure or a kill before COMMIT leaves the database as it
was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import RestoreFailed, SnapError, TargetRefused
from pgsnap.model import DumpEvent, Section, SectionKind, SectionName, SectionStart, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import read_head
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import find_database, refuse
from pgsnap.targets.load.feeder import Expected, Feeder
from pgsnap.targets.load.row_order import frozen
from pgsnap.targets.swap.transactions import transaction_of, was_committed
from pgsnap.targets.tables.foreign_keys import ForeignKey, read_foreign_keys
from pgsnap.targets.tables.put_back import (
    LiveFacts,
    delete_all_rows,
    delete_rows,
    event_triggers,
    gone_rows,
    lock_tables,
    materialized_views,
    may_turn_triggers_off,
    new_rows,
    refresh,
    rows_table,
    set_sequences,
    triggers_off,
    triggers_on,
)
from pgsnap.targets.tables.rewriting import (
    INDEXED_ROWS_MAX,
    PlainIndex,
    empty_to_fill,
    make_again,
    plain_indexes,
)
from pgsnap.targets.tables.swap import LOCK_SECONDS
from pgsnap.values import dataclass
from pgsnap.words import some
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.notes.changes_put_back import note_put_back
from pgsnap.workflows.restore_changed.differences import (
    SWAP,
    Differences,
    Different,
    RowChanges,
    columns_of,
    differences,
    row_changes,
    surely_rewritten,
)
from pgsnap.workflows.restore_changed.key_checks import KeyChecks, KeysBefore, TableRows
from pgsnap.workflows.restore_changed.plan import ChangedPlan, check_live
from pgsnap.workflows.restore_tables.one_transaction import OneTransaction, carry_out

_ROWS_AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class PutBackTable:
    """A table that differed: how many rows went and came, or if it was *rewritten* all of them."""

    table: TableName
    rewritten: bool
    rows_deleted: int
    rows_loaded: int


@dataclass(frozen=True, slots=True)
class ChangedReport:
    """What was done. *safety* has what was there before; None if nothing differed. *locked_seconds*
    is how long tables were locked. *proven*: all was compared with the snapshot afterwards."""

    snapshot_id: SnapshotId
    database: str
    tables: tuple[PutBackTable, ...]
    sequences: int
    safety: SnapshotId | None
    locked_seconds: float
    seconds: float
    proven: bool


def restore_changed(
    repo: Repository,
    plan: ChangedPlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId],
    verb: str = "restore",
    proof: Callable[[], SnapshotId] | None = None,
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> ChangedReport:
    """Carry out *plan* within *aside*. *safety* records the database while its tables are locked;
    *proof* reads all of it afterwards, to be compared with the snapshot.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what the callables raise; then the
    database is as it was, unless it is *proof* that failed. Raises Interrupted if a signal arrived
    but everything was done nevertheless.
    """
    plan.check()
    started = time.monotonic()
    made: list[_PutBack] = []

    def load(go_aside: Callable[[], None]) -> OneTransaction:
        go_aside()
        made.append(_PutBack(repo, plan, server.without_event_triggers(), safety, verb, progress))
        return made[0]

    carry_out(load, aside)
    done = made[0]
    if proof is not None:
        progress.phase("prove")
        check_equal(repo, plan.snapshot_id, proof())
    return ChangedReport(
        snapshot_id=plan.snapshot_id,
        database=plan.database,
        tables=tuple(done.tables),
        sequences=len(done.found.sequences) if done.found is not None else 0,
        safety=done.safety_id if done.is_changed else None,
        locked_seconds=done.locked_seconds,
        seconds=time.monotonic() - started,
        proven=proof is not None,
    )


def check_equal(repo: Repository, wanted: SnapshotId, now: SnapshotId) -> None:
    """Raise RestoreFailed unless two snapshots have the same rows, in whatever order, the same
    sequences and definitions."""
    found = differences(repo, repo.snapshot(wanted), repo.snapshot(now))
    wrong = [each.message for each in found.problems]
    wrong += [
        f"rows of {each.wanted.name} differ"
        for each in found.tables
        if (rows := row_changes(repo, each, 0)) is None or rows.gone or rows.lost
    ]
    wrong += [f"sequence {name} differs" for name in found.sequences]
    if wrong:
        raise RestoreFailed(
            f"the database is not as the snapshot: {some(wrong)}",
            detail="Either it was written to since the tables were unlocked, or the restore was"
            f" incomplete. What is there is recorded: {now.hex()[:12]}",
            hint=f"Look at it: snap diff {wanted.hex()[:12]} {now.hex()[:12]}. To go back to the"
            " state before: snap undo",
        )


class _PutBack(OneTransaction):
    """Locks, records, writes, commits."""

    def __init__(
        self,
        repo: Repository,
        plan: ChangedPlan,
        server: Server,
        safety: Callable[[], SnapshotId],
        verb: str,
        progress: Progress,
    ) -> None:
        snapshot = snapshot_to_run(repo, plan.snapshot_id)
        super().__init__(
            repo, snapshot, server, plan.database, plan.psql, plan.server, (), progress
        )
        self._plan = plan
        self._safety = safety
        self._verb = verb
        self._copied: list[Expected] = []
        self._transaction: int | None = None
        self.safety_id: SnapshotId | None = None
        self.found: Differences | None = None
        self.tables: list[PutBackTable] = []
        self.locked_seconds = 0.0
        self.is_changed = False

    def expected(self) -> Iterable[Expected]:
        return self._copied

    def script(self, feeder: Feeder) -> Iterator[DumpEvent]:
        yield from self._preamble()
        yield SectionStart(SectionName(SectionKind.PRE_DATA))
        tables = [
            (section.name.schema, section.name.name)
            for section in self._repo.sections(self._snapshot)
            if section.name.kind is SectionKind.DATA
        ]
        yield self._sql(lock_tables(tables, LOCK_SECONDS))
        feeder.settle(self._is_idle)
        locked = time.monotonic()
        self._progress.phase("safety snapshot")
        differ = [each.table for each in self._plan.tables]
        rewritten = {each.table for each in self._plan.tables if surely_rewritten(each)}
        settled = set(tables) - rewritten
        with KeysBefore(self._server, self._database, differ, settled) as keys:
            self.safety_id = self._safety()
            found = differences(self._repo, self._snapshot, self._repo.snapshot(self.safety_id))
            # Before a table is rewritten, for which that session would wait, and we for it.
            held = keys.held()
        self.found = found
        if not found.is_empty or found.problems:
            yield from self._put_back(feeder, found, held)
        yield from self._commit(feeder)
        self.is_changed = not found.is_empty
        self.locked_seconds = time.monotonic() - locked

    def is_there(self) -> bool:
        if self._transaction is None:
            return False
        with suppress(SnapError), self._maintenance() as session:
            return was_committed(session, self._transaction)
        return False

    def _put_back(
        self, feeder: Feeder, found: Differences, held: Collection[ForeignKey]
    ) -> Iterator[DumpEvent]:
        with self._server.connect(self._database) as session:
            facts, problems = check_live(session, found)
            keys = read_foreign_keys(session, [each.table for each in found.tables])
            views = materialized_views(session) if found.tables else ()
            # The role may, or the plan has found that by name will do.
            replica = (
                any(each.fires for each in facts.values()) or bool(event_triggers(session))
            ) and may_turn_triggers_off(session)
        if found.problems or problems:
            # Unlike when the plan was made. Nothing was written.
            refuse((*found.problems, *problems), f"the restore of what differs in {self._database}")
        self._progress.phase("load", sum(each.wanted.plain_bytes for each in found.tables))
        chosen = [(each, self._rows_of(each, facts[each.table])) for each in found.tables]
        truncated = [
            each for each, rows in chosen if rows is None and not facts[each.table].is_referenced
        ]
        # Before anything is locked so that this session would wait.
        indexes = self._indexes(truncated)
        yield self._sql(triggers_off(facts.values(), replica=replica))
        told = {each.table: self._told(n, each, rows) for n, (each, rows) in enumerate(chosen)}
        checks = KeyChecks(keys, held, told)
        for each, rows in chosen:
            yield SectionStart(each.wanted.name)
            if rows is None and each.table in indexes:
                yield self._sql(empty_to_fill(each.table, indexes[each.table]))
            elif rows is None:
                yield self._sql(delete_all_rows(facts[each.table]))
            elif rows.gone:
                place, columns = told[each.table].place, told[each.table].columns
                yield self._sql(rows_table(gone_rows(place), each.table, columns))
                yield from self._copy(each.wanted, rows.gone)
                yield self._sql(delete_rows(place, facts[each.table], columns, len(rows.gone)))
        # All that goes is gone: unique values may have moved from row to row.
        for each, rows in chosen:
            yield from self._load(each, rows, indexes.get(each.table))
            if rows is not None and rows.lost and checks.needs_new_rows(each.table):
                place, columns = told[each.table].place, told[each.table].columns
                yield self._sql(rows_table(new_rows(place), each.table, columns))
                yield from self._copy(each.wanted, rows.lost)
        yield SectionStart(SectionName(SectionKind.POST_DATA))
        yield from map(self._sql, checks.statements())
        yield self._sql(
            triggers_on(facts.values(), replica=replica) + set_sequences(found.sequences)
        )
        yield self._sql(refresh(views))
        feeder.settle(self._is_idle)
        self._note()

    def _told(self, place: int, each: Different, rows: RowChanges | None) -> TableRows:
        count = max(each.wanted.rows or 0, each.now.rows or 0)
        gone, new = (len(rows.gone), len(rows.lost)) if rows is not None else (count, count)
        columns = columns_of(self._repo, each.wanted, self._encoding)
        return TableRows(place, columns, count, gone, new, is_rewritten=rows is None)

    def _rows_of(self, different: Different, facts: LiveFacts) -> RowChanges | None:
        if facts.has_rules:
            return None
        seen = self._plan.rows.of(different) if self._plan.rows is not None else None
        rows = seen or row_changes(self._repo, different, is_referenced=facts.is_referenced)
        return None if rows is not None and rows.gone and not facts.key else rows

    def _indexes(self, truncated: list[Different]) -> dict[TableName, tuple[PlainIndex, ...]]:
        """Return of each table the indexes to do without while it is filled."""
        if not truncated:
            return {}
        with self._server.connect(self._database) as session:
            return {
                each.table: plain_indexes(session, each.table)
                if (each.wanted.rows or 0) > INDEXED_ROWS_MAX
                else ()
                for each in truncated
            }

    def _load(
        self, each: Different, rows: RowChanges | None, indexes: tuple[PlainIndex, ...] | None
    ) -> Iterator[DumpEvent]:
        """Yield the rows that a table lacks. *indexes* are those that were dropped; None if it was
        not truncated."""
        if rows is None:
            self._copied.append(Expected(each.wanted.name, each.wanted.rows or 0))
            yield from self._rows(each.wanted, {}, bytes if indexes is None else frozen)
            yield self._sql(make_again(indexes or ()))
        elif rows.lost:
            yield SectionStart(each.wanted.name)
            yield read_head(self._repo.chunks, each.wanted)
            yield from self._copy(each.wanted, rows.lost)
        self.tables.append(
            PutBackTable(
                each.table,
                rows is None,
                (each.now.rows or 0) if rows is None else len(rows.gone),
                (each.wanted.rows or 0) if rows is None else len(rows.lost),
            )
        )

    def _copy(self, section: Section, rows: tuple[bytes, ...]) -> Iterator[DumpEvent]:
        """Yield *rows* and their end, after a COPY statement."""
        self._copied.append(Expected(section.name, len(rows)))
        for first in range(0, len(rows), _ROWS_AT_A_TIME):
            yield b"".join(rows[first : first + _ROWS_AT_A_TIME])
        yield b"\\.\n"

    def _note(self) -> None:
        """Record, before COMMIT, how to go back."""
        assert self.safety_id is not None
        with self._maintenance() as session:
            self._transaction = transaction_of(session, self._token, self._database)
            database = find_database(session, self._database)
        if self._transaction is None or database is None:
            raise TargetRefused(
                f"the transaction in {self._database} cannot be identified",
                detail="So it would not be known how to undo it. Nothing was changed.",
                hint=SWAP,
            )
        note_put_back(
            self._repo,
            self._plan.label,
            self._database,
            self._plan.server.system_identifier,
            oid=database.oid,
            snapshot=self._plan.snapshot_id,
            safety=self.safety_id,
            transaction=self._transaction,
            verb=self._verb,
        )

    def _maintenance(self) -> Session:
        return self._server.connect(self._server.maintenance_database())
