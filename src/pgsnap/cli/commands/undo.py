"""`snap undo`: puts back what the last restore replaced, or drops it for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import AllowNewerClient, IKnow, NoSafetySnapshot, Stop, Yes
from pgsnap.cli.console import steps
from pgsnap.cli.text import render
from pgsnap.cli.wiring.connect import label_of, open_repository, server_of
from pgsnap.cli.wiring.dump_sources import jobs_of
from pgsnap.cli.wiring.in_database.undoing import Undoing
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected, warn_of_stopped
from pgsnap.cli.wiring.untouched import untouched
from pgsnap.errors import TargetRefused, UsageError

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.workflows.undo.undo import UndoPlan, UndoReport

EXAMPLES = """
snap undo
snap undo --whole
snap undo --yes --no-safety-snapshot
snap undo --discard --yes
"""


def run(
    ctx: typer.Context,
    discard: Annotated[
        bool, typer.Option("--discard", help="Drop the kept database for good instead.")
    ] = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Put back the replaced database, whatever was restored in it since."
        ),
    ] = False,
    yes: Yes = False,
    no_safety_snapshot: NoSafetySnapshot = False,
    stop: Stop = None,
    i_know: IKnow = False,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Undo the last restore or undo: of the whole database, of tables, or of what differed.

    What is there now is recorded first, and a replaced database is kept in its turn: the next undo
    takes this one back.
    """
    invocation = Invocation.of(ctx)
    if discard and whole:
        raise UsageError(
            "--discard drops the replaced database, --whole puts it back",
            hint="Leave one of the two out.",
        )
    if discard:
        _discard(invocation, yes=yes, i_know=i_know)
    else:
        settings = invocation.settings
        _undo(
            invocation,
            tuple(stop or ()),
            allow_newer_client or settings.allow_newer_client,
            with_safety=settings.safety_snapshot and not no_safety_snapshot,
            whole=whole,
            yes=yes,
            i_know=i_know,
        )


def _undo(
    invocation: Invocation,
    stop: tuple[str, ...],
    allow_newer_client: bool,
    *,
    with_safety: bool,
    whole: bool,
    yes: bool,
    i_know: bool,
) -> None:
    from pgsnap.cli.views.in_database.in_place import swap_facts, undoes_fields
    from pgsnap.cli.views.restore import undo_fields, undo_lines, undo_plan_lines
    from pgsnap.workflows.undo.last import last_done
    from pgsnap.workflows.undo.undo import plan_undo

    settings = invocation.settings
    server = server_of(settings)
    services = ServicesAside(invocation, stop)
    warn_of_stopped(invocation.console)
    with open_repository(invocation) as repo:
        label = label_of(invocation, repo)
        if not whole and (last := last_done(repo, server, label)).done is not None:
            Undoing(
                invocation,
                server,
                services,
                yes=yes,
                i_know=i_know,
                allow_newer_client=allow_newer_client,
                with_safety=with_safety,
            ).run(repo, last, label)
            return
        plan = plan_undo(repo, server, label, with_safety=with_safety)
        lines = undo_plan_lines(
            plan,
            with_safety=with_safety,
            services=services.names,
            now=invocation.now,
            undoes=swap_facts(plan.kept, invocation.now),
        )
        _show(invocation, lines, plan.warnings)
        plan.check()
        check_protected(invocation, plan.kept.live, i_know=i_know)
        if not yes:
            invocation.console.confirm(
                f"Put back {plan.kept.live}? Type its name to go on:", word=plan.kept.live
            )
        report = _swap_back(
            invocation, repo, plan, server, services, allow_newer_client, with_safety=with_safety
        )
    fields = {**undo_fields(report), **undoes_fields(plan.kept), "services": services.fields()}
    invocation.console.emit(fields, undo_lines(report))
    services.outcome.check()


def _show(invocation: Invocation, lines: list[str], warnings: Sequence[str]) -> None:
    invocation.console.propose(lines, warnings)
    if invocation.console.json:
        # With --json the plan was not shown.
        for warning in warnings:
            invocation.console.warn(f"warning: {warning}")


def _swap_back(
    invocation: Invocation,
    repo: Repository,
    plan: UndoPlan,
    server: Server,
    services: ServicesAside,
    allow_newer_client: bool,
    *,
    with_safety: bool,
) -> UndoReport:
    from pgsnap.workflows.commit.safety_snapshot import safety_commit
    from pgsnap.workflows.undo.undo import undo

    with (
        untouched(plan.kept.live, is_there=plan.live is not None),
        invocation.console.progress(
            steps.UNDO if with_safety else steps.without_safety(steps.UNDO)
        ) as progress,
    ):
        safety = safety_commit(
            repo,
            server,
            label=plan.label,
            database=plan.kept.live,
            verb="undo",
            lock_wait_timeout_seconds=invocation.settings.lock_wait_timeout,
            allow_newer_client=allow_newer_client,
            jobs=jobs_of(invocation.settings),
            may_checkpoint=invocation.settings.checkpoint,
            progress=progress,
        )
        return undo(
            repo,
            plan,
            server,
            safety=safety if with_safety else None,
            aside=services.aside,
            progress=progress,
        )


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
