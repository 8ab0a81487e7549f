"""A restore of rows alone, or of what differs: its plan, for confirmation, and its result; and what
an undo undoes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.cli.views.tables import first_facts, table_name, title_of, transaction_lines
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.words import some

if TYPE_CHECKING:
    from pgsnap.targets.swap.kept import KeptDatabase
    from pgsnap.workflows.restore_changed.plan import ChangedPlan
    from pgsnap.workflows.restore_changed.restore import ChangedReport, PutBackTable
    from pgsnap.workflows.restore_tables.restore_rows import RowsReport
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan
    from pgsnap.workflows.undo.last import InDatabase, Last


def rows_plan_lines(
    plan: RowsPlan,
    snapshot: Snapshot,
    *,
    with_safety: bool,
    services: Sequence[str],
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
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
    return transaction_lines(plan, snapshot, facts, now, undoes)


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


def changed_plan_lines(
    plan: ChangedPlan,
    snapshot: Snapshot,
    *,
    services: Sequence[str],
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return the plan of a restore of what differs."""
    facts = [
        *undoes,
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
                " snapshot that another session took before sees rewritten tables as they are then",
            )
        )
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return [title_of(undoes), *render.pairs(facts, "  "), ""]


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


def undoes_facts(last: Last, now: datetime) -> list[tuple[str, str]]:
    """Return what a plan says of what was done last, and of what was done before it."""
    from pgsnap.workflows.notes.tables_put_back import TablesPutBack

    done, kept = last.done, last.kept
    if done is None:
        return swap_facts(kept, now) if kept is not None else []
    facts = [("Undoes", f"{_deed(done)}, {render.ago(done.time, now)}")]
    if isinstance(done, TablesPutBack) and done.new:
        names = some([table_name(table) for table in done.new])
        facts.append(("Stays", f"{names}, which was not there before"))
    if kept is not None:
        way = named("`snap undo --whole` undoes that too")
        facts.append(("Older", f"{_swap(kept)}, {render.ago(kept.since, now)}: {way}"))
    return facts


def swap_facts(kept: KeptDatabase, now: datetime) -> list[tuple[str, str]]:
    """Return what the plan of an undo says if a whole database is put back."""
    return [("Undoes", f"{_swap(kept)}, {render.ago(kept.since, now)}")]


def undoes_fields(done: InDatabase | KeptDatabase) -> dict[str, Any]:
    """Return the --json field of what was undone."""
    from pgsnap.targets.swap.kept import KeptDatabase
    from pgsnap.workflows.notes.tables_put_back import TablesPutBack

    tables: list[str] = []
    if isinstance(done, KeptDatabase):
        kind, time = "database", done.since
    elif isinstance(done, TablesPutBack):
        kind, time = "rows" if done.rows_only or done.keys else "tables", done.time
        tables = [table_name(table) for table in done.tables]
    else:
        kind, time = "changed", done.time
    return {
        "undoes": {
            "kind": kind,
            "action": done.action,
            "time": time,
            "snapshot": done.snapshot,
            "tables": tables,
        }
    }


def _swap(kept: KeptDatabase) -> str:
    return f"the {render.plain(kept.action)} of the whole database{_of(kept.snapshot)}"


def _deed(done: InDatabase) -> str:
    from pgsnap.workflows.notes.tables_put_back import TablesPutBack

    what = "what differed"
    if isinstance(done, TablesPutBack):
        what = some([table_name(table) for table in done.tables])
        if done.keys:
            what = f"{render.plural(len(done.keys), 'row')} of {what}"
        elif done.rows_only:
            what = f"rows of {what}"
    return f"the {render.plain(done.action)} of {what}{_of(done.snapshot)}"


def _of(snapshot: SnapshotId | None) -> str:
    return f" from {render.short_id(snapshot)}" if snapshot is not None else ""
