"""`snap gc`: frees what nothing needs any more."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.retention_options import (
    Grace,
    KeepDaily,
    KeepHourly,
    KeepLast,
    KeepMonthly,
    KeepTag,
    KeepWeekly,
    KeepWithin,
    KeepYearly,
    chosen_grace,
    chosen_policy,
)
from pgsnap.cli.console.steps import GC
from pgsnap.cli.views import gc as gc_view
from pgsnap.cli.wiring.hooks import hooks
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_chosen, settings_for
from pgsnap.errors import ObjectLocked, StoreFull

if TYPE_CHECKING:
    from pgsnap.workflows.retention.gc import GcReport

EXAMPLES = """
snap gc --dry-run
snap gc
snap gc --keep-last 7 --keep-weekly 4 --keep-monthly 12
snap gc --grace 0s
snap gc --remote offsite
"""


def run(
    ctx: typer.Context,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only show what would be kept, dropped and freed. Writes nothing."
        ),
    ] = False,
    keep_last: KeepLast = None,
    keep_hourly: KeepHourly = None,
    keep_daily: KeepDaily = None,
    keep_weekly: KeepWeekly = None,
    keep_monthly: KeepMonthly = None,
    keep_yearly: KeepYearly = None,
    keep_within: KeepWithin = None,
    keep_tag: KeepTag = None,
    grace: Grace = None,
    remote: Annotated[
        str | None,
        typer.Option("--remote", metavar="NAME", help="Collect this remote, by its own policy."),
    ] = None,
) -> None:
    """Drop old snapshots and free what nothing needs any more.

    What the policy drops is hidden at once, and can be brought back with `snap unforget` until the
    grace period is over (7 days, or as snap.toml says). Only the first gc after that frees it. The
    policy is that of the --keep options, else of snap.toml, else the newest 7 and what has a tag.
    Commits wait meanwhile, but not those to a remote store. PostgreSQL is never touched.
    """
    from pgsnap.workflows.retention.gc import gc

    invocation = Invocation.of(ctx)
    console = invocation.console
    settings = settings_for(invocation, remote)
    policy = chosen_policy(
        settings,
        last=keep_last,
        hourly=keep_hourly,
        daily=keep_daily,
        weekly=keep_weekly,
        monthly=keep_monthly,
        yearly=keep_yearly,
        within=keep_within,
        tags=keep_tag,
    )
    period = chosen_grace(settings, grace)
    with nullcontext() if dry_run else hooks(invocation, "gc"):
        with (
            open_chosen(invocation, remote, alone=not dry_run, whole=True) as repo,
            console.progress(GC) as progress,
        ):
            report = gc(repo, policy, grace=period, dry_run=dry_run, progress=progress)
        for warning in gc_view.warnings(report):
            console.warn(f"warning: {warning}")
        lines = gc_view.gc_lines(report, colour=console.terminal.colour)
        if hint := gc_view.hint(report):
            console.tell(hint)
        console.emit(gc_view.gc_fields(report, policy, period), lines)
        _raise_unfinished(report)


def _raise_unfinished(report: GcReport) -> None:
    if report.full is not None:
        raise _full(report.full)
    # What a retention protects was a warning.
    if report.refused is not None and not isinstance(report.refused, ObjectLocked):
        raise report.refused


def _full(error: StoreFull) -> StoreFull:
    return StoreFull(
        "the disk is full, so gc could not do all of it",
        detail=f"{error.message[:1].upper()}{error.message[1:]}. "
        "What it did is complete, and nothing that snapshots need is lost.",
        hint="Run it again, it goes on from there: snap gc. If it frees nothing more, make "
        "some room first.",
    )
