"""`snap log`: the snapshots, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.invocation import Invocation
from pgsnap.cli.snapshot_view import log_block, log_rows, snapshot_fields
from pgsnap.cli.world import open_repository

EXAMPLES = """
snap log
snap log --oneline --limit 10
snap log --database shop --json | jq -r '.[0].id'
"""


def run(
    ctx: typer.Context,
    oneline: Annotated[bool, typer.Option("--oneline", help="One line for each.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, metavar="N", help="Only the newest N."),
    ] = None,
) -> None:
    """List the snapshots, newest first."""
    from pgsnap.workflows.history import log

    invocation = Invocation.of(ctx)
    with open_repository(invocation) as repo:
        entries = log(repo, database=invocation.settings.database, limit=limit)
    fields = [snapshot_fields(entry.snapshot_id, entry.snapshot, entry.tags) for entry in entries]
    if not entries and not invocation.json:
        invocation.tell('no snapshots yet: record one with `snap commit -m "first snapshot"`')
    now = invocation.now
    lines: list[str] = []
    if oneline:
        shown = [(entry.snapshot_id, entry.snapshot, entry.tags) for entry in entries]
        several = len({entry.snapshot.database for entry in entries}) > 1
        lines = log_rows(shown, now=now, several_databases=several)
    else:
        for entry in entries:
            lines += log_block(
                entry.snapshot_id,
                entry.snapshot,
                entry.tags,
                now=now,
                colour=invocation.terminal.colour,
            )
    invocation.emit(fields, lines[:-1] if lines and not lines[-1] else lines)
