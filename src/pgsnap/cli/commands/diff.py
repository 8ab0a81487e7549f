"""`snap diff`: differences between two snapshots, or between one and the live database."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import AllowNewerClient
from pgsnap.cli.console.console import Console
from pgsnap.cli.text import render
from pgsnap.cli.views import diff as diff_view
from pgsnap.cli.views.rows import differing as rows_view
from pgsnap.cli.wiring.connect import open_repository, resolve
from pgsnap.cli.wiring.dump_sources import diff_source, warn_of_dump
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.sources.base import Source

DIFFERENCES_EXIT_CODE = 3
ROWS_SHOWN = 100

EXAMPLES = """
snap diff latest~1 latest
snap diff pre-migration
snap diff latest~1 latest --schema
snap diff latest~1 latest --table public.orders --rows
snap diff latest --exit-code --quiet
"""

Revision = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]",
        show_default=False,
        help="The first side: a tag, an id, latest, latest~2. [default: the newest that is no "
        "safety snapshot]",
    ),
]
Other = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]", show_default=False, help="The second side; without it, the live database."
    ),
]
Schema = Annotated[bool, typer.Option("--schema", help="Show the definitions that differ.")]
Table = Annotated[
    str | None, typer.Option("--table", metavar="SCHEMA.TABLE", help="The table for --rows.")
]
Rows = Annotated[bool, typer.Option("--rows", help="Show the rows that differ; needs --table.")]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=0, help="Show so many rows at most; 0: all.")
]
File = Annotated[
    str | None, typer.Option("--file", metavar="FILE|-", help="The second side is this dump.")
]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 3 where the contents differ.")
]


def run(
    ctx: typer.Context,
    revision: Revision = None,
    other: Other = None,
    schema: Schema = False,
    table: Table = None,
    rows: Rows = False,
    limit: Limit = ROWS_SHOWN,
    file: File = None,
    exit_code: ExitCode = False,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Show what differs: rows by table, definitions, sequences.

    With one REV or none it is compared with the live database, which is read and not recorded.
    Rows are compared as sets: their order does not count.
    """
    invocation = Invocation.of(ctx)
    _check(other, schema=schema, table=table, rows=rows, file=file)
    with open_repository(invocation) as repo:
        before = resolve(invocation, repo, revision)
        after: SnapshotId | Source
        name = ""
        if other is not None:
            after = resolve(invocation, repo, other)
        else:
            after, name = diff_source(
                invocation,
                file,
                like=repo.snapshot(before).origin,
                allow_newer_client=allow_newer_client,
            )
        sides = _Sides(repo, before, after, name)
        if table is not None:
            differs = _show_rows(invocation.console, sides, table, limit or None)
        elif schema:
            differs = _show_schema(invocation.console, sides)
        else:
            differs = _show(invocation.console, sides)
    if exit_code and differs:
        raise typer.Exit(DIFFERENCES_EXIT_CODE)


def _check(
    other: str | None, *, schema: bool, table: str | None, rows: bool, file: str | None
) -> None:
    """Raise UsageError for incompatible options."""
    if other is not None and file is not None:
        raise UsageError(
            "there are two second sides", hint="Name a second REV or --file FILE, not both."
        )
    if rows and table is None:
        raise UsageError(
            "--rows needs a table", hint="Name it: snap diff REV REV --table SCHEMA.TABLE --rows"
        )
    if table is not None and not rows:
        raise UsageError("--table needs --rows", hint=f"Run it with --table {table} --rows")
    if schema and table is not None:
        raise UsageError(
            "--schema and --rows are two questions", hint="Ask one of them after the other."
        )


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two sides of a comparison; *name* is that of a live database."""

    repo: Repository
    before: SnapshotId
    after: SnapshotId | Source
    name: str


def _show(console: Console, sides: _Sides) -> bool:
    from pgsnap.workflows.diff.diff import diff

    with console.progress() as progress:
        report = diff(sides.repo, sides.before, sides.after, progress=progress)
    warn_of_dump(console, sides.after)
    lines = diff_view.diff_lines(report, sides.name, colour=console.terminal.colour)
    console.emit(diff_view.diff_fields(report, sides.name), lines, paged=True)
    return report.contents_differ


def _show_schema(console: Console, sides: _Sides) -> bool:
    from pgsnap.workflows.diff.diff import diff_definitions

    with console.progress() as progress:
        found = diff_definitions(sides.repo, sides.before, sides.after, progress)
        first, second, changes = found
    warn_of_dump(console, sides.after)
    fields = {
        "before": diff_view.side_fields(first, ""),
        "after": diff_view.side_fields(second, sides.name),
        "definitions": [diff_view.definition_fields(change, texts=True) for change in changes],
    }
    lines = diff_view.schema_lines(changes, colour=console.terminal.colour)
    console.emit(fields, lines, verbatim=True, paged=True)
    return bool(changes)


def _show_rows(console: Console, sides: _Sides, table: str, limit: int | None) -> bool:
    """Write the rows one by one: they may not fit in memory."""
    from pgsnap.workflows.diff.diff import diff_rows

    terminal = console.terminal
    with ExitStack() as stack:
        # Rows printed now would be mixed into the bar.
        with console.progress() as progress:
            found = diff_rows(sides.repo, sides.before, sides.after, table, progress=progress)
            compared = stack.enter_context(found)
        warn_of_dump(console, sides.after)
        total = rows_view.total(compared)
        if console.json:
            fields = {
                **rows_view.row_fields(compared, sides.name),
                "notices": console.notices,
            }
            head = render.json_text(fields)
            terminal.write(head[: head.rindex("\n}")] + ',\n  "rows": [')
            comma = ""
            for change in compared.changes(limit):
                shown = render.json_text(rows_view.change_fields(change, compared))
                terminal.write(f"{comma}\n{shown}")
                comma = ","
            terminal.write("\n  ]\n}\n")
            return total > 0
        with console.paged():
            for change in compared.changes(limit):
                for line in rows_view.change_lines(change, compared, colour=terminal.colour):
                    terminal.write(line + "\n")
            for line in rows_view.summary_lines(compared, limit, colour=terminal.colour):
                terminal.write(line + "\n")
        return total > 0
