"""What an undo undoes, as lines of its plan and as JSON fields."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.tables import table_name
from pgsnap.words import some

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.targets.swap.kept import KeptDatabase
    from pgsnap.workflows.undo.last import InDatabase, Last

Facts = list[tuple[str, str]]


def undoes_facts(last: Last, now: datetime) -> Facts:
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
        older = f"{_swap(kept)}, {render.ago(kept.since, now)}: `snap undo --whole` undoes that too"
        facts.append(("Older", older))
    return facts


def swap_facts(kept: KeptDatabase, now: datetime) -> Facts:
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
        kind, time = "rows" if done.rows_only else "tables", done.time
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
        what = f"rows of {what}" if done.rows_only else what
    return f"the {render.plain(done.action)} of {what}{_of(done.snapshot)}"


def _of(snapshot: SnapshotId | None) -> str:
    return f" from {render.short_id(snapshot)}" if snapshot is not None else ""
