"""Restore of single tables, beside the live ones or in their places, in one transaction.

psql gets definitions, rows and the swap in one transaction; COMMIT is sent only after the last
chunk was verified and the server counted the rows of every table. An earlier failure, or a kill at
any moment, leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.dump.definitions.table_tree import below_of
from pgsnap.errors import SnapError
from pgsnap.model import DumpEvent, SectionKind, SectionName, SectionStart, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.targets.load.feeder import Feeder
from pgsnap.targets.tables.live import find_table
from pgsnap.targets.tables.script import FORGET_DRAWN, nothing_drawn
from pgsnap.targets.tables.swap import (
    closing,
    move_statistics,
    rename_all,
    set_schemas,
    take_places,
)
from pgsnap.targets.tables.ties import means_none_of
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_rows import copied_name
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.notes.tables_put_back import TablesPutBack
from pgsnap.workflows.restore_tables.one_transaction import OneTransaction, carry_out
from pgsnap.workflows.restore_tables.plan import TablesPlan, script_of


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """A restored table, its present name, and the present name of the one that it replaced (None:
    it replaced none). *parent* is the restored table that it is a partition of."""

    table: TableName
    target: TableName
    kept: TableName | None
    rows: int
    plain_bytes: int
    parent: TableName | None


@dataclass(frozen=True, slots=True)
class TablesReport:
    """What was done. *set_aside* are the live partitions that the snapshot lacks, each with its new
    name. *seconds* is wall time, without the safety snapshot."""

    snapshot_id: SnapshotId
    database: str
    tables: tuple[RestoredTable, ...]
    set_aside: tuple[tuple[TableName, TableName], ...]
    safety: SnapshotId | None
    rows: int
    plain_bytes: int
    seconds: float

    def partitions(self, table: RestoredTable) -> tuple[RestoredTable, ...]:
        """Return the partitions of *table*, at all levels."""
        below = below_of({t.table: t.parent for t in self.tables}, table.table)
        return tuple(t for t in self.tables if t.table in below)


def restore_tables(
    repo: Repository,
    plan: TablesPlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    verb: str = "restore",
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> TablesReport:
    """Carry out *plan*. If tables are replaced, *safety* records the database first, and the swap
    happens within *aside*, while services are stopped.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what *safety* and *aside* raise; then
    the database is as it was. Raises Interrupted if a signal arrived but everything was done
    nevertheless.
    """
    plan.check()
    safety_id: SnapshotId | None = None
    if safety is not None and plan.replaces:
        progress.phase("safety snapshot")
        safety_id = safety()
    started = time.monotonic()
    loaded = carry_out(
        lambda go_aside: _Load(repo, plan, server, go_aside, safety_id, verb, progress),
        aside if plan.replaces else nullcontext,
    )
    return TablesReport(
        snapshot_id=plan.snapshot_id,
        database=plan.database,
        tables=tuple(
            RestoredTable(t.parts.table, t.target, t.kept, t.rows, t.plain_bytes, t.parent)
            for t in plan.tables
        ),
        set_aside=tuple((left.live.name, left.kept) for left in plan.aside),
        safety=safety_id,
        rows=loaded.rows,
        plain_bytes=sum(table.plain_bytes for table in plan.tables),
        seconds=time.monotonic() - started,
    )


class _Load(OneTransaction):
    """Creates and fills the tables, and swaps them in."""

    def __init__(
        self,
        repo: Repository,
        plan: TablesPlan,
        server: Server,
        go_aside: Callable[[], None],
        safety: SnapshotId | None,
        verb: str,
        progress: Progress,
    ) -> None:
        """*go_aside* is called when only the swap is left to do."""
        sections = [section for table in plan.tables for section in table.sections]
        snapshot = snapshot_to_run(repo, plan.snapshot_id)
        super().__init__(
            repo, snapshot, server, plan.database, plan.psql, plan.server, sections, progress
        )
        self._plan = plan
        self._go_aside = go_aside
        self._safety = safety
        self._verb = verb
        self._parts = [table.parts for table in plan.tables]
        self._made = script_of(
            plan.tables, plan.rights, plan.sequences, self._token, plan.makes_language
        )
        self._names = self._made.names

    def script(self, feeder: Feeder) -> Iterator[DumpEvent]:
        yield from self._preamble()
        yield SectionStart(SectionName(SectionKind.PRE_DATA))
        yield from map(self._sql, self._made.before_rows())
        if self._made.generates:
            yield self._sql(FORGET_DRAWN)
        for table in self._plan.tables:
            for section in table.sections:
                into = self._names[self._plan.into(table, section)]
                yield from self._rows(section, {copied_name(section): into})
        yield SectionStart(SectionName(SectionKind.POST_DATA))
        if self._made.generates:
            yield self._sql(nothing_drawn(self._token))
        yield from map(self._sql, self._made.after_rows())
        # While nobody has to wait: nothing live is locked yet.
        yield self._sql(
            f"ANALYZE {', '.join(quoted(self._names[p.table]) for p in self._parts)};\n"
        )
        self._check_rows(feeder)
        if self._plan.options.replace and self._repo.place.is_writable():
            self._note_tables(feeder, self._plan.label, self._done())
        self._go_aside()
        yield self._sql(self._swap())
        yield from self._commit(feeder)

    def _swap(self) -> str:
        """Return the end of the transaction: everything gets its final name and schema."""
        plan, tag = self._plan, self._token
        made = [(self._names[table.parts.table], table) for table in plan.tables]
        if not plan.options.replace:
            # Before they move: truncated names could collide in the final schema.
            targets = [(name, table.target) for name, table in made]
            sql = rename_all(targets, f"__{plan.options.beside}", tag)
            made = [((name[0], table.target[1]), table) for name, table in made]
        else:
            sql = ""
        into_place = set_schemas((name, table.target[0]) for name, table in made)
        replaced = [(left.live, left.kept) for left in plan.aside]
        replaced += [(t.live, t.kept) for t in plan.tables if t.live and t.kept]
        if replaced:
            sql += means_none_of((name for name, _ in made), (live for live, _ in replaced), tag)
        sql += take_places(replaced, into_place, tag)
        sql += move_statistics(self._made.staging, tag)
        if plan.options.replace:
            # Under the final names again, and so as in the snapshot.
            sql += "".join(f"{key}\n" for parts in self._parts for key in parts.foreign_keys)
        return (
            sql
            + self._made.proof_of_rights()
            + closing(self._made.staging, makes_language=plan.makes_language)
        )

    def _done(self) -> TablesPutBack:
        plan = self._plan
        roots = [table for table in plan.tables if table.parent is None]
        return TablesPutBack(
            time=datetime.now(UTC),
            snapshot=plan.snapshot_id,
            safety=self._safety,
            database=plan.database,
            action=self._verb,
            tables=tuple(table.target for table in roots),
            new=tuple(table.target for table in roots if table.live is None),
            kept=tuple(table.kept for table in roots if table.kept is not None),
        )

    def is_there(self) -> bool:
        sign = self._plan.tables[0].kept or self._plan.tables[0].target
        try:
            with self._server.connect(self._plan.database) as session:
                return find_table(session, sign) is not None
        except SnapError:
            return False
