"""`snap show`: everything about one snapshot."""

from __future__ import annotations

import typer

from pgsnap.cli.commands.options import Revision
from pgsnap.cli.views.show import show_fields, show_lines
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_to_read

EXAMPLES = """
snap show latest
snap show pre-migration --json | jq '.sections[] | {name, rows, bytes}'
snap show @2026-01-02T14:30
"""


def run(ctx: typer.Context, revision: Revision) -> None:
    """Show one snapshot: its database, versions, and sections with sizes.

    A section is a part of the dump: the definitions, or the rows of one table.
    REV is a tag, an id or 4 or more characters of it, latest, latest~2, TAG~1, or @2026-01-02.
    """
    from pgsnap.workflows.history.log import show

    invocation = Invocation.of(ctx)
    with open_to_read(invocation, revision) as (repo, snapshot_id):
        report = show(repo, snapshot_id)
    terminal = invocation.console.terminal
    lines = show_lines(report, now=invocation.now, colour=terminal.colour)
    invocation.console.emit(show_fields(report), lines)
