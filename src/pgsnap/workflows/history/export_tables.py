"""Export of tables: each as a Parquet or CSV file, or all in one SQLite database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import field, replace
from enum import StrEnum

from pgsnap.dump.definitions.table_columns import ColumnTypes
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.events import to_section_end
from pgsnap.errors import CorruptionError
from pgsnap.masking.masks import Masks
from pgsnap.model import DumpEvent, Section, SectionStart, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import stored_events
from pgsnap.repository.repository import Repository
from pgsnap.tabular.base import Losses, Shape, TableWriter, Wishes
from pgsnap.tabular.row_blocks import row_blocks, row_bytes
from pgsnap.targets.table_files import Output, TableFiles, kept_or_gone, stem_of
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import read_definitions, shown
from pgsnap.workflows.history.tables_chosen import (
    Chosen,
    check_as_text,
    choose,
    reordered,
    shape_of,
)
from pgsnap.workflows.masks.plan import masking_for


class TableFormat(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class TableExport:
    """What is asked for: *tables* (all if empty, partitions with theirs), in which format; with
    *merge* the rows of all partitions of a table are in one file. *masks* say what becomes of
    rows."""

    format: TableFormat
    tables: tuple[TableName, ...] = ()
    merge: bool = False
    wishes: Wishes = field(default_factory=Wishes)
    masks: Masks | None = None


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """A table as written: *plain_bytes* is the text of its rows, *file_bytes* None in SQLite."""

    table: str
    rows: int
    plain_bytes: int
    files: tuple[str, ...]
    file_bytes: int | None


@dataclass(frozen=True, slots=True)
class ExportTablesReport:
    """What was written, and in *news* what was not."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    tables: tuple[ExportedTable, ...]
    plain_bytes: int
    file_bytes: int
    seconds: float
    news: tuple[str, ...]


def export_tables(
    repo: Repository,
    snapshot_id: SnapshotId,
    output: Output,
    asked: TableExport,
    *,
    sqlite_name: str = "",
    progress: Progress = SILENT,
) -> ExportTablesReport:
    """Write tables of a snapshot to *output*, in SQLite to the file *sqlite_name* there.

    If it raises, nothing of it is there. Raises UsageError, UnknownRevision, ValueUnfit, StoreFull,
    StoreError, CorruptionError.
    """
    started = time.monotonic()
    snapshot = repo.snapshot(snapshot_id)
    definitions = read_definitions(repo, snapshot)
    chosen = choose(repo, snapshot, snapshot_id, definitions, asked.tables, merge=asked.merge)
    masking = None
    if asked.masks is not None:
        masking = masking_for(repo, snapshot_id, asked.masks)
        sent = {t: found for t, found in chosen.sections.items() if masking.sends(found[0].name)}
        chosen = replace(chosen, sections=sent)
    types = ColumnTypes(definitions.pre)
    check_as_text(types, definitions, chosen, asked.wishes)
    sections = [section for found in chosen.sections.values() for section in found]
    repo.check_present(snapshot, {section.name for section in sections})
    _check_names(output, chosen, asked, sqlite_name)
    progress.phase("export", sum(section.plain_bytes for section in sections))
    with kept_or_gone(output), ExitStack() as stack:
        run = _Run(snapshot, types, output, asked, progress)
        if asked.format is TableFormat.SQLITE:
            run.begin_sqlite(sqlite_name, stack)
        events = stored_events(repo, sections)
        if masking is not None:
            events = masking.passing(events, routes=False)
        for table, found in chosen.sections.items():
            run.table(table, found, events)
        # The last section's digest is checked at its end.
        for _ in events:
            pass
        stack.close()
        about = {"snapshot": snapshot_id.hex(), "tables": [one.table for one in run.done]}
        file_bytes = run.file_bytes()
        output.publish(snapshot.time, about)
    return ExportTablesReport(
        snapshot_id=snapshot_id,
        snapshot=snapshot,
        tables=tuple(run.done),
        plain_bytes=sum(one.plain_bytes for one in run.done),
        file_bytes=file_bytes,
        seconds=time.monotonic() - started,
        news=(*chosen.news, *run.news()),
    )


def _check_names(output: Output, chosen: Chosen, asked: TableExport, sqlite_name: str) -> None:
    if asked.format is TableFormat.SQLITE:
        output.check([sqlite_name], "")
    else:
        output.check([stem_of(*table) for table in chosen.sections], f".{asked.format}")


