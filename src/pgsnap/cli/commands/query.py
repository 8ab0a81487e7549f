"""`snap query`: one answer from the past."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import Install, OnlyTables, Revision
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.words import did_you_mean

EXAMPLES = """
snap query latest 'select * from shop.orders limit 5'
snap query pre-migration --format csv 'select * from shop.products order by id' > products.csv
snap query @2026-01-02 --table shop.orders 'select shop.revenue()'
"""
_FORMATS = ("table", "csv", "json")

Sql = Annotated[str, typer.Argument(metavar="SQL", show_default=False, help="The query.")]
Format = Annotated[
    str, typer.Option("--format", metavar="table|csv|json", help="How the answer is printed.")
]


def run(
    ctx: typer.Context,
    revision: Revision,
    sql: Sql,
    format: Format = "table",
    table: OnlyTables = None,
    install: Install = False,
) -> None:
    """Print what a snapshot answers to one query.

    Only the tables that the query needs are restored, into a throw-away PostgreSQL; all of them
    where that cannot be known, which is said. Nothing of yours is touched.
    """
    from pgsnap.cli.wiring.looking.look import Choices, query_past

    invocation = Invocation.of(ctx)
    if format not in _FORMATS:
        raise UsageError(
            f'there is no format "{format}"',
            hint=did_you_mean(format, _FORMATS, f"There are {', '.join(_FORMATS)}."),
        )
    query_past(invocation, Choices(revision, tuple(table or ()), install), sql, format)
