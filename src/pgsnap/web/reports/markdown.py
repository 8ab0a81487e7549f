"""Pages as Markdown, for a comment on a pull request or a job's summary.

Whatever comes from the database or its users stands in code spans: there nothing is a link, a
picture, or the name of somebody who would be notified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from pgsnap.web.pages.base import Page
from pgsnap.web.pages.comparison import CellChange, ComparisonData, RowsData, RowsShown
from pgsnap.web.pages.database import DatabaseData
from pgsnap.web.pages.row import RowData
from pgsnap.web.pages.rows import TableData
from pgsnap.web.pages.shown import Shown, qualified
from pgsnap.web.pages.snapshot import SnapshotData
from pgsnap.web.pages.versions import TableVersion, VersionsData
from pgsnap.words import ago, clock, number, plain, plural, short_id, size
from pgsnap.workflows.diff.definitions import unified
from pgsnap.workflows.diff.report import TableDiff

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_KINDS = {"first": "there from the first snapshot on", "defined": "table redefined"}
# A run of backquotes closes a fence that is not longer.
_FENCE_LEAST = 3
_LINES_SHOWN = 400
_TABLES_SHOWN = 30


def markdown(pages: Sequence[Page], now: datetime) -> str:
    """Return *pages* as one text."""
    lines: list[str] = []
    for page in pages:
        if isinstance(page.data, DatabaseData):
            lines += _database(page.data, now)
        elif isinstance(page.data, SnapshotData):
            lines += _snapshot(page.data)
        elif isinstance(page.data, ComparisonData):
            lines += _comparison(page.data)
        elif isinstance(page.data, RowsData):
            lines += _rows_page(page.data)
        elif isinstance(page.data, VersionsData):
            lines += _versions(page.data)
        elif isinstance(page.data, TableData):
            lines += _table(page.data)
        elif isinstance(page.data, RowData):
            lines += _row(page.data)
        lines.append("")
    return "\n".join(lines)


def code(text: str) -> str:
    """Return foreign text as a code span, in which nothing has a meaning; "" for nothing."""
    shown = plain(text)
    if not shown.strip():
        return ""
    if "`" not in shown and "|" not in shown and shown == shown.strip():
        return f"`{shown}`"
    # A cell of a table ends at a bar even in a code span.
    named = re.sub(r"[^\w\s]|_", lambda found: f"&#{ord(found[0])};", shown)
    return f"<code>{named}</code>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> Iterator[str]:
    """Yield the lines of a table, with the last columns from *right* on right-aligned."""
    yield f"| {' | '.join(head)} |"
    marks = ["---" if place < right or not right else "--:" for place in range(len(head))]
    yield f"| {' | '.join(marks)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _database(page: DatabaseData, now: datetime) -> Iterator[str]:
    yield f"## Database {code(page.label)}"
    yield ""
    yield f"{plural(page.count, 'snapshot')}."
    yield ""
    rows = [
        (
            code(short_id(entry.snapshot_id)),
            f"{clock(entry.snapshot.time)} ({ago(entry.snapshot.time, now)})",
            " ".join([code(entry.snapshot.message.strip().split("\n")[0]), *map(code, entry.tags)]),
            size(entry.snapshot.plain_bytes),
            size(entry.snapshot.stored_bytes),
        )
        for entry in page.entries
    ]
    yield from table(("Snapshot", "Taken", "Message", "Size", "New"), rows, right=3)
    if page.older is not None:
        yield f"{number(len(rows))} of {number(page.count)} are shown."


def _snapshot(page: SnapshotData) -> Iterator[str]:
    head = page.snapshot
    yield f"## Snapshot {code(short_id(page.snapshot_id))} of {code(head.database)}"
    yield ""
    yield " ".join([code(head.message.strip().split("\n")[0]), *map(code, page.tags)])
    yield ""
    yield (
        f"Taken {clock(head.time)}: {plural(head.table_count, 'table')}, "
        f"{plural(head.rows, 'row')}, {size(head.plain_bytes)}, {size(head.stored_bytes)} new."
    )
    yield ""
    rows = [
        (
            code(qualified(one.table)),
            "?" if one.rows is None else number(one.rows),
            size(one.plain_bytes),
            "" if one.stored_bytes is None else size(one.stored_bytes),
            "" if not one.new_bytes else size(one.new_bytes),
        )
        for one in page.tables[:_TABLES_SHOWN]
    ]
    yield from table(("Table", "Rows", "Size", "Stored", "New"), rows, right=1)
    if page.found > len(rows):
        yield f"{number(len(rows))} of {plural(page.found, 'table')} are shown."


def _comparison(page: ComparisonData) -> Iterator[str]:
    report = page.report
    yield f"## What changed in {code(page.after.database)}"
    yield ""
    yield from _sides(page)
    if not report.contents_differ:
        yield "No differences." if not report.tables else "No differences but the order of rows."
        return
    yield (
        f"**+{number(page.added)} -{number(page.removed)} ~{number(page.changed)} rows** in "
        f"{plural(len(report.tables), 'table')}, {plural(len(report.definitions), 'definition')};"
        f" {plural(report.unchanged_tables, 'table')} unchanged."
    )
    yield ""
    if page.tables:
        rows = [_table_row(one) for one in page.tables]
        head = ("Table", "", "Rows before", "After", "Added", "Removed", "Changed")
        yield from table(head, rows, right=2)
    if len(page.tables) < len(report.tables):
        yield f"{number(len(page.tables))} of {number(len(report.tables))} are shown."
        yield ""
    for rows_shown in page.rows:
        yield f"### Rows of {code(qualified(rows_shown.table))}"
        yield ""
        yield from _rows(rows_shown)
    if page.rows_left_out:
        yield f"The rows of {plural(page.rows_left_out, 'more table')} are left out."
        yield ""
    if report.definitions:
        yield "### Definitions"
        yield ""
        yield from _definitions(page)
    for one in report.sequences[:_TABLES_SHOWN]:
        yield f"* sequence {code(one.name)}: {_or_none(one.before)} to {_or_none(one.after)}"
    yield from _also(page)


def _also(page: ComparisonData) -> Iterator[str]:
    report = page.report
    if report.large_objects_changed:
        yield "* large objects differ"
    yield from (f"* section {code(name)} differs" for name in report.other)
    if report.globals_changed:
        yield "* roles or tablespaces differ (they are no part of the database)"
    if report.properties_changed:
        names = ", ".join(report.properties_changed)
        yield f"* the database's own {names} differ (no part of its contents)"


def _or_none(count: int | None) -> str:
    return "none" if count is None else number(count)


def _sides(page: ComparisonData | RowsData) -> Iterator[str]:
    for name, found, snapshot in (
        ("From", page.before_id, page.before),
        ("To", page.after_id, page.after),
    ):
        message = code(snapshot.message.strip().split("\n")[0])
        yield f"{name} {code(short_id(found))}, {clock(snapshot.time)}, {message}  "
    yield ""


def _table_row(one: TableDiff) -> tuple[str, ...]:
    remark = ""
    if not one.in_before:
        remark = "new"
    elif not one.in_after:
        remark = "dropped"
    elif one.reordered:
        remark = "other order"
    elif one.schema_changed:
        remark = "other definition"
    counts = [
        "?" if count is None else f"{sign}{number(count)}" if count else ""
        for sign, count in (("+", one.added), ("-", one.removed), ("~", one.changed))
    ]
    before = _or_unknown(one.rows_before) if one.in_before else "-"
    after = _or_unknown(one.rows_after) if one.in_after else "-"
    return code(qualified(one.table)), remark, before, after, *counts


def _or_unknown(count: int | None) -> str:
    return "?" if count is None else number(count)


def _definitions(page: ComparisonData) -> Iterator[str]:
    lines = [plain(line, keep_lines=True) for line in unified(page.report.definitions)]
    shown = lines[:_LINES_SHOWN]
    runs = [len(run) for line in shown for run in re.findall("`+", line)]
    fence = "`" * max(_FENCE_LEAST, 1 + max(runs, default=0))
    yield f"{fence}diff"
    yield from shown
    yield fence
    if len(shown) < len(lines):
        yield ""
        yield f"{number(len(shown))} of {plural(len(lines), 'line')} are shown."
    yield ""


def _rows_page(page: RowsData) -> Iterator[str]:
    yield f"## Rows of {code(qualified(page.rows.table))} that differ"
    yield ""
    yield from _sides(page)
    if page.rows.total:
        yield from _rows(page.rows)
    else:
        yield "No row differs."


def _rows(rows: RowsShown) -> Iterator[str]:
    found = [
        [_SIGNS[row.change], *map(_cell, row.cells)]
        if row.cells
        else [_SIGNS[row.change], f"a row of {size(row.size)}, too long to be shown"]
        for row in rows.rows
    ]
    head = ["", *(code(name) for name in rows.columns)]
    yield from table(head, [[*row, *[""] * (len(head) - len(row))] for row in found])
    if len(found) < rows.total:
        yield f"{number(len(found))} of {number(rows.total)} are shown."
        yield ""


def _cell(cell: CellChange) -> str:
    if cell.differs:
        return f"{_value(cell.before)} → {_value(cell.after)}"
    return _value(cell.only)


def _value(one: Shown | None) -> str:
    if one is None:
        return "(no column)"
    if one.text is None:
        return "NULL"
    before, after = "" if one.begins else "… ", "" if one.ends else " …"
    return f"{before}{code(one.text)}{after}"


def _versions(page: VersionsData) -> Iterator[str]:
    yield f"## Versions of {code(qualified(page.table))}"
    yield ""
    yield f"In {number(page.looked_at)} of {plural(page.count, 'snapshot')} of {code(page.label)}."
    yield ""
    rows = [_version(one) for one in page.versions]
    head = ("Since", "Taken", "Message", "Snapshots", "Rows", "Size", "Added", "Removed", "Changed")
    yield from table(head, rows, right=3)


def _version(one: TableVersion) -> tuple[str, ...]:
    counts = [
        f"{sign}{number(count)}" if count else ""
        for sign, count in (("+", one.added), ("-", one.removed), ("~", one.changed))
    ]
    return (
        code(short_id(one.first)),
        clock(one.first_time),
        code(one.message.strip().split("\n")[0]),
        number(one.snapshots),
        "not there" if not one.is_there else _or_unknown(one.rows),
        "" if one.plain_bytes is None else size(one.plain_bytes),
        *counts,
    )


def _table(page: TableData) -> Iterator[str]:
    yield f"## Rows of {code(qualified(page.table))}"
    yield ""
    yield f"As of {code(short_id(page.snapshot_id))}, {clock(page.snapshot.time)}."
    yield ""
    head = [code(name) for name, _ in page.columns]
    yield from table(head, [[_value(one) for one in row.values] for row in page.rows])
    if page.rows_in_all is None:
        yield "The dump has the rows as INSERT statements, which are not told apart."
    else:
        yield f"{number(len(page.rows))} of {plural(page.rows_in_all, 'row')} shown."
    if page.lacks_rows:
        yield "The snapshot does not have all rows of this table: they were excluded."


def _row(page: RowData) -> Iterator[str]:
    yield f"## Row {code(page.shown_key)} of {code(qualified(page.table))}"
    yield ""
    rows = []
    for event in page.events:
        found = [
            f"{code(one.column)}: {_value(one.before)} → {_value(one.after)}"
            if event.kind == "changed"
            else f"{code(one.column)} = {_value(one.before if one.after is None else one.after)}"
            for one in event.changes
        ]
        message = code(event.snapshot.message.strip().split("\n")[0])
        time, kind = clock(event.snapshot.time), _KINDS.get(event.kind, event.kind)
        rows.append((code(short_id(event.snapshot_id)), time, message, kind, "<br>".join(found)))
    yield from table(("Snapshot", "Taken", "Message", "What", "Values"), rows)
    yield f"{plural(page.looked_at, 'snapshot')} looked through."
    if page.gaps:
        yield ""
        yield f"Not known: {code(page.gaps)}"
