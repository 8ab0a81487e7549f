"""`snap stats`: how the space is used."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.views import stats as stats_view
from pgsnap.cli.views.requests import request_fields
from pgsnap.cli.wiring.connect import label_of, open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import remote_sizes
from pgsnap.errors import UsageError

EXAMPLES = """
snap stats
snap stats --by-table
snap stats --json | jq '.per_snapshot[] | {id, freed_bytes}'
"""

Remotes = Annotated[
    bool, typer.Option("--remotes", help="Show the sizes of the remotes too: it lists them.")
]


def run(
    ctx: typer.Context,
    revision: Annotated[
        str | None,
        typer.Argument(metavar="[REV]", show_default=False, help="Only this snapshot."),
    ] = None,
    by_table: Annotated[
        bool, typer.Option("--by-table", help="Show what each table of a database takes.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Show all tables or snapshots, not the first 20.")
    ] = False,
    remotes: Remotes = False,
) -> None:
    """Show what the repository takes, by database, snapshot or table.

    Beside each snapshot stands what dropping it alone would free. --by-table says which table of
    a database costs the space, over all its snapshots or in REV.
    """
    from pgsnap.workflows.history.stats import stats, stats_by_table

    invocation = Invocation.of(ctx)
    console = invocation.console
    if remotes and by_table:
        raise UsageError("--remotes is about the whole, and --by-table about one database")
    with open_repository(invocation) as repo, console.progress() as progress:
        chosen = resolve(invocation, repo, revision) if revision is not None else None
        if by_table:
            label = label_of(invocation, repo) if chosen is None else repo.snapshot(chosen).database
            tables = stats_by_table(repo, label, snapshot_id=chosen, progress=progress)
        else:
            report = stats(repo, progress=progress)
            counts = repo.place.counts()
            sizes = remote_sizes(invocation) if remotes else []
    bars = stats_view.Bars(console.terminal.can_show(stats_view.BLOCKS))
    if by_table:
        stats_view.tell_missing(console, tables.missing)
        fields = stats_view.table_fields(tables, chosen)
        console.emit(fields, stats_view.table_lines(tables, bars, every=every))
        return
    stats_view.tell_missing(console, report.missing)
    rows = [row for row in report.snapshots if chosen in (None, row.snapshot_id)]
    lines = stats_view.stats_lines(report, rows, bars, now=invocation.now, every=every)
    lines += stats_view.remote_lines(sizes)
    fields = {}
    if console.json:
        fields = stats_view.stats_fields(report, rows)
        fields |= {"requests": request_fields(counts), "remotes": stats_view.remote_fields(sizes)}
    console.emit(fields, lines)
