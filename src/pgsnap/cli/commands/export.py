"""`snap export`: a snapshot as a file for psql."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgsnap.cli.commands.options import Revision, WithExtensionSequences
from pgsnap.cli.text import render
from pgsnap.cli.text.timezone import parse_zone
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import UsageError

EXAMPLES = """
snap export latest /srv/backups/
snap export pre-migration shop.sql.gz
gunzip -c shop.sql.gz | psql -X -v ON_ERROR_STOP=1 shop_copy
"""

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="A name ending with .sql, .sql.gz or .sql.zst, or a folder."
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


def run(
    ctx: typer.Context,
    revision: Revision,
    file: File,
    force: Force = False,
    timezone: Timezone = None,
    with_extension_sequences: WithExtensionSequences = False,
) -> None:
    """Write a snapshot to a plain dump file, for a life without snap.

    `gunzip -c FILE | psql` restores it into an empty database. In a folder the file is called
    backup_YYYYMMDD_HHMMSS.sql.gz, after the snapshot's time. Only its owner may read it. Unless
    all of it is written, there is no file.
    """
    from pgsnap.workflows.history.export import export

    invocation = Invocation.of(ctx)
    if file == "-":
        raise UsageError(
            "export writes files only", hint=f"For standard output: snap cat {revision}"
        )
    if not file:
        raise UsageError("FILE is empty")
    zone = parse_zone(timezone)
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
            progress=progress,
        )
    names = {"snapshot_id": "id", "snapshot": "", "path": "file", "plain_bytes": "bytes"}
    fields = {
        **render.fields_of(report, **names),
        "database": report.snapshot.database,
        "time": report.snapshot.time,
    }
    line = "  ".join(
        (
            render.short_id(report.snapshot_id),
            render.plain(str(report.path)),
            f"{render.size(report.plain_bytes)} in {render.size(report.file_bytes)}",
            render.seconds(report.seconds),
        )
    )
    invocation.console.emit(fields, [line])
