"""The page and the JSON of `snap diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render

if TYPE_CHECKING:
    from pgsnap.workflows.diff.report import DiffReport, EntryDiff, TableDiff, Version

_NAMED = 5
_LINE_COLOURS = {"+": "green", "-": "red", "@": "dim"}


def side_fields(version: Version, name: str) -> dict[str, Any]:
    """Return the --json fields of one side; *name* is the name of a source."""
    if version.snapshot is None or version.snapshot_id is None:
        return {"id": None, "database": None, "source": name, "time": None}
    return {
        "id": version.snapshot_id,
        "database": version.snapshot.database,
        "source": None,
        "time": version.snapshot.time,
    }


def diff_fields(report: DiffReport, name: str) -> dict[str, Any]:
    """Return the --json fields of a diff."""
    snapshot = report.after.snapshot
    return {
        "before": side_fields(report.before, ""),
        "after": side_fields(report.after, name),
        "differ": report.contents_differ,
        "rows": {
            "removed": sum(table.removed or 0 for table in report.tables),
            "added": sum(table.added or 0 for table in report.tables),
            "changed": sum(table.changed or 0 for table in report.tables),
        },
        "bytes": sum(table.bytes_after - table.bytes_before for table in report.tables),
        "new_bytes": None if snapshot is None else snapshot.stored_bytes,
        **render.fields_of(
            report, before="", after="", tables="", definitions="", other="other_sections"
        ),
        "tables": [_table_fields(table) for table in report.tables],
        "definitions": [definition_fields(entry, texts=False) for entry in report.definitions],
    }


def _table_fields(table: TableDiff) -> dict[str, Any]:
    return {
        "schema": table.table[0],
        **render.fields_of(table, in_before="", in_after=""),
        "table": table.table[1],
        "state": _state(table),
    }


def definition_fields(entry: EntryDiff, *, texts: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"title": entry.title, "change": _change(entry)}
    if texts:
        fields |= {"before": entry.before, "after": entry.after}
    return fields


def _change(entry: EntryDiff) -> str:
    if entry.before is None:
        return "added"
    return "dropped" if entry.after is None else "changed"


def _state(table: TableDiff) -> str:
    if not table.in_before:
        return "added"
    if not table.in_after:
        return "dropped"
    return "reordered" if table.reordered else "changed"


# -- for people --------------------------------------------------------------------------------


def diff_lines(report: DiffReport, name: str, *, colour: bool) -> list[str]:
    """Return the page of `snap diff`."""
    lines = [f"{_side(report.before, '')}  ->  {_side(report.after, name)}"]
    if report.tables:
        lines += ["", *_table_lines(report.tables, colour=colour)]
    about = _other_lines(report)
    if report.tables or about:
        lines.append("")
    lines += about
    if report.unchanged_tables:
        lines.append(f"{render.plural(report.unchanged_tables, 'table')} unchanged")
    lines.append(render.style(_total(report), "bold", colour))
    return lines


def _side(version: Version, name: str) -> str:
    if version.snapshot is None or version.snapshot_id is None:
        return render.plain(f"{name} (now)")
    words = f"{version.snapshot.database} {render.clock(version.snapshot.time)}"
    return f"{render.short_id(version.snapshot_id)} {render.plain(words)}"


def _table_lines(tables: Sequence[TableDiff], *, colour: bool) -> list[str]:
    from pgsnap.model import quote_ident

    rows = [("TABLE", "ROWS", "NOW", "ADDED", "REMOVED", "CHANGED", "BYTES", "")]
    for table in tables:
        schema, name = map(quote_ident, table.table)
        rows.append(
            (
                render.plain(f"{schema}.{name}" if table.table[0] else name),
                _number(table.rows_before) if table.in_before else "-",
                _number(table.rows_after) if table.in_after else "-",
                _signed("+", table.added),
                _signed("-", table.removed),
                _signed("~", table.changed),
                _size_change(table.bytes_after - table.bytes_before),
                _remark(table),
            )
        )
    lines = render.columns(rows, right=frozenset(range(1, 7)))
    styles = ["dim", *(_table_colour(table) for table in tables)]
    return [render.style(line, name, colour) for line, name in zip(lines, styles, strict=True)]


def _table_colour(table: TableDiff) -> str:
    if not table.in_before or (table.added and not table.removed and not table.changed):
        return "green"
    if not table.in_after or (table.removed and not table.added and not table.changed):
        return "red"
    return "dim" if table.reordered else "yellow"


def _remark(table: TableDiff) -> str:
    if not table.in_before:
        return "new table"
    if not table.in_after:
        return "dropped"
    words = ["other definition"] if table.schema_changed else []
    if table.reordered:
        words.append("same rows in another order")
    if table.removed is None:
        words.append("rows cannot be distinguished")
    return ", ".join(words)


def _number(count: int | None) -> str:
    return "?" if count is None else render.number(count)


def _signed(sign: str, count: int | None) -> str:
    if count is None:
        return "?"
    return f"{sign}{render.number(count)}" if count else ""


def _size_change(count: int) -> str:
    return f"{'+' if count > 0 else ''}{render.size(count)}" if count else ""


def _other_lines(report: DiffReport) -> list[str]:
    lines = []
    if report.definitions:
        titles = [f"{entry.title} ({_change(entry)})" for entry in report.definitions]
        lines.append(f"definitions: {_list(titles)}; --schema shows them")
    if report.sequences:
        moved = [f"{found.name} {found.before} -> {found.after}" for found in report.sequences]
        lines.append(f"sequences: {_list(moved)}".replace("None", "none"))
    if report.large_objects_changed:
        lines.append("large objects differ")
    lines += [f"section {render.plain(name)} differs" for name in report.other]
    if report.globals_changed:
        lines.append("roles or tablespaces differ (they are no part of the database)")
    if report.properties_changed:
        names = ", ".join(report.properties_changed)
        lines.append(f"the database's own {names} differ (no part of its contents)")
    return lines


def _list(words: Sequence[str]) -> str:
    shown = ", ".join(render.plain(word) for word in words[:_NAMED])
    return f"{shown} and {len(words) - _NAMED} more" if len(words) > _NAMED else shown


def _total(report: DiffReport) -> str:
    if not report.contents_differ:
        return "no differences" if not report.tables else "no differences but the order of rows"
    words = [
        _signed("+", sum(table.added or 0 for table in report.tables)),
        _signed("-", sum(table.removed or 0 for table in report.tables)),
        _signed("~", sum(table.changed or 0 for table in report.tables)),
    ]
    rows = " ".join(word for word in words if word) or "no"
    parts = [f"{rows} rows"]
    change = sum(table.bytes_after - table.bytes_before for table in report.tables)
    if change:
        parts.append(_size_change(change))
    if report.after.snapshot is not None:
        parts.append(f"{render.size(report.after.snapshot.stored_bytes)} new in the repository")
    return ", ".join(parts)


def schema_lines(changes: Sequence[EntryDiff], *, colour: bool) -> list[str]:
    """Return a unified diff of the definitions, or one line if there is none."""
    from pgsnap.workflows.diff.definitions import unified

    if not changes:
        return ["no definition differs"]
    lines = []
    for line in unified(changes):
        style = "bold" if line[:3] in ("+++", "---") else _LINE_COLOURS.get(line[:1], "")
        shown = render.plain(line, keep_lines=True)
        lines.append(render.style(shown, style, colour) if style else shown)
    return lines
