"""`snap pull`: fetches what a remote has and this repository lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import Bandwidth
from pgsnap.cli.commands.push import AllTags, DryRun, Remote, Stats
from pgsnap.cli.console.steps import TRANSFER
from pgsnap.cli.views.requests import request_line
from pgsnap.cli.views.transfer import transfer_fields, transfer_lines
from pgsnap.cli.wiring.connect import open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import limit_bandwidth
from pgsnap.cli.wiring.remotes import open_remote, remote_of
from pgsnap.errors import TagExists

EXAMPLES = """
snap pull
snap pull offsite 862cb3
snap pull offsite --all-tags --dry-run
"""

Force = Annotated[bool, typer.Option("--force", help="Move tags that name another snapshot here.")]


def run(
    ctx: typer.Context,
    remote: Remote = None,
    revision: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REV]...", show_default=False, help="Only these snapshots of the remote."
        ),
    ] = None,
    all_tags: AllTags = False,
    force: Force = False,
    dry_run: DryRun = False,
    stats: Stats = False,
    bandwidth: Bandwidth = None,
) -> None:
    """Fetch the snapshots that a remote has and this repository lacks, with notes and tags.

    What was forgotten here does not come back, unless it is named.
    """
    from pgsnap.workflows.sync.transfer import transfer

    invocation = Invocation.of(ctx)
    name, table = remote_of(invocation, remote)
    limit_bandwidth(invocation, bandwidth, invocation.settings.repository, table.url)
    with open_repository(invocation) as repo, open_remote(invocation, name, table) as other:
        named = [resolve(invocation, other, one) for one in revision or ()]
        with invocation.console.progress(TRANSFER) as progress:
            report = transfer(
                other,
                repo,
                database=invocation.given.database,
                named=named,
                all_tags=all_tags,
                force_tags=force,
                dry_run=dry_run,
                progress=progress,
            )
        counts = other.place.counts()
    fields = transfer_fields(name, table.url, report, counts)
    lines = transfer_lines("pulled from", name, report)
    lines += [request_line(counts, name)] if stats else []
    invocation.console.emit(fields, lines)
    if report.divergent:
        tag = report.divergent[0].tag
        raise TagExists(
            f'tag "{tag.name}" of database "{tag.database}" names another snapshot here',
            detail="All else was fetched.",
            hint="Move it with --all-tags --force, or give it another name.",
        )
