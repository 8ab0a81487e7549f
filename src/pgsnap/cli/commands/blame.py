"""`snap blame`: which snapshot gave each column of a row its value."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import KeyColumns
from pgsnap.cli.wiring.invocation import Invocation

EXAMPLES = """
snap blame public.orders 42
snap blame shop.order_items 42,1
snap blame shop.order_items order_id=42,line=1 pre-migration
snap blame public.orders 42 --json | jq -r '.columns[] | "\\(.column) \\(.time)"'
"""

Table = Annotated[
    str, typer.Argument(metavar="SCHEMA.TABLE", show_default=False, help="The table.")
]
Row = Annotated[
    str,
    typer.Argument(
        metavar="VALUE", show_default=False, help="The row's key: 42, or 1,2, or a=1,b=2."
    ),
]
Revision = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]", show_default=False, help="As of this snapshot. [default: latest]"
    ),
]


def run(
    ctx: typer.Context,
    table: Table,
    row: Row,
    revision: Revision = None,
    key: KeyColumns = None,
) -> None:
    """Show which snapshot gave each column of a row the value it has.

    Without a server: only the parts of the table that can hold the row are read. A "<" marks
    values that are as old as the oldest snapshot, or older.
    """
    from pgsnap.cli.views.rows.history import blame_fields, blame_lines, blame_news
    from pgsnap.cli.wiring.looking.rows import WantedRow, history_of
    from pgsnap.workflows.past.blame import blame

    invocation = Invocation.of(ctx)
    with history_of(invocation, WantedRow(table, row, key, revision)) as found:
        blamed = blame(found.history, found.events)
    if found.history.gaps:
        invocation.console.warn(f"warning: {found.history.gaps}")
    fields = blame_fields(found.history, blamed, found.tags)
    invocation.console.emit(fields, blame_lines(blamed, found.tags))
    for line in blame_news(blamed):
        invocation.console.tell(line)
