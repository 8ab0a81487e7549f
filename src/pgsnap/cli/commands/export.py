"""`snap export`: a snapshot as a file for psql, or its tables for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.commands.options import MaskFile, Revision, WithExtensionSequences
from pgsnap.cli.text import render
from pgsnap.cli.text.timezone import parse_zone
from pgsnap.cli.wiring.exports.tables import Place, place_of, wishes_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.masks.reading import load_masks
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.tabular.base import Wishes
    from pgsnap.workflows.history.export import ExportReport
    from pgsnap.workflows.history.export_tables import ExportTablesReport

EXAMPLES = """
snap export latest /srv/backups/
snap export pre-migration shop.sql.gz
gunzip -c shop.sql.gz | psql -X -v ON_ERROR_STOP=1 shop_copy
snap export latest tables/ --format parquet --table orders --table customers
snap export latest s3://bucket/lake/shop --format parquet
snap export latest shop.sqlite --format sqlite
"""

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A name ending with .sql, .sql.gz or .sql.zst, or a folder; of tables a folder or a"
        " URL, in SQLite a file.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Timezone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Time zone for the name of a file in a folder. [default: local]",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="[sql|parquet|csv|sqlite]",
        help="What is written: a dump, or the rows of tables for other programs. [default: sql]",
    ),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="SCHEMA.TABLE",
        help="Only this table, with its partitions; not for sql (repeatable).",
    ),
]
Merge = Annotated[
    bool,
    typer.Option("--merge-partitions", help="One file for a table with all its partitions."),
]
AsText = Annotated[
    list[str] | None,
    typer.Option(
        "--as-text",
        metavar="SCHEMA.TABLE.COLUMN",
        help="Write the values of this column as PostgreSQL's text (repeatable).",
    ),
]
Numeric = Annotated[
    str | None,
    typer.Option(
        "--numeric",
        metavar="DIGITS,SCALE",
        help="For Parquet: numeric without a precision as such decimals. [default: text]",
    ),
]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy", help="Write NULL for a value that the format does not have, and count it."
    ),
]


def run(
    ctx: typer.Context,
    revision: Revision,
    file: File,
    force: Force = False,
    timezone: Timezone = None,
    with_extension_sequences: WithExtensionSequences = False,
    format: Format = None,
    table: Table = None,
    merge_partitions: Merge = False,
    as_text: AsText = None,
    numeric: Numeric = None,
    lossy: Lossy = False,
    mask: MaskFile = None,
) -> None:
    """Write a snapshot to a plain dump file, or its tables to files for other programs.

    `gunzip -c FILE | psql` restores a dump into an empty database. In a folder the file is called
    backup_YYYYMMDD_HHMMSS.sql.gz, after the snapshot's time. With --format parquet or csv each
    table becomes a file in the folder, or a folder of parts below the URL; with sqlite all become
    one database. Only its owner may read a file. Unless all is written, there is none.
    """
    invocation = Invocation.of(ctx)
    if not file:
        raise UsageError("FILE is empty")
    if format is None or format == "sql":
        if table or merge_partitions or as_text or numeric or lossy:
            raise UsageError(
                "--table, --merge-partitions, --as-text, --numeric and --lossy are for tables",
                detail="A dump is always that of all tables, as it was stored.",
                hint="Add --format parquet, csv or sqlite.",
            )
        _dump(invocation, revision, file, force, timezone, with_extension_sequences, mask)
        return
    if timezone is not None or with_extension_sequences:
        raise UsageError("--timezone and --with-extension-sequences are for --format sql")
    wishes = wishes_of(as_text or (), numeric, lossy=lossy, is_parquet=format == "parquet")
    place = place_of(invocation, file, format, force=force)
    _tables(invocation, revision, place, table or (), merge_partitions, wishes, mask)


def _dump(
    invocation: Invocation,
    revision: str,
    file: str,
    force: bool,
    timezone: str | None,
    with_extension_sequences: bool,
    mask: str | None,
) -> None:
    from pgsnap.workflows.history.export import export

    if file == "-":
        raise UsageError(
            "export writes files only", hint=f"For standard output: snap cat {revision}"
        )
    zone = parse_zone(timezone)
    masks = load_masks(invocation, mask)
    path = Path(file)
    if file.endswith("/") and not path.is_dir():
        raise UsageError(f'there is no folder "{file}"', hint=f"Make it: mkdir -p {file}")
    with (
        open_to_read(invocation, revision) as (repo, snapshot_id),
        invocation.console.progress() as progress,
    ):
        report = export(
            repo,
            snapshot_id,
            path,
            zone=zone,
            force=force,
            with_extension_sequences=with_extension_sequences,
            masks=masks,
            progress=progress,
        )
    invocation.console.emit(_dump_fields(report), [_dump_line(report)])


def _tables(
    invocation: Invocation,
    revision: str,
    place: Place,
    names: Sequence[str],
    merge: bool,
    wishes: Wishes,
    mask: str | None,
) -> None:
    from pgsnap.workflows.contents.table_names import parse_tables
    from pgsnap.workflows.history.export_tables import TableExport, TableFormat, export_tables

    masks = load_masks(invocation, mask)
    asked = TableExport(TableFormat(place.format), parse_tables(names), merge, wishes, masks)
    with (
        open_to_read(invocation, revision) as (repo, snapshot_id),
        invocation.console.progress() as progress,
    ):
        report = export_tables(
            repo, snapshot_id, place.output, asked, sqlite_name=place.name, progress=progress
        )
    for line in report.news:
        invocation.console.tell(line)
    invocation.console.emit(_table_fields(report, place), _table_lines(report, place))


def _dump_fields(report: ExportReport) -> dict[str, Any]:
    """Return the fields of an exported dump for JSON."""
    names = {"snapshot_id": "id", "snapshot": "", "path": "file", "plain_bytes": "bytes"}
    return {
        **render.fields_of(report, **names),
        "database": report.snapshot.database,
        "time": report.snapshot.time,
    }


def _dump_line(report: ExportReport) -> str:
    """Return the line for an exported dump."""
    return "  ".join(
        (
            render.short_id(report.snapshot_id),
            render.plain(str(report.path)),
            f"{render.size(report.plain_bytes)} in {render.size(report.file_bytes)}",
            render.seconds(report.seconds),
        )
    )


def _table_fields(report: ExportTablesReport, place: Place) -> dict[str, Any]:
    """Return the fields of exported tables for JSON."""
    return {
        "id": report.snapshot_id,
        "database": report.snapshot.database,
        "time": report.snapshot.time,
        "format": place.format,
        "file": place.shown,
        "bytes": report.plain_bytes,
        "file_bytes": report.file_bytes,
        "seconds": report.seconds,
        "tables": [
            render.fields_of(one, table="name", plain_bytes="bytes") for one in report.tables
        ],
    }


def _table_lines(report: ExportTablesReport, place: Place) -> list[str]:
    """Return the lines for exported tables: the total, after each table where there are few."""
    rows = sum(one.rows for one in report.tables)
    words = (
        render.short_id(report.snapshot_id),
        render.plain(place.shown),
        f"{render.plural(len(report.tables), 'table')}, {render.plural(rows, 'row')}",
        f"{render.size(report.plain_bytes)} in {render.size(report.file_bytes)}",
        render.seconds(report.seconds),
    )
    return ["  ".join(words)]
