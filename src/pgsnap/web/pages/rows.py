"""The rows of a table as they were in a snapshot: read from its chunks, a page at a time."""

from __future__ import annotations

import csv
import io

from pgsnap.model import Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.comparison import CELLS_MAX
from pgsnap.web.pages.shown import Shown, numeric_columns, qualified, shown_part
from pgsnap.web.pages.versions import Neighbours, neighbours
from pgsnap.workflows.diff.report import TableName
from pgsnap.workflows.past.conditions import parse_condition
from pgsnap.workflows.past.pages import PastRow
from pgsnap.workflows.past.pages import page as page_of_rows
from pgsnap.workflows.past.tables import PastTable, past_table

ROWS_SHOWN = 50
# Of a value no more is read than is shown, whatever its characters take.
_VALUE_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class RowOf:
    """A row: its *number* in the table, from 1, and the values of the page's columns. *key* names
    it in an address, "" where the table has no primary key, or its value is too long."""

    number: int
    values: tuple[Shown | None, ...]
    key: str


@dataclass(frozen=True, slots=True)
class TableData:
    """Some rows of a table of a snapshot, from number *start* on. *filter* is what they were looked
    for by; with *is_cut* the search stopped because it had read so much. *following* is where the
    next page begins, None at the end. *rows_in_all* is None where rows cannot be distinguished."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    newest: SnapshotId
    table: TableName
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[RowOf, ...]
    rows_in_all: int | None
    start: int
    filter: str
    following: int | None
    is_cut: bool
    lacks_rows: bool
    beside: Neighbours


def page(asked: Asked) -> Page:
    return table_page(
        asked.repo,
        asked.snapshot("id"),
        asked.table("table"),
        start=asked.number("start", 0),
        filter_by=asked.value("filter"),
    )


def table_page(
    repo: Repository,
    snapshot_id: SnapshotId,
    table: TableName,
    *,
    start: int = 0,
    filter_by: str = "",
    limit: int = ROWS_SHOWN,
    progress: Progress = SILENT,
) -> Page:
    """Return the page of *limit* rows of *table*, of those that meet *filter_by*. Raises
    UnknownRevision, UsageError, CorruptionError."""
    found = past_table(repo, snapshot_id, table)
    conditions = [parse_condition(filter_by, found.column_names)] if filter_by else []
    limit = min(limit, max(CELLS_MAX // max(len(found.column_names), 1), 1))
    part = page_of_rows(
        found, start, limit, conditions, value_bytes=_VALUE_BYTES, progress=progress
    )
    names = found.column_names
    snapshot = repo.snapshot(snapshot_id)
    rows = tuple(_row(found, one, names) for one in part.rows)
    data = TableData(
        snapshot_id=snapshot_id,
        snapshot=snapshot,
        newest=next(iter(repo.newest(snapshot.database, 1)), snapshot_id),
        table=table,
        columns=tuple((name, found.types.get(name, "")) for name in names),
        key=found.key,
        numeric=numeric_columns([row.values for row in rows], len(names)),
        rows=rows,
        rows_in_all=found.rows,
        start=start,
        filter=filter_by,
        following=part.following,
        is_cut=not part.is_full and part.following is not None,
        lacks_rows=found.lacks_rows,
        beside=neighbours(repo, snapshot_id, table),
    )
    return Page("rows.html", qualified(table), data, "databases")


def _row(table: PastTable, row: PastRow, names: tuple[str, ...]) -> RowOf:
    columns = row.part.columns or names
    values = dict(zip(columns, row.values, strict=False))
    key = [(name, values.get(name)) for name in table.key]
    is_named = all(one is not None and one.is_whole and one.text is not None for _, one in key)
    return RowOf(
        number=row.number + 1,
        # A partition may have its columns in another order.
        values=tuple(
            shown_part(one.text, one.size, is_whole=one.is_whole)
            if (one := values.get(name)) is not None
            else None
            for name in names
        ),
        key=_as_key([(name, one.text or "") for name, one in key if one]) if is_named else "",
    )


def _as_key(values: list[tuple[str, str]]) -> str:
    """Return the values of a key as `snap log --row` takes them."""
    words = [f"{name}={value}" for name, value in values]
    if len(words) < 2:
        return "".join(words)
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(words)
    return text.getvalue()
