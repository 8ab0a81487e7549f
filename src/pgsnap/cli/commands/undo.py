"""`snap undo`: puts back what the last restore replaced, or drops it for good."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import AllowNewerClient, IKnow, NoSafetySnapshot, Stop, Yes
from pgsnap.cli.text import render
from pgsnap.cli.wiring.connect import label_of, open_repository, server_of
from pgsnap.cli.wiring.in_place import InPlace
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected, warn_of_stopped
from pgsnap.errors import TargetRefused, UsageError

EXAMPLES = """
snap undo
snap undo --yes --no-safety-snapshot
snap undo --discard --yes
"""


def run(
    ctx: typer.Context,
    discard: Annotated[
        bool, typer.Option("--discard", help="Drop the kept database for good instead.")
    ] = False,
    yes: Yes = False,
    no_safety_snapshot: NoSafetySnapshot = False,
    stop: Stop = None,
    i_know: IKnow = False,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Put back the database that the last restore or undo replaced.

    What is there now is recorded first, then kept in its turn: the next undo puts it back.
    """
    invocation = Invocation.of(ctx)
    if discard:
        _discard(invocation, yes=yes, i_know=i_know)
    else:
        settings = invocation.settings
        _undo(
            invocation,
            tuple(stop or ()),
            allow_newer_client or settings.allow_newer_client,
            with_safety=settings.safety_snapshot and not no_safety_snapshot,
            yes=yes,
            i_know=i_know,
        )


def _undo(
    invocation: Invocation,
    stop: tuple[str, ...],
    allow_newer_client: bool,
    *,
    with_safety: bool,
    yes: bool,
    i_know: bool,
) -> None:
    from pgsnap.cli.views.restore import undo_fields, undo_lines, undo_plan_lines
    from pgsnap.workflows.commit.safety_snapshot import safety_commit
    from pgsnap.workflows.undo.in_place import undone_in_place
    from pgsnap.workflows.undo.undo import plan_undo, undo

    settings = invocation.settings
    server = server_of(settings)
    services = ServicesAside(invocation, stop)
    warn_of_stopped(invocation.console)
    with open_repository(invocation) as repo:
        label = label_of(invocation, repo)
        if (back := undone_in_place(repo, server, label)) is not None:
            if not with_safety:
                raise UsageError(
                    "what was changed in place is not undone without a safety snapshot",
                    hint="Leave --no-safety-snapshot out; the undo reads only what changed.",
                )
            InPlace(
                invocation,
                server,
                services,
                "undo",
                yes=yes,
                i_know=i_know,
                allow_newer_client=allow_newer_client,
            ).run(repo, back.safety)
            services.outcome.check()
            return
        plan = plan_undo(repo, server, label, with_safety=with_safety)
        lines = undo_plan_lines(
            plan,
            with_safety=with_safety,
            services=services.names,
            now=invocation.now,
        )
        invocation.console.propose(lines, plan.warnings)
        if invocation.console.json:
            # With --json the plan was not shown.
            for warning in plan.warnings:
                invocation.console.warn(f"warning: {warning}")
        plan.check()
        check_protected(invocation, plan.kept.live, i_know=i_know)
        if not yes:
            invocation.console.confirm(
                f"Put back {plan.kept.live}? Type its name to go on:", word=plan.kept.live
            )
        with invocation.console.progress() as progress:
            safety = safety_commit(
                repo,
                server,
                label=plan.label,
                database=plan.kept.live,
                verb="undo",
                lock_wait_timeout_seconds=settings.lock_wait_timeout,
                allow_newer_client=allow_newer_client,
                progress=progress,
            )
            report = undo(
                repo,
                plan,
                server,
                safety=safety if with_safety else None,
                aside=services.aside,
                progress=progress,
            )
    fields = {**undo_fields(report), "services": services.fields()}
    invocation.console.emit(fields, undo_lines(report))
    services.outcome.check()


def _discard(invocation: Invocation, *, yes: bool, i_know: bool) -> None:
    from pgsnap.cli.views.restore import discard_lines, discard_plan_lines
    from pgsnap.workflows.undo.undo import discard, plan_discard

    server = server_of(invocation.settings)
    with open_repository(invocation) as repo:
        label = label_of(invocation, repo)
        try:
            plan = plan_discard(repo, server, label)
        except TargetRefused:
            check_protected(invocation, label, i_know=i_know)
            raise
        check_protected(invocation, plan.kept.live, i_know=i_know)
        plan.check()
        if not yes:
            invocation.console.propose(discard_plan_lines(plan.kept, invocation.now))
            invocation.console.confirm(f"Drop {plan.kept.name}?")
        with invocation.console.progress() as progress:
            # By its name: another restore may have put a newer one before it meanwhile.
            report = discard(repo, server, label, name=plan.kept.name, progress=progress)
    invocation.console.emit(
        render.fields_of(report, name="discarded", size_bytes="bytes"), discard_lines(report)
    )