class _Run:
    """One export: the tables that are done, and what became of their values."""

    def __init__(
        self,
        snapshot: Snapshot,
        types: ColumnTypes,
        output: Output,
        asked: TableExport,
        progress: Progress,
    ) -> None:
        self.done: list[ExportedTable] = []
        self._snapshot = snapshot
        self._types = types
        self._output = output
        self._asked = asked
        self._progress = progress
        self._losses = Losses()
        self._without_columns: list[str] = []
        self._sqlite_files: TableFiles | None = None
        self._new_table: Callable[[Shape, TableFiles | None], TableWriter] = self._new_file

    def begin_sqlite(self, name: str, stack: ExitStack) -> None:
        """Write all tables to one database from here on, which is complete when *stack* ends."""
        from pgsnap.tabular.sqlite_file import SqliteFile

        self._sqlite_files = self._output.files(name, "")
        file = stack.enter_context(self._sqlite_files.open())
        database = SqliteFile(f"/proc/self/fd/{file.fileno()}")
        stack.callback(database.close)
        self._new_table = lambda shape, _: database.table(shape, self._asked.wishes)

    def table(self, table: TableName, sections: list[Section], events: Iterator[DumpEvent]) -> None:
        """Write the rows of *sections*, which are next in *events*."""
        files: TableFiles | None = None
        writer: TableWriter | None = None
        shape: Shape | None = None
        rows = plain_bytes = 0
        try:
            for section in sections:
                head, pieces = self._open(section, events)
                found = shape_of(table, section, head, self._types, self._snapshot)
                if not found.columns:
                    for _ in pieces:
                        pass
                    self._without_columns.append(found.shown)
                    return
                if shape is None or writer is None:
                    shape = found
                    if self._sqlite_files is None:
                        files = self._output.files(stem_of(*table), f".{self._asked.format}")
                    writer = self._new_table(shape, files)
                plain_bytes += writer.write(self._blocks(pieces, shape, found))
                rows += section.rows or 0
            assert writer is not None
            writer.close()
        except BaseException:
            if writer is not None:
                writer.abandon()
            raise
        if writer.rows != rows:
            raise CorruptionError(
                f"{writer.rows} rows of {shown(table)} were read, and its sections say {rows}",
                hint="Look for damage: snap verify --data",
            )
        names = tuple(files.names) if files is not None else ()
        size = files.file_bytes if files is not None else None
        self.done.append(ExportedTable(shown(table), rows, plain_bytes, names, size))

    def file_bytes(self) -> int:
        if self._sqlite_files is not None:
            return self._sqlite_files.file_bytes
        return sum(one.file_bytes or 0 for one in self.done)

    def news(self) -> Iterator[str]:
        for name, count in self._losses.counts.items():
            yield f"{count} values of {name} did not fit and are NULL, or lost their bounds"
        for table in self._without_columns:
            yield f"{table} has no columns, and is left out"

    def _open(self, section: Section, events: Iterator[DumpEvent]) -> tuple[bytes, Iterator[bytes]]:
        """Return the head of *section*, which is next in *events*, and the text of its rows."""
        start = next(events)
        assert isinstance(start, SectionStart)
        assert start.name == section.name
        told = self._told(to_section_end(events))
        head = b""
        while len(head) < section.head_bytes:
            head += next(told)
        rest = head[section.head_bytes :]
        following = (block for blocks in ((rest,), told) for block in blocks)
        return head[: section.head_bytes], row_bytes(following, 0, section.tail_bytes)

    def _told(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._progress.advance(len(block))
            yield block

    def _blocks(self, pieces: Iterator[bytes], shape: Shape, found: Shape) -> Iterator[bytes]:
        if found.columns != shape.columns:
            return reordered(row_blocks(pieces), shape, found)
        if self._asked.format is TableFormat.CSV:
            return pieces
        return row_blocks(pieces)

    def _new_file(self, shape: Shape, files: TableFiles | None) -> TableWriter:
        assert files is not None
        if self._asked.format is TableFormat.CSV:
            from pgsnap.tabular.csv_text import CsvTable

            return CsvTable(shape, files, self._asked.wishes)
        from pgsnap.tabular.arrow.parquet import ParquetTable

        return ParquetTable(shape, files, self._asked.wishes, self._losses)
