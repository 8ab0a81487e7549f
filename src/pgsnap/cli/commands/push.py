"""`snap push`: sends what a remote lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import Bandwidth
from pgsnap.cli.console.steps import TRANSFER
from pgsnap.cli.views.requests import of_push, request_line
from pgsnap.cli.views.transfer import transfer_fields, transfer_lines
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import limit_bandwidth
from pgsnap.cli.wiring.pushing import push_to, record_push
from pgsnap.cli.wiring.remotes import remotes_to_push_to
from pgsnap.errors import SnapError, TagExists

if TYPE_CHECKING:
    from pgsnap.workflows.sync.transfer import TransferReport

EXAMPLES = """
snap push
snap push offsite --dry-run
snap push offsite --all-tags
"""

Remote = Annotated[
    str | None,
    typer.Argument(metavar="[REMOTE]", show_default=False, help="A remote of snap.toml."),
]
AllTags = Annotated[
    bool,
    typer.Option("--all-tags", help="With --force: move any tag, not only of what is sent."),
]
Force = Annotated[bool, typer.Option("--force", help="Move tags that name another snapshot there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be sent.")]
Stats = Annotated[
    bool, typer.Option("--stats", help="Show what was asked of the remote's store, by class.")
]


def run(
    ctx: typer.Context,
    remote: Remote = None,
    all_tags: AllTags = False,
    force: Force = False,
    dry_run: DryRun = False,
    stats: Stats = False,
    bandwidth: Bandwidth = None,
) -> None:
    """Send a remote the snapshots that it lacks, with their notes and tags.

    Only what is missing there is sent, and a snapshot is seen there once it is whole. What was
    forgotten here stays there, and what was forgotten there does not come back.
    """
    invocation = Invocation.of(ctx)
    console = invocation.console
    remotes = remotes_to_push_to(invocation, remote)
    urls = (table.url for _, table in remotes)
    limit_bandwidth(invocation, bandwidth, invocation.settings.repository, *urls)
    reports, lines = [], []
    failure: SnapError | None = None
    with open_repository(invocation) as repo:
        for name, table in remotes:
            try:
                with console.progress(TRANSFER) as progress:
                    pushed = push_to(
                        invocation,
                        repo,
                        name,
                        table,
                        all_tags=all_tags,
                        force_tags=force,
                        dry_run=dry_run,
                        progress=progress,
                    )
            except SnapError as error:
                if not dry_run:
                    record_push(invocation, name, error)
                if len(remotes) == 1:
                    raise
                # The others are off-site too.
                console.warn(f"warning: push to {name} failed: {error.message}")
                failure = failure or error
                continue
            if not dry_run:
                record_push(invocation, name, None, pushed)
            report = pushed.report
            counts = of_push(pushed.counts, report) if pushed.counts is not None else None
            reports.append((name, table, report, counts))
            lines += transfer_lines("pushed to", name, report)
            lines += [request_line(counts, name, is_estimate=dry_run)] if stats or dry_run else []
    console.emit({"remotes": [transfer_fields(n, t.url, r, c) for n, t, r, c in reports]}, lines)
    if failure is not None:
        raise failure
    _check_tags([report for _, _, report, _ in reports])


def _check_tags(reports: Sequence[TransferReport]) -> None:
    """Raise TagExists if a tag names another snapshot there."""
    refused = [one for report in reports for one in report.divergent]
    if refused:
        tag = refused[0].tag
        raise TagExists(
            f'tag "{tag.name}" of database "{tag.database}" names another snapshot there',
            detail="All else was sent.",
            hint="Move it there with --all-tags --force, or give it another name here.",
        )
