"""`snap report`: what snapshots hold and what changed, as one file to be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.text import render
from pgsnap.cli.wiring.connect import label_of, open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.web.pages.base import Page

_STDOUT = "-"

EXAMPLES = """
snap report --html shop.html
snap report latest~1 latest --html change.html --rows 20
snap report pre-migration latest --markdown -
snap report --table public.orders --html orders.html
"""

Revision = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]",
        show_default=False,
        help="A snapshot, or the first side of a comparison. [default: the whole database]",
    ),
]
Other = Annotated[
    str | None, typer.Argument(metavar="[REV]", show_default=False, help="The second side.")
]
Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE|-", help="Write one file of HTML; -: standard output."),
]
Markdown = Annotated[
    str | None,
    typer.Option("--markdown", metavar="FILE|-", help="Write Markdown; -: standard output."),
]
Table = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="SCHEMA.TABLE",
        help="Only this table: its versions; of one REV its rows, of two those that differ.",
    ),
]
Row = Annotated[
    str | None,
    typer.Option(
        "--row", metavar="KEY", help="The history of this row of --table: 42, or a=1,b=2."
    ),
]
Rows = Annotated[
    int,
    typer.Option(
        "--rows",
        metavar="N",
        min=0,
        max=1000,
        help="Show N rows of each table, those that differ; 0: no values.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


def run(
    ctx: typer.Context,
    revision: Revision = None,
    other: Other = None,
    html: Html = None,
    markdown: Markdown = None,
    table: Table = None,
    row: Row = None,
    rows: Rows = 0,
    force: Force = False,
) -> None:
    """Write a report as one file: for a pull request, a mail, an archive.

    Without REV about a database, its growth and its newest snapshot; with one about that snapshot
    and what it changed; with two about what differs between them. The file stands alone: it needs
    no script, and asks nobody for anything. Values of rows are in it only with --rows, --row, or
    --table with REV.
    """
    invocation = Invocation.of(ctx)
    console = invocation.console
    _check_table(revision, table, row)
    _check_targets(html, markdown, force=force, json=console.json)
    from pgsnap.web.reports import report

    if html is not None:
        report.check_renderer()
    with open_repository(invocation) as repo, console.progress() as progress:
        pages = _pages(invocation, repo, (revision, other), (table, row), rows, progress)
    files: list[tuple[str, int]] = []
    for target, make in ((html, report.html), (markdown, report.as_markdown)):
        if target is None:
            continue
        text = make(pages, invocation.now)
        if target == _STDOUT:
            console.terminal.write(text)
        else:
            files.append((target, report.write_report(Path(target), text, force=force)))
    if files:
        fields = {"files": [_fields(*one) for one in files]}
        console.emit(
            fields, [f"{render.plain(name)}  {render.size(count)}" for name, count in files]
        )


def _fields(name: str, count: int) -> dict[str, object]:
    return {"file": name, "bytes": count}


def _check_table(revision: str | None, table: str | None, row: str | None) -> None:
    """Raise UsageError for a row without its table, or of one snapshot."""
    if row is not None and table is None:
        raise UsageError("--row needs a table", hint="Name it: --table SCHEMA.TABLE --row KEY")
    if row is not None and revision is not None:
        raise UsageError(
            "--row is about all snapshots", hint=f"Leave {revision} out: --table {table} --row KEY"
        )


def _check_targets(html: str | None, markdown: str | None, *, force: bool, json: bool) -> None:
    """Raise UsageError for files that cannot be written, or if there are none."""
    from pgsnap.targets.file import check_free

    targets = [one for one in (html, markdown) if one is not None]
    if not targets:
        raise UsageError(
            "it is not said what to write",
            hint="Name a file: --html FILE, or --markdown FILE; - is standard output.",
        )
    if _STDOUT in targets and (json or len(targets) > 1):
        raise UsageError(
            "standard output can take one thing", hint="Name a file in place of the -."
        )
    if "" in targets or len(set(targets)) < len(targets):
        raise UsageError("each report needs a file of its own")
    for one in targets:
        if one != _STDOUT:
            check_free(Path(one), force=force)


def _pages(
    invocation: Invocation,
    repo: Repository,
    revisions: tuple[str | None, str | None],
    named: tuple[str | None, str | None],
    rows: int,
    progress: Progress,
) -> list[Page]:
    from pgsnap.web.reports import report

    first, second = revisions
    table, key = named
    if first is None:
        label = label_of(invocation, repo)
        if table is not None:
            return report.table_report(repo, label, table, key=key, progress=progress)
        return report.database_report(repo, label, rows=rows, progress=progress)
    found = resolve(invocation, repo, first)
    if second is None and table is not None:
        return report.rows_report(repo, found, table, rows=rows, progress=progress)
    if second is None:
        return report.snapshot_report(repo, found, rows=rows, progress=progress)
    other = resolve(invocation, repo, second)
    return report.comparison_report(repo, found, other, table=table, rows=rows, progress=progress)
