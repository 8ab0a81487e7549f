"""Restore of single tables: beside the live ones, or in their places, in one transaction.

psql gets definitions, rows and the swap in one transaction; COMMIT is sent only when the last
chunk was verified and the server has counted the rows of every table. Whatever fails before, and a
kill at any moment, leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass

from pgsnap.dump.entries import copied_table, decode, encode
from pgsnap.dump.table_parts import TableName, quoted, with_names
from pgsnap.dump.table_tree import below_of
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import CorruptionError, Interrupted, RestoreFailed, SnapError
from pgsnap.model import Section, SectionKind, SectionName, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.repository.stream import snapshot_stream
from pgsnap.sessions.server import Server
from pgsnap.targets.cleaning import clean_up_whole
from pgsnap.targets.dumptext import understands_restrict, without_unknown_sets
from pgsnap.targets.feeder import (
    PSQL_ARGUMENTS,
    Feeder,
    FeedResult,
    check_counts,
    expected_rows,
    is_load_idle,
    is_loading,
    terminate_sessions,
)
from pgsnap.targets.live_table import look_at_table
from pgsnap.targets.naming import application_name, new_token
from pgsnap.targets.table_script import FORGET_DRAWN, nothing_drawn
from pgsnap.targets.table_swap import (
    closing,
    move_statistics,
    rename_all,
    set_schemas,
    take_places,
)
from pgsnap.targets.table_ties import means_none_of
from pgsnap.workflows.table_plan import TablesPlan, script_of
from pgsnap.workflows.table_rows import copied_name

_BACKEND_SECONDS = 10.0
_DONE = "interrupted, but the tables were restored already"


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """A table of the snapshot, the name that it has now, and where the one that it replaced is
    (None: it replaced none). *parent* is the one of these that it is a partition of."""

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
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> TablesReport:
    """Do what *plan* says. Where tables are replaced, *safety* records the database first, and they
    change places within *aside*, while services are stopped.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what *safety* and *aside* raise; then
    the database is as it was. Raises Interrupted when a signal came and all of it was done
    nevertheless.
    """
    plan.check()
    safety_id: SnapshotId | None = None
    if safety is not None and plan.replaces:
        progress.phase("safety snapshot")
        safety_id = safety()
    started = time.monotonic()
    loaded: FeedResult | None = None
    try:
        with ExitStack() as stack:
            load = _Load(repo, plan, server, progress)
            loaded = load.run(lambda: stack.enter_context(aside()) if plan.replaces else None)
    except KeyboardInterrupt as stop:
        if loaded is not None:
            raise Interrupted(_DONE) from stop
        raise
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


class _Load:
    """One transaction through one psql."""

    def __init__(
        self, repo: Repository, plan: TablesPlan, server: Server, progress: Progress
    ) -> None:
        self._repo = repo
        self._plan = plan
        self._server = server
        self._progress = progress
        self._snapshot = repo.snapshot(plan.snapshot_id)
        self._encoding = self._snapshot.origin.client_encoding
        self._token = new_token()
        self._parts = [table.parts for table in plan.tables]
        self._made = script_of(
            plan.tables, plan.rights, plan.sequences, self._token, plan.makes_language
        )
        self._names = self._made.names
        self._committing = False

    def run(self, go_aside: Callable[[], None]) -> FeedResult:
        """Load and swap; *go_aside* is called when nothing but the swap is left to do."""
        psql = self._plan.psql
        total = sum(table.plain_bytes for table in self._plan.tables)
        self._progress.phase("load", total)
        child = self._server.start_tool(
            psql,
            PSQL_ARGUMENTS,
            database=self._plan.database,
            stdin=True,
            application_name=application_name(self._token),
        )
        try:
            feeder = Feeder(
                child,
                restrict_key=fresh_restrict_key()
                if understands_restrict(psql.version_num)
                else None,
                expected=expected_rows(s for t in self._plan.tables for s in t.sections),
                progress=self._progress,
            )
            return feeder.run(self._script(feeder, go_aside))
        except RestoreFailed as error:
            if self._committing and self._is_there():
                error.detail = (
                    f"{error.detail} The server had committed by then: the tables are restored."
                ).strip()
            raise
        except KeyboardInterrupt as stop:
            child.kill()
            clean_up_whole(self._end_backend)
            if self._committing and self._is_there():
                raise Interrupted(_DONE) from stop
            raise
        finally:
            child.kill()

    def _script(self, feeder: Feeder, go_aside: Callable[[], None]) -> Iterator[bytes]:
        """Yield all that psql is to run; COMMIT only after everything was proven."""
        yield from self._preamble(feeder)
        feeder.section_begins(SectionName(SectionKind.PRE_DATA))
        yield from map(self._sql, self._made.before_rows())
        if self._made.generates:
            yield self._sql(FORGET_DRAWN)
        for table in self._plan.tables:
            for section in table.sections:
                feeder.section_begins(section.name)
                yield from self._rows(section, self._plan.into(table, section))
        feeder.section_begins(SectionName(SectionKind.POST_DATA))
        if self._made.generates:
            yield self._sql(nothing_drawn(self._token))
        yield from map(self._sql, self._made.after_rows())
        # While nobody has to wait for it: nothing live is locked yet.
        yield self._sql(
            f"ANALYZE {', '.join(quoted(self._names[p.table]) for p in self._parts)};\n"
        )
        # Every row that was sent is in the server's hands now, and is counted.
        feeder.settle(self._is_idle)
        check_counts(
            expected_rows(s for table in self._plan.tables for s in table.sections), feeder.counts
        )
        go_aside()
        yield self._sql(self._swap())
        feeder.settle(self._is_idle)
        self._committing = True
        # The load does not wait for its WAL (feeder.SETTINGS); who is told that it is done may.
        yield b"SET LOCAL synchronous_commit = on;\nCOMMIT;\n"

    def _preamble(self, feeder: Feeder) -> Iterator[bytes]:
        names = [
            s.name
            for s in self._repo.sections(self._snapshot)
            if s.name.kind is SectionKind.PREAMBLE
        ]
        blocks = snapshot_stream(self._repo, self._snapshot, restrict_key=None, sections=names)
        feeder.section_begins(SectionName(SectionKind.PREAMBLE))
        preamble = SectionName(SectionKind.PREAMBLE)
        yield from without_unknown_sets(blocks, lambda: preamble, self._plan.server.major)
        yield b"\n"

    def _rows(self, section: Section, into: TableName) -> Iterator[bytes]:
        """Yield a section of rows, its COPY statement naming the table in the making."""
        head = b""
        is_head = True
        for block in snapshot_stream(
            self._repo, self._snapshot, restrict_key=None, sections=[section.name]
        ):
            if is_head:
                head += block
                if len(head) < section.head_bytes:
                    continue
                yield self._renamed_head(head[: section.head_bytes], section, into)
                block, is_head = head[section.head_bytes :], False
            if block:
                yield block

    def _renamed_head(self, head: bytes, section: Section, into: TableName) -> bytes:
        copied = copied_name(section)
        _, copy, rest = head.rpartition(b"\nCOPY ")
        statement = copy[1:] + rest
        if not copy or copied_table(statement, self._encoding) != copied:
            raise CorruptionError(
                f"the rows of {quoted(copied)} do not begin with their COPY statement",
                hint="Look for damage: snap verify --data",
            )
        names = {copied: self._names[into]}
        return b"\n" + self._sql(with_names(decode(statement, self._encoding), names))

    def _swap(self) -> str:
        """Return the end of the transaction: everything gets its name and place."""
        plan, tag = self._plan, self._token
        made = [(self._names[table.parts.table], table) for table in plan.tables]
        if not plan.options.replace:
            # Before they move: names that had to be cut could meet in the true schema.
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
            # Under the true names again, so as the snapshot has them.
            sql += "".join(f"{key}\n" for parts in self._parts for key in parts.foreign_keys)
        return (
            sql
            + self._made.proof_of_rights()
            + closing(self._made.staging, makes_language=plan.makes_language)
        )

    def _sql(self, text: str) -> bytes:
        return encode(text, self._encoding)

    def _is_idle(self) -> bool:
        with self._server.connect(self._server.maintenance_database()) as session:
            return is_load_idle(session, self._token, self._plan.database)

    def _end_backend(self) -> None:
        """End what psql left on the server, which may wait for the live table's lock, or hold it.
        Return when it is gone, so that what it did is known."""
        deadline = time.monotonic() + _BACKEND_SECONDS
        with (
            suppress(SnapError),
            self._server.connect(self._server.maintenance_database()) as session,
        ):
            while is_loading(session, self._token) and time.monotonic() < deadline:
                terminate_sessions(session, self._token)
                time.sleep(0.02)

    def _is_there(self) -> bool:
        """Tell whether the server committed although its answer was lost."""
        sign = self._plan.tables[0].kept or self._plan.tables[0].target
        try:
            with self._server.connect(self._plan.database) as session:
                return look_at_table(session, sign) is not None
        except SnapError:
            return False
