"""A restore of what differs, in place: its plan, for confirmation, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.cli.views.tables import table_name
from pgsnap.model import Snapshot
from pgsnap.words import some

if TYPE_CHECKING:
    from pgsnap.workflows.restore_changed.plan import ChangedPlan
    from pgsnap.workflows.restore_changed.restore import ChangedReport, PutBackTable


def changed_plan_lines(
    plan: ChangedPlan, snapshot: Snapshot, *, services: Sequence[str], now: datetime
) -> list[str]:
    """Return the plan of a restore of what differs."""
    facts = [
        ("Snapshot", snapshot_words(plan.snapshot_id, snapshot, now)),
        ("Server", server_words(plan.host, plan.server.version)),
        ("Database", render.plain(plan.database)),
    ]
    if plan.first is not None:
        facts.append(("Recorded", f"what is there now, as {render.short_id(plan.first)}"))
        names = some([table_name(each.table) for each in plan.tables])
        what = [f"{render.plural(len(plan.tables), 'table')} ({names})"] if plan.tables else []
        what += [render.plural(plan.sequences, "sequence")] if plan.sequences else []
        facts.append(("Differ", " and ".join(what) or "nothing"))
        facts.append(
            (
                "Locks",
                f"{render.plural(plan.locked, 'table')} against writes, for about"
                f" {render.seconds(plan.seconds)}; reads wait for tables that are rewritten",
            )
        )
        facts.append(("First", "a safety snapshot of what is there then, while tables are locked"))
        size = render.size(plan.swap_bytes)
        facts.append(
            ("Instead", f"a restore without --changed-only loads {size}, and locks nothing")
        )
    if services:
        facts.append(("Stops", ", ".join(map(render.plain, services))))
    if plan.first is not None and plan.tables:
        facts.append(
            (
                "Note",
                "triggers do not fire, those of audits neither; subscribers get the changes; a"
                " snapshot that another session took before sees rewritten tables empty",
            )
        )
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return ["This restore, in one transaction:", *render.pairs(facts, "  "), ""]


def changed_fields(report: ChangedReport) -> dict[str, Any]:
    """Return the --json fields of a completed restore of what differs."""
    return {
        **render.fields_of(report, snapshot_id="snapshot", safety="safety_snapshot", tables=""),
        "tables": [
            {
                "table": table_name(each.table),
                "rewritten": each.rewritten,
                "rows_deleted": each.rows_deleted,
                "rows": each.rows_loaded,
            }
            for each in report.tables
        ],
    }


def changed_lines(report: ChangedReport) -> list[str]:
    """Return the result."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    lines += [f"{table_name(each.table)}  {_words(each)}" for each in report.tables]
    if report.sequences:
        lines.append(f"set {render.plural(report.sequences, 'sequence')}")
    proven = "; all of it was compared" if report.proven else ""
    if not report.tables and not report.sequences:
        lines.append(
            f"{render.plain(report.database)} is as {render.short_id(report.snapshot_id)} already"
            + proven
        )
        return lines
    lines.append(
        f"restored what differed from {render.short_id(report.snapshot_id)} in"
        f" {render.plain(report.database)}  {render.seconds(report.seconds)}, locked for"
        f" {render.seconds(report.locked_seconds)}{proven}"
    )
    return lines


def _words(table: PutBackTable) -> str:
    if table.rewritten:
        return f"rewritten: {render.plural(table.rows_loaded, 'row')}, before {table.rows_deleted}"
    return f"{table.rows_deleted} rows deleted, {table.rows_loaded} loaded"
