"""What a restore of rows alone would do, for people to agree to; and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.model import Snapshot, quote_ident

if TYPE_CHECKING:
    from pgsnap.workflows.restore_tables.restore_rows import RowsReport
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan


def rows_plan_lines(
    plan: RowsPlan,
    snapshot: Snapshot,
    *,
    with_safety: bool,
    services: Sequence[str],
    now: datetime,
) -> list[str]:
    """Return the plan of a restore of rows."""
    facts = [
        ("Snapshot", snapshot_words(plan.snapshot_id, snapshot, now)),
        ("Server", server_words(plan.host, plan.server.version)),
        ("Database", render.plain(plan.database)),
    ]
    for table in plan.tables:
        name, extension = _name(table.table), render.plain(table.extension)
        which = f" {render.plain(table.condition)}" if table.condition else ""
        facts += [
            ("Deletes", f"{render.plural(table.rows_before, 'row')} of {name}{which}"),
            ("Loads", f"{render.plural(table.rows, 'row')} into {name}, of {extension}"),
        ]
        facts += [
            ("Raises", f"the sequence {render.plain(sequence)} to {value}")
            for sequence, value, _ in table.sequences
        ]
    first = "a safety snapshot of what is there now" if with_safety else "no safety snapshot"
    facts.append(("First", first))
    if services:
        facts.append(("Stops", ", ".join(map(render.plain, services))))
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return ["This restore, in one transaction:", *render.pairs(facts, "  "), ""]


def rows_fields(report: RowsReport) -> dict[str, Any]:
    """Return what --json tells about rows that were restored."""
    return {
        **render.fields_of(report, snapshot_id="snapshot", safety="safety_snapshot", tables=""),
        "tables": [
            {
                "table": _name(table.table),
                "extension": table.extension,
                "rows_before": table.rows_before,
                "rows": table.rows,
                "bytes": table.plain_bytes,
            }
            for table in report.tables
        ],
        "bytes": sum(table.plain_bytes for table in report.tables),
    }


def rows_lines(report: RowsReport) -> list[str]:
    """Return what was done."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    for table in report.tables:
        before = render.plural(table.rows_before, "row")
        lines.append(f"{_name(table.table)}  {render.plural(table.rows, 'row')}, before {before}")
    lines.append(
        f"restored rows of {render.plural(len(report.tables), 'table')} of "
        f"{render.short_id(report.snapshot_id)} in {render.plain(report.database)}  "
        f"{render.seconds(report.seconds)}"
    )
    return lines


def _name(table: tuple[str, str]) -> str:
    return render.plain(".".join(map(quote_ident, table)))
