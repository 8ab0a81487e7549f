"""`snap undo`: puts back what the last restore replaced, or drops it for good."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.invocation import Invocation
from pgsnap.cli.world import label_of, open_repository, server_of

EXAMPLES = """
snap undo
snap undo --discard --yes
"""


def run(
    ctx: typer.Context,
    discard: Annotated[
        bool, typer.Option("--discard", help="Drop the kept database for good instead.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put back the database that the last restore or undo replaced.

    What is there now is recorded first, then kept in its turn: the next undo puts it back.
    """
    invocation = Invocation.of(ctx)
    if discard:
        _discard(invocation, yes=yes)
    else:
        _undo(invocation, yes=yes)


def _undo(invocation: Invocation, *, yes: bool) -> None:
    from pgsnap.cli.restore_view import undo_fields, undo_lines, undo_plan_lines
    from pgsnap.workflows.safety import safety_commit
    from pgsnap.workflows.undo import plan_undo, undo

    settings = invocation.settings
    server = server_of(settings)
    with open_repository(invocation) as repo:
        plan = plan_undo(repo, server, label_of(invocation, repo))
        lines = undo_plan_lines(plan, with_safety=settings.safety_snapshot, now=invocation.now)
        invocation.propose(lines, plan.warnings)
        if invocation.json:
            # With --json nobody saw the plan.
            for warning in plan.warnings:
                invocation.warn(f"warning: {warning}")
        plan.check()
        if not yes:
            invocation.confirm(f"Put back {plan.kept.live}?")
        with invocation.progress() as progress:
            safety = safety_commit(
                repo,
                server,
                label=plan.label,
                database=plan.kept.live,
                verb="undo",
                lock_wait_timeout_seconds=settings.lock_wait_timeout,
                allow_newer_client=settings.allow_newer_client,
                progress=progress,
            )
            report = undo(
                repo,
                plan,
                server,
                safety=safety if settings.safety_snapshot else None,
                progress=progress,
            )
    invocation.emit(undo_fields(report, invocation.notices), undo_lines(report))


def _discard(invocation: Invocation, *, yes: bool) -> None:
    from pgsnap.cli.restore_view import discard_fields, discard_lines, discard_plan_lines
    from pgsnap.workflows.undo import discard, kept_databases

    server = server_of(invocation.settings)
    with open_repository(invocation) as repo:
        label = label_of(invocation, repo)
        kept = kept_databases(repo, server, label)
        if kept and not yes:
            invocation.propose(discard_plan_lines(kept[0], invocation.now))
            invocation.confirm(f"Drop {kept[0].name}?")
        # By its name: another restore may have put a newer one before it meanwhile.
        report = discard(repo, server, label, name=kept[0].name if kept else None)
    invocation.emit(discard_fields(report, invocation.notices), discard_lines(report))
