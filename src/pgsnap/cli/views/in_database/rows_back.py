"""A restore of single rows: its plan, for confirmation, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.rows.differing import COLOURS, SIGNS, apart, shown_value
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.cli.views.tables import first_facts, table_name, title_of
from pgsnap.model import Snapshot

if TYPE_CHECKING:
    from pgsnap.workflows.restore_rows.model import ChangedRow, RowsBackPlan
    from pgsnap.workflows.restore_rows.write import RowsBackReport

_ROWS_SHOWN = 50


def rows_back_plan_lines(
    plan: RowsBackPlan,
    snapshot: Snapshot,
    *,
    with_safety: bool,
    services: Sequence[str],
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
    colour: bool = False,
) -> list[str]:
    """Return the plan, and the rows that change."""
    name = table_name(plan.options.table)
    facts = [
        *undoes,
        ("Snapshot", snapshot_words(plan.snapshot_id, snapshot, now)),
        ("Server", server_words(plan.host, plan.server.version)),
        ("Database", render.plain(plan.database)),
    ]
    if not plan.refusals or plan.changes:
        facts.append(("Rows", f"{name}: {_counts(plan)}"))
    left = plan.extra - plan.deleted
    if left > 0:
        facts.append(
            ("Leaves", f"{render.plural(left, 'row')} that the snapshot does not have (--delete)")
        )
    if plan.locked:
        tables = ", ".join(map(render.plain, plan.locked))
        facts.append(("Locks", f"{tables} against writes; reads go on"))
    if plan.changes:
        facts += first_facts(with_safety=with_safety, services=services)
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    lines = [title_of(undoes), *render.pairs(facts, "  ")]
    lines += [f"  {_line(plan, row, colour=colour)}" for row in plan.rows[:_ROWS_SHOWN]]
    more = plan.changes - min(len(plan.rows), _ROWS_SHOWN)
    if plan.rows and more:
        lines.append(f"  ... and {render.plural(more, 'more row')}")
    return [*lines, ""]


def rows_back_fields(plan: RowsBackPlan) -> dict[str, Any]:
    """Return the --json fields of a plan or its result."""
    return {
        "snapshot": plan.snapshot_id,
        "database": plan.database,
        "table": table_name(plan.options.table),
        "key": plan.key,
        "added": plan.added,
        "changed": plan.changed,
        "deleted": plan.deleted,
        "same": plan.same,
        "not_in_snapshot": plan.extra - plan.deleted,
        "locked": plan.locked,
        "columns": [value.column for value in plan.rows[0].values] if plan.rows else [],
        "rows": [
            {
                "change": row.change,
                "before": _side(row, "added"),
                "after": _side(row, "deleted"),
                "too_long": any(value.too_long for value in row.values),
            }
            for row in plan.rows
        ],
    }


def rows_back_lines(report: RowsBackReport) -> list[str]:
    """Return the result."""
    plan = report.plan
    name, snapshot = table_name(plan.options.table), render.short_id(plan.snapshot_id)
    if not plan.changes:
        if not plan.same:
            return [f"no row of {name} in {snapshot} is chosen: nothing was changed"]
        return [f"{render.plural(plan.same, 'row')} of {name}: as in {snapshot} already"]
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    lines.append(
        f"restored rows of {name} of {snapshot} in {render.plain(plan.database)}:"
        f" {_counts(plan)}  {render.seconds(report.seconds)}"
    )
    return lines


def _counts(plan: RowsBackPlan) -> str:
    counts = (("added", plan.added), ("changed", plan.changed), ("deleted", plan.deleted))
    words = [f"{render.number(count)} {word}" for word, count in counts if count]
    words += [f"{render.number(plan.same)} as in the snapshot already"] if plan.same else []
    return ", ".join(words) or "none"


def _side(row: ChangedRow, without: str) -> list[str | None] | None:
    """Return the values before or after, None where there is no such row."""
    if row.change == without:
        return None
    is_before = without == "added"
    return [value.before if is_before else value.after for value in row.values]


def _line(plan: RowsBackPlan, row: ChangedRow, *, colour: bool) -> str:
    sign = {"added": "added", "deleted": "removed", "changed": "changed"}[row.change]
    mark = render.style(SIGNS[sign], COLOURS[sign], colour)
    if row.change != "changed":
        values = [(v.column, v.before if row.change == "deleted" else v.after) for v in row.values]
        words = (f"{render.plain(name)}={shown_value(value)}" for name, value in values)
        return f"{mark} {', '.join(words)}"
    key = ", ".join(
        f"{render.plain(v.column)}={shown_value(v.before)}"
        for v in row.values
        if v.column in plan.key
    )
    changes = ", ".join(
        f"{render.plain(v.column)}: {apart(v.before, v.after)}" for v in row.values if v.differs
    )
    return f"{mark} {key}: {changes}"
