"""A restore of single tables: its plan, for confirmation, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.model import Snapshot, quote_ident

if TYPE_CHECKING:
    from pgsnap.workflows.restore_tables.chosen import TablePlan
    from pgsnap.workflows.restore_tables.plan import TablesPlan
    from pgsnap.workflows.restore_tables.restore import TablesReport
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan


def table_name(table: tuple[str, str]) -> str:
    return render.plain(".".join(map(quote_ident, table)))


def first_facts(
    *, with_safety: bool, services: Sequence[str], keeps_tables: bool = False
) -> list[tuple[str, str]]:
    """Return the steps before anything is replaced. *keeps_tables*: what is replaced stays under
    another name."""
    first = "a safety snapshot of what is there now"
    if not with_safety:
        left = (
            "the replaced tables stay as named here"
            if keeps_tables
            else "rows that are changed or deleted are kept nowhere"
        )
        first = f"no safety snapshot: {named('snap undo')} cannot take this back; {left}"
    stops = [("Stops", ", ".join(map(render.plain, services)))] if services else []
    return [("First", first), *stops]


def transaction_lines(
    plan: TablesPlan | RowsPlan,
    snapshot: Snapshot,
    changes: Sequence[tuple[str, str]],
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return the plan of a restore that makes *changes* in one transaction; if it is an undo, what
    it *undoes*."""
    facts = [
        *undoes,
        ("Snapshot", snapshot_words(plan.snapshot_id, snapshot, now)),
        ("Server", server_words(plan.host, plan.server.version)),
        ("Database", render.plain(plan.database)),
        *changes,
        *(("Note", render.plain(warning)) for warning in plan.warnings),
    ]
    return [title_of(undoes), *render.pairs(facts, "  "), ""]


def title_of(undoes: Sequence[tuple[str, str]]) -> str:
    """Return the first line of a plan."""
    return f"This {'undo' if undoes else 'restore'}, in one transaction:"


def tables_plan_lines(
    plan: TablesPlan,
    snapshot: Snapshot,
    *,
    with_safety: bool,
    services: Sequence[str],
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return the plan of a restore of tables."""
    facts = []
    for table in plan.tables:
        if table.parent is None:
            facts += _table_facts(table, plan.partitions(table))
    if plan.aside:
        names = ", ".join(table_name(left.kept) for left in plan.aside)
        facts.append(("Keeps", f"partitions that the snapshot lacks, as {names}"))
    if plan.replaces:
        facts += first_facts(with_safety=with_safety, services=services, keeps_tables=True)
    return transaction_lines(plan, snapshot, facts, now, undoes)


def _table_facts(table: TablePlan, partitions: Sequence[TablePlan]) -> list[tuple[str, str]]:
    whole = (table, *partitions)
    rows, size = sum(t.rows for t in whole), sum(t.plain_bytes for t in whole)
    words = f"{render.plural(rows, 'row')}, {render.size(size)}"
    if partitions:
        words += f", {render.plural(len(partitions), 'partition')}"
    facts = [("Makes", f"{table_name(table.target)} ({words})")]
    if table.live is not None and table.kept is not None:
        size = sum(t.live.size_bytes for t in whole if t.live is not None)
        facts.append(
            ("Replaces", f"{table_name(table.live.name)} ({render.size(size)} with indexes)")
        )
        facts.append(("Keeps", f"the replaced table, as {table_name(table.kept)}"))
    views = dict.fromkeys(view for t in whole for view in t.dependents.views)
    if views:
        facts.append(("Makes again", ", ".join(map(render.plain, views))))
    keys = [key for t in whole for key in t.dependents.foreign_keys]
    if keys:
        names = ", ".join(map(render.plain, keys))
        facts.append(("Checks", f"that these keys still hold: {names}"))
    return facts


def tables_fields(report: TablesReport) -> dict[str, Any]:
    """Return the --json fields of restored tables."""
    return {
        **render.fields_of(
            report, snapshot_id="snapshot", safety="safety_snapshot", plain_bytes="bytes"
        ),
        "tables": [
            {
                "table": table_name(table.table),
                "restored_as": table_name(table.target),
                "kept": table_name(table.kept) if table.kept is not None else None,
                "rows": table.rows,
                "bytes": table.plain_bytes,
            }
            for table in report.tables
        ],
        "set_aside": [
            {"table": table_name(live), "kept": table_name(kept)} for live, kept in report.set_aside
        ],
    }


def tables_lines(report: TablesReport) -> list[str]:
    """Return the result, and how to drop the kept tables."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    for partition in report.set_aside:
        live, kept = map(table_name, partition)
        lines.append(f"the partition {live}, which the snapshot lacks, is kept as {kept}")
    for table in report.tables:
        if table.parent is not None:
            continue
        if table.kept is not None:
            kept = table_name(table.kept)
            lines.append(f"the replaced table is kept as {kept}")
            lines.append(f"when it is not needed any more: DROP TABLE {kept};")
        whole = (table, *report.partitions(table))
        words = render.plural(sum(t.rows for t in whole), "row")
        if len(whole) > 1:
            words += f" in {render.plural(len(whole) - 1, 'partition')}"
        lines.append(f"made {table_name(table.target)}  {words}")
    count = sum(table.parent is None for table in report.tables)
    lines.append(
        f"restored {render.plural(count, 'table')} of "
        f"{render.short_id(report.snapshot_id)} in {render.plain(report.database)}  "
        f"{render.size(report.plain_bytes)}  {render.seconds(report.seconds)}"
    )
    return lines
