"""What a restore of single tables would do, for people to agree to; and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli import render
from pgsnap.cli.snapshot_view import when
from pgsnap.model import Snapshot, quote_ident

if TYPE_CHECKING:
    from pgsnap.workflows.restore_table import TablesReport
    from pgsnap.workflows.table_plan import TablePlan, TablesPlan


def _name(table: tuple[str, str]) -> str:
    return render.plain(".".join(map(quote_ident, table)))


def tables_plan_lines(
    plan: TablesPlan,
    snapshot: Snapshot,
    *,
    with_safety: bool,
    services: Sequence[str],
    now: datetime,
) -> list[str]:
    """Return the plan of a restore of tables."""
    facts = [
        (
            "Snapshot",
            f"{render.short_id(plan.snapshot_id)} of {render.plain(snapshot.database)}, "
            f"{when(snapshot.time, now)}\n{render.first_line(snapshot.message)}",
        ),
        ("Server", f"{render.plain(plan.host)}, PostgreSQL {render.plain(plan.server.version)}"),
        ("Database", render.plain(plan.database)),
    ]
    for table in plan.tables:
        facts += _table_facts(table)
    if plan.replaces:
        first = "a safety snapshot of what is there now" if with_safety else "no safety snapshot"
        facts.append(("First", first))
        if services:
            facts.append(("Stops", ", ".join(map(render.plain, services))))
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return ["This restore, in one transaction:", *render.pairs(facts, "  "), ""]


def _table_facts(table: TablePlan) -> list[tuple[str, str]]:
    words = f"{render.plural(table.rows, 'row')}, {render.size(table.plain_bytes)}"
    facts = [("Makes", f"{_name(table.target)} ({words})")]
    if table.live is not None and table.kept is not None:
        live = f"{_name(table.live.name)} ({render.size(table.live.size_bytes)} with indexes)"
        facts.append(("Replaces", live))
        facts.append(("Keeps", f"the replaced table, as {_name(table.kept)}"))
    if table.dependents.views:
        facts.append(("Makes again", ", ".join(map(render.plain, table.dependents.views))))
    if table.dependents.foreign_keys:
        keys = ", ".join(map(render.plain, table.dependents.foreign_keys))
        facts.append(("Checks", f"that these keys still hold: {keys}"))
    return facts


def tables_fields(report: TablesReport, notices: Sequence[str]) -> dict[str, Any]:
    """Return what --json tells about tables that were restored."""
    return {
        "snapshot": report.snapshot_id.hex(),
        "database": report.database,
        "tables": [
            {
                "table": _name(table.table),
                "restored_as": _name(table.target),
                "kept": _name(table.kept) if table.kept is not None else None,
                "rows": table.rows,
                "bytes": table.plain_bytes,
            }
            for table in report.tables
        ],
        "safety_snapshot": report.safety.hex() if report.safety else None,
        "rows": report.rows,
        "bytes": report.plain_bytes,
        "seconds": round(report.seconds, 3),
        "notices": list(notices),
    }


def tables_lines(report: TablesReport) -> list[str]:
    """Return what was done, and how to drop what was kept."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    for table in report.tables:
        if table.kept is not None:
            kept = _name(table.kept)
            lines.append(
                f"the replaced table is kept as {kept}; when it is not needed any more: "
                f"DROP TABLE {kept};"
            )
        lines.append(f"made {_name(table.target)}  {render.plural(table.rows, 'row')}")
    lines.append(
        f"restored {render.plural(len(report.tables), 'table')} of "
        f"{render.short_id(report.snapshot_id)} in {render.plain(report.database)}  "
        f"{render.size(report.plain_bytes)}  {render.seconds(report.seconds)}"
    )
    return lines
