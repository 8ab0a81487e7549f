"""`snap import`: dump files of the past become snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap import interrupts
from pgsnap.cli.console.console import Console
from pgsnap.cli.text import render
from pgsnap.cli.text.timezone import parse_zone
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.dump_sources import archive_reader, label_of_dump
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError, UnusableInput

if TYPE_CHECKING:
    from pgsnap.workflows.commit.import_dumps import ImportedFile, UndatedFile

EXAMPLES = """
snap import /srv/backups --database shop
snap import backup_20260131_020000.sql.gz --database shop --timezone UTC
snap import /srv/backups --database shop --name-format 'shop_%d-%m-%Y_%H%M*'
snap import old.sql.gz --database shop --use-mtime --tag first-ever
"""

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Dumps, or folders of dumps.")]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME", help="Tag it (of a single file; repeatable)."),
]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Time zone of the names. [default: local]"),
]
UseMtime = Annotated[
    bool,
    typer.Option("--use-mtime", help="Date a file without a date in its name by its own time."),
]
NamePattern = Annotated[
    str | None,
    typer.Option(
        "--name-format",
        metavar="PATTERN",
        help="How the time stands in the names, as in 'shop_%d-%m-%Y_%H%M*'.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out files that are no whole dump or have no date; code 30."
    ),
]


def run(
    ctx: typer.Context,
    files: Files,
    tag: Tag = None,
    timezone: Timezone = None,
    use_mtime: UseMtime = False,
    name_format: NamePattern = None,
    skip_bad: SkipBad = False,
) -> None:
    """Record existing dump files as snapshots, dated by their names.

    Names such as backup_20260131_020000.sql.gz; the database is named with --database. The oldest
    comes first. What was imported before is left alone, so an interrupted import goes on when it
    is run again.
    """
    from pgsnap.workflows.commit.dump_files import Dating
    from pgsnap.workflows.commit.import_dumps import import_dumps, plan_import
    from pgsnap.workflows.commit.name_format import NameFormat

    invocation = Invocation.of(ctx)
    console = invocation.console
    database = label_of_dump(invocation.settings)
    pattern = NameFormat(name_format) if name_format is not None else None
    dating = Dating(parse_zone(timezone), use_mtime=use_mtime, pattern=pattern)
    plan = plan_import([Path(file) for file in files], dating, skip_bad=skip_bad)
    for warning in plan.warnings:
        console.warn(f"warning: {warning}")
    done: list[ImportedFile] = []

    def say_what_stays() -> None:
        if done:
            console.emit(_fields(database, done, ()), _lines(done, ()))

    with (
        interrupts.undone_by(say_what_stays),
        open_repository(invocation) as repo,
        console.progress() as progress,
    ):
        import_dumps(
            repo,
            plan.files,
            database=database,
            tags=tag or (),
            skip_bad=skip_bad,
            archives=archive_reader(invocation.settings),
            told=done.append,
            progress=progress,
        )
    _advise_on_tags(console, done, tag or [])
    console.emit(_fields(database, done, plan.undated), _lines(done, plan.undated))
    bad: list[SnapError] = [item.error for item in done if item.error is not None]
    bad += [item.error for item in plan.undated]
    if bad:
        count = render.plural(len(done) + len(plan.undated), "file")
        raise UnusableInput(
            f"{len(bad)} of {count} could not be imported",
            detail="\n".join(f"{error.message}. {error.detail}".strip() for error in bad),
        )


def _advise_on_tags(console: Console, done: list[ImportedFile], tags: list[str]) -> None:
    for item in done:
        if item.report is None and item.snapshot_id is not None:
            for tag in tags:
                console.warn(
                    "warning: the file was imported before and is not tagged now; tag it with "
                    f"`snap tag {tag} {render.short_id(item.snapshot_id)}`"
                )
        elif item.report is not None:
            for tag in item.report.tags_refused:
                console.warn(f'warning: tag "{tag}" was set by another process meanwhile')


def _outcome(item: ImportedFile) -> str:
    if item.error is not None:
        return "unusable"
    if item.is_forgotten:
        return "forgotten"
    return "there already" if item.report is None else "imported"


def _fields(
    database: str, done: list[ImportedFile], undated: Sequence[UndatedFile]
) -> dict[str, Any]:
    new = [item.report for item in done if item.report is not None]
    return {
        "database": database,
        "files": [
            {
                "file": item.file.path,
                "time": item.file.time,
                "outcome": _outcome(item).replace(" ", "-"),
                "id": item.snapshot_id,
                "bytes": item.report.snapshot.plain_bytes if item.report else None,
                "new_bytes": item.report.stored_bytes if item.report else None,
                "error": item.error.message if item.error else None,
            }
            for item in done
        ]
        + [
            {"file": item.path, "time": None, "outcome": "unusable"}
            | dict.fromkeys(("id", "bytes", "new_bytes"))
            | {"error": item.error.message}
            for item in undated
        ],
        "imported": len(new),
        "bytes": sum(report.snapshot.plain_bytes for report in new),
        "new_bytes": sum(report.stored_bytes for report in new),
    }


def _lines(done: list[ImportedFile], undated: Sequence[UndatedFile]) -> list[str]:
    if not done and not undated:
        return []
    rows = []
    for item in done:
        row = [
            render.short_id(item.snapshot_id) if item.snapshot_id else "-",
            render.clock(item.file.time),
            render.plain(item.file.path.name),
        ]
        if item.report is None:
            row += ["", _outcome(item)]
        else:
            stored = f"{render.size(item.report.stored_bytes)} new"
            row += [render.size(item.report.snapshot.plain_bytes), stored]
        rows.append(row)
    rows += [["-", "-", render.plain(item.path.name), "", "unusable"] for item in undated]
    new = [item.report for item in done if item.report is not None]
    files = render.plural(len(done) + len(undated), "file")
    total = (
        f"{render.plural(len(new), 'snapshot')} of {files}, "
        f"{render.size(sum(report.snapshot.plain_bytes for report in new))}, "
        f"{render.size(sum(report.stored_bytes for report in new))} new"
    )
    return [*render.columns(rows, right=frozenset({3, 4})), total]
