"""A restore of rows alone: its plan, for confirmation, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.tables import first_facts, table_name, transaction_lines
from pgsnap.model import Snapshot

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
    facts = []
    for table in plan.tables:
        name, extension = table_name(table.table), render.plain(table.extension)
        which = f" {render.plain(table.condition)}" if table.condition else ""
        facts += [
            ("Deletes", f"{render.plural(table.rows_before, 'row')} of {name}{which}"),
            ("Loads", f"{render.plural(table.rows, 'row')} into {name}, of {extension}"),
        ]
        facts += [
            ("Raises", f"the sequence {render.plain(sequence)} to {value}")
            for sequence, value, _ in table.sequences
        ]
    facts += first_facts(with_safety=with_safety, services=services)
    return transaction_lines(plan, snapshot, facts, now)


def rows_fields(report: RowsReport) -> dict[str, Any]:
    """Return the --json fields of restored rows."""
    return {
        **render.fields_of(report, snapshot_id="snapshot", safety="safety_snapshot", tables=""),
        "tables": [
            {
                "table": table_name(table.table),
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
    """Return the result."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    for table in report.tables:
        before = render.plural(table.rows_before, "row")
        lines.append(
            f"{table_name(table.table)}  {render.plural(table.rows, 'row')}, before {before}"
        )
    lines.append(
        f"restored rows of {render.plural(len(report.tables), 'table')} of "
        f"{render.short_id(report.snapshot_id)} in {render.plain(report.database)}  "
        f"{render.seconds(report.seconds)}"
    )
    return lines
