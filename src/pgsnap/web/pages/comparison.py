"""Two snapshots beside each other: tables, definitions, and the rows that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from pgsnap.model import Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.shown import Shown, numeric_columns, qualified, shown, shown_apart
from pgsnap.web.pages.side_by_side import Line, side_by_side
from pgsnap.words import short_id
from pgsnap.workflows.diff.diff import diff, diff_rows
from pgsnap.workflows.diff.report import DiffReport, EntryDiff, TableDiff, TableName
from pgsnap.workflows.diff.row_values import row_values

if TYPE_CHECKING:
    from pgsnap.rows.difference import RowChange
    from pgsnap.workflows.diff.rows import TableRows

ROWS_SHOWN = 100
TABLES_SHOWN = 200
DEFINITIONS_SHOWN = 100
_ROWS_OF_TABLES_MAX = 30
CELLS_MAX = 50_000
"""So many values fit on a page, and into memory."""


@dataclass(frozen=True, slots=True)
class CellChange:
    """A value on either side, None where that side has no such row or column."""

    before: Shown | None
    after: Shown | None
    differs: bool = False

    @property
    def is_same(self) -> bool:
        """Whether both sides have it, and the same."""
        return not self.differs and self.before is not None and self.after is not None

    @property
    def only(self) -> Shown | None:
        """The value, where it is the same on both sides or there is one side."""
        return self.after if self.after is not None else self.before


@dataclass(frozen=True, slots=True)
class RowShown:
    """A row that was "added", "removed" or "changed"; without *cells* it is too long, of *size*
    bytes."""

    change: str
    cells: tuple[CellChange, ...]
    size: int


@dataclass(frozen=True, slots=True)
class RowsShown:
    """The rows of a table that differ: *rows* of them are shown, of *total*."""

    table: TableName
    key: tuple[str, ...]
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[RowShown, ...]
    added: int
    removed: int
    changed: int

    @property
    def total(self) -> int:
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class DefinitionShown:
    """A definition that differs, its lines side by side."""

    title: str
    change: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ComparisonData:
    """Two snapshots. *tables* and *definitions* are those shown; *rows* are of some
    tables, as far as they were asked for; those of *rows_left_out* more tables are left out."""

    before_id: SnapshotId
    after_id: SnapshotId
    before: Snapshot
    after: Snapshot
    report: DiffReport
    tables: tuple[TableDiff, ...]
    definitions: tuple[DefinitionShown, ...]
    rows: tuple[RowsShown, ...]
    rows_left_out: int

    @property
    def added(self) -> int:
        return sum(table.added or 0 for table in self.report.tables)

    @property
    def removed(self) -> int:
        return sum(table.removed or 0 for table in self.report.tables)

    @property
    def changed(self) -> int:
        return sum(table.changed or 0 for table in self.report.tables)

    @property
    def bytes_change(self) -> int:
        return sum(table.bytes_after - table.bytes_before for table in self.report.tables)


@dataclass(frozen=True, slots=True)
class RowsData:
    """The rows of one table that differ between two snapshots."""

    before_id: SnapshotId
    after_id: SnapshotId
    before: Snapshot
    after: Snapshot
    rows: RowsShown


def page(asked: Asked) -> Page:
    before, after = asked.snapshot("from"), asked.snapshot("to")
    if asked.value("table"):
        return rows_page(asked.repo, before, after, asked.value("table"))
    return comparison_page(asked.repo, before, after)


def comparison_page(
    repo: Repository,
    before_id: SnapshotId,
    after_id: SnapshotId,
    *,
    rows: int = 0,
    progress: Progress = SILENT,
) -> Page:
    """Return the page of two snapshots, with *rows* that differ of each table. Raises
    UnknownRevision, CorruptionError."""
    report = diff(repo, before_id, after_id, progress=progress)
    before, after = report.before.snapshot, report.after.snapshot
    assert before is not None
    assert after is not None
    with_rows = [one for one in report.tables if one.added or one.removed or one.changed]
    of_tables: list[RowsShown] = []
    cells = 0
    for one in with_rows[:_ROWS_OF_TABLES_MAX] if rows else ():
        if cells > CELLS_MAX:
            break
        name = qualified(one.table)
        of_tables.append(changed_rows(repo, before_id, after_id, name, rows, progress))
        cells += len(of_tables[-1].rows) * len(of_tables[-1].columns)
    data = ComparisonData(
        before_id=before_id,
        after_id=after_id,
        before=before,
        after=after,
        report=report,
        tables=report.tables[:TABLES_SHOWN],
        definitions=tuple(map(_definition, report.definitions[:DEFINITIONS_SHOWN])),
        rows=tuple(of_tables),
        rows_left_out=len(with_rows) - len(of_tables) if rows else 0,
    )
    title = f"{short_id(before_id)} to {short_id(after_id)}"
    return Page("comparison.html", title, data, "databases")


def rows_page(
    repo: Repository,
    before_id: SnapshotId,
    after_id: SnapshotId,
    table: str,
    *,
    limit: int = ROWS_SHOWN,
    progress: Progress = SILENT,
) -> Page:
    """Return the page of the rows of *table* that differ. Raises UsageError if neither side has
    it, UnknownRevision, CorruptionError."""
    rows = changed_rows(repo, before_id, after_id, table, limit, progress)
    data = RowsData(before_id, after_id, repo.snapshot(before_id), repo.snapshot(after_id), rows)
    return Page("changed_rows.html", qualified(rows.table), data, "databases")


def changed_rows(
    repo: Repository,
    before_id: SnapshotId,
    after_id: SnapshotId,
    table: str,
    limit: int,
    progress: Progress = SILENT,
) -> RowsShown:
    """Return up to *limit* rows of *table* that differ, and how many there are."""
    with diff_rows(repo, before_id, after_id, table, progress=progress) as compared:
        names = _columns(compared)
        limit = min(limit, max(CELLS_MAX // max(len(names), 1), 1))
        # One by one: a row may be of megabytes.
        found = [_row(one, compared, names) for one in islice(compared.changes(limit), limit)]
        order = _changed_first(found, names, compared.key)
        found = [_in_this_order(row, order) for row in found]
        names = tuple(names[place] for place in order)
        counts = compared.counts
        width = max([len(names), *(len(row.cells) for row in found)])
        both = [[cell.only or shown(None) for cell in row.cells] for row in found]
        return RowsShown(
            table=compared.table,
            key=compared.key,
            columns=names if width == len(names) else (*names, *[""] * (width - len(names))),
            numeric=numeric_columns(both, width),
            rows=tuple(found),
            added=counts.added,
            removed=counts.removed,
            changed=counts.changed,
        )


def _columns(compared: TableRows) -> tuple[str, ...]:
    """Return the columns of both sides, those of the key first."""
    first, second = compared.columns
    return tuple(dict.fromkeys([*compared.key, *(second or ()), *(first or ())]))


def _changed_first(rows: Sequence[RowShown], names: Sequence[str], key: Sequence[str]) -> list[int]:
    """Return the places of *names*: the key, the columns in which some of *rows* changed, and the
    others, so that what changed is seen first."""
    changed = [row.cells for row in rows if row.change == "changed"]

    def rank(place: int) -> int:
        if names[place] in key:
            return 0
        return 1 if any(len(c) > place and not c[place].is_same for c in changed) else 2

    return sorted(range(len(names)), key=rank)


def _in_this_order(row: RowShown, order: Sequence[int]) -> RowShown:
    """Return *row* with its cells in another order, unless it has not all of them."""
    if len(row.cells) != len(order):
        return row
    return replace(row, cells=tuple(row.cells[place] for place in order))


def _row(change: RowChange, compared: TableRows, names: Sequence[str]) -> RowShown:
    kind = "changed"
    if change.before is None:
        kind = "added"
    elif change.after is None:
        kind = "removed"
    sides = (change.before, change.after)
    texts = [row_values(row, code) for row, code in zip(sides, compared.encodings, strict=True)]
    if any(row is not None and text is None for row, text in zip(sides, texts, strict=True)):
        return RowShown(kind, (), max(row.size for row in sides if row is not None))
    old, new = (
        _in_order(text, columns, names)
        for text, columns in zip(texts, compared.columns, strict=True)
    )
    cells = [_cell(*pair) for pair in zip_longest(old, new)]
    return RowShown(kind, tuple(cells), 0)


def _in_order(
    values: Sequence[str | None] | None, columns: Sequence[str] | None, names: Sequence[str]
) -> list[tuple[str | None] | None]:
    """Return the values of one side in the order of *names*, each in a tuple; None where that side
    has none. Where its columns are not known they keep their order."""
    if values is None:
        return [None] * len(names)
    if columns is None or len(columns) != len(values):
        return [(value,) for value in values]
    found = dict(zip(columns, values, strict=True))
    return [(found[name],) if name in found else None for name in names]


def _cell(old: tuple[str | None] | None, new: tuple[str | None] | None) -> CellChange:
    if old is not None and new is not None and old != new:
        return CellChange(*shown_apart(old[0], new[0]), differs=True)
    return CellChange(
        shown(old[0]) if old is not None else None, shown(new[0]) if new is not None else None
    )


def _definition(entry: EntryDiff) -> DefinitionShown:
    change = "changed"
    if entry.before is None:
        change = "added"
    elif entry.after is None:
        change = "dropped"
    return DefinitionShown(entry.title, change, side_by_side(entry.before, entry.after))
