"""Restore of single tables: beside the live ones, or in their places, in one transaction.

psql gets definitions, rows and the swap in one transaction; COMMIT is sent only when the last
chunk was verified and the server has counted the rows of every table. Whatever fails before, and a
kill at any moment, leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pgsnap.dump.entries import copied_table, decode, encode
from pgsnap.dump.table_parts import TableName, quoted, with_names
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import CorruptionError, RestoreFailed, SnapError
from pgsnap.model import Section, SectionKind, SectionName, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.repository.stream import snapshot_stream
from pgsnap.sessions.server import Server
from pgsnap.targets.dumptext import understands_restrict, without_unknown_sets
from pgsnap.targets.feeder import (
    PSQL_ARGUMENTS,
    Feeder,
    FeedResult,
    check_counts,
    expected_rows,
    is_load_idle,
)
from pgsnap.targets.naming import application_name, new_token
from pgsnap.targets.table_swap import (
    after_rows,
    before_rows,
    closing,
    look_at_table,
    move,
    move_statistics,
    no_ties_to_live,
    opening,
    rename_parts,
    sequence_values_sql,
    take_place,
)
from pgsnap.workflows.table_plan import TablePlan, TablesPlan


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """A table of the snapshot, the name that it has now, and where the one that it replaced is
    (None: it replaced none)."""

    table: TableName
    target: TableName
    kept: TableName | None
    rows: int
    plain_bytes: int


@dataclass(frozen=True, slots=True)
class TablesReport:
    """What was done. *seconds* is wall time, without the safety snapshot."""

    snapshot_id: SnapshotId
    database: str
    tables: tuple[RestoredTable, ...]
    safety: SnapshotId | None
    rows: int
    plain_bytes: int
    seconds: float


def restore_tables(
    repo: Repository,
    plan: TablesPlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress = SILENT,
) -> TablesReport:
    """Do what *plan* says. Where tables are replaced, *safety* records the database first, and all
    of it happens within *aside*, while services are stopped.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what *safety* raises; then the
    database is as it was.
    """
    plan.check()
    safety_id: SnapshotId | None = None
    if safety is not None and plan.replaces:
        progress.phase("safety snapshot")
        safety_id = safety()
    started = time.monotonic()
    with aside() if plan.replaces else nullcontext():
        loaded = _Load(repo, plan, server, progress).run()
    return TablesReport(
        snapshot_id=plan.snapshot_id,
        database=plan.database,
        tables=tuple(
            RestoredTable(t.parts.table, t.target, t.kept, t.rows, t.plain_bytes)
            for t in plan.tables
        ),
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
        self._staging = f"snap_{self._token}"
        self._committing = False

    def run(self) -> FeedResult:
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
            return feeder.run(self._script(feeder))
        except RestoreFailed as error:
            if self._committing and self._is_there():
                error.detail = (
                    f"{error.detail} The server had committed by then: the tables are restored."
                ).strip()
            raise
        finally:
            child.kill()

    def _script(self, feeder: Feeder) -> Iterator[bytes]:
        """Yield all that psql is to run; COMMIT only after everything was proven."""
        yield from self._preamble(feeder)
        yield self._sql(opening(self._staging))
        for table in self._plan.tables:
            yield from self._one_table(feeder, table)
        feeder.section_begins(SectionName(SectionKind.POST_DATA))
        yield self._sql(self._swap())
        # Every row that was sent is in the server's hands now, and is counted.
        feeder.settle(self._is_idle)
        check_counts(
            expected_rows(s for table in self._plan.tables for s in table.sections), feeder.counts
        )
        self._committing = True
        yield b"COMMIT;\n"

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

    def _one_table(self, feeder: Feeder, table: TablePlan) -> Iterator[bytes]:
        parts, staging = table.parts, self._staging
        feeder.section_begins(SectionName(SectionKind.PRE_DATA))
        yield self._sql(before_rows(parts, staging))
        for section in table.sections:
            feeder.section_begins(section.name)
            yield from self._rows(section, parts.table)
        feeder.section_begins(SectionName(SectionKind.POST_DATA))
        sql = sequence_values_sql(parts, self._plan.sequences, staging)
        sql += after_rows(parts, staging) + no_ties_to_live(parts, staging, self._token)
        yield self._sql(sql)

    def _rows(self, section: Section, table: TableName) -> Iterator[bytes]:
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
                yield self._renamed_head(head[: section.head_bytes], table)
                block, is_head = head[section.head_bytes :], False
            if block:
                yield block

    def _renamed_head(self, head: bytes, table: TableName) -> bytes:
        _, copy, rest = head.rpartition(b"\nCOPY ")
        statement = copy[1:] + rest
        if not copy or copied_table(statement, self._encoding) != table:
            raise CorruptionError(
                f"the rows of {quoted(table)} do not begin with their COPY statement",
                hint="Look for damage: snap verify --data",
            )
        renamed = with_names(decode(statement, self._encoding), {table: (self._staging, table[1])})
        return b"\n" + self._sql(renamed)

    def _swap(self) -> str:
        """Return the end of the transaction: everything gets its name and place."""
        plan, staging, tag = self._plan, self._staging, self._token
        replaced = [table.live.oid for table in plan.tables if table.live is not None]
        sql = ""
        for table in plan.tables:
            new = staging, table.parts.table[1]
            if table.live is not None and table.kept is not None:
                sql += take_place(
                    table.parts, table.live, table.kept, replaced, staging=staging, tag=tag
                )
                continue
            if not plan.options.replace:
                sql += rename_parts(new, f"__{plan.options.beside}", tag)
            sql += move(table.parts, staging, table.target[1])
        for schema in dict.fromkeys(table.parts.table[0] for table in plan.tables):
            own = [name for t in plan.tables for name in t.parts.statistics if name[0] == schema]
            if own:
                sql += move_statistics(staging, schema, tag)
        if plan.options.replace:
            # Under the true names again, so as the snapshot has them.
            sql += "".join(f"{key}\n" for t in plan.tables for key in t.parts.foreign_keys)
        return sql + closing(staging)

    def _sql(self, text: str) -> bytes:
        return encode(text, self._encoding)

    def _is_idle(self) -> bool:
        with self._server.connect(self._server.maintenance_database()) as session:
            return is_load_idle(session, self._token, self._plan.database)

    def _is_there(self) -> bool:
        """Tell whether the server committed although its answer was lost."""
        sign = self._plan.tables[0].kept or self._plan.tables[0].target
        try:
            with self._server.connect(self._plan.database) as session:
                return look_at_table(session, sign) is not None
        except SnapError:
            return False
