"""`snap restore`: a snapshot becomes the database again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.invocation import Invocation
from pgsnap.cli.world import open_repository, resolve, server_of

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository
    from pgsnap.workflows.restore_plan import RestorePlan

EXAMPLES = """
snap restore pre-migration
snap restore latest --to shop_copy
snap restore @2026-01-02T14:30 --yes --create-roles
"""


def run(
    ctx: typer.Context,
    revision: Annotated[
        str,
        typer.Argument(
            metavar="REV", help="The snapshot: a tag, an id, latest, latest~2 or @2026-01-02."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DATABASE", help="Make this new database; replace nothing."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_safety_snapshot: Annotated[
        bool,
        typer.Option("--no-safety-snapshot", help="Do not record first what is there now."),
    ] = False,
    create_roles: Annotated[
        bool, typer.Option("--create-roles", help="Make the roles that are missing.")
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="Let new sessions of the live database only read meanwhile."
        ),
    ] = False,
    discard_old: Annotated[
        bool,
        typer.Option(
            "--discard-old", help="At the end drop the database that an earlier restore replaced."
        ),
    ] = False,
    allow_newer_client: Annotated[
        bool,
        typer.Option("--allow-newer-client", help="Let a psql newer than the server do it."),
    ] = False,
    trust_sql: Annotated[
        bool,
        typer.Option("--trust-sql", help="Run SQL that pg_dump did not write, without rights."),
    ] = False,
    as_superuser: Annotated[
        bool,
        typer.Option("--as-superuser", help="Run such SQL with all rights of the connection."),
    ] = False,
    no_analyze: Annotated[
        bool, typer.Option("--no-analyze", help="Leave out ANALYZE at the end.")
    ] = False,
) -> None:
    """Restore a snapshot, by default to the database that it came from.

    A scratch database is filled and checked first; then, in one transaction, it takes the name of
    the live one, which is kept: `snap undo` puts it back. A restore that fails or is killed leaves
    the live database as it was.
    """
    from pgsnap.cli.restore_view import restore_fields, restore_lines
    from pgsnap.workflows.restore import restore
    from pgsnap.workflows.restore_plan import RestoreOptions, plan_restore
    from pgsnap.workflows.safety import safety_commit

    invocation = Invocation.of(ctx)
    settings = invocation.settings
    newer = allow_newer_client or settings.allow_newer_client
    with_safety = settings.safety_snapshot and not no_safety_snapshot
    options = RestoreOptions(
        to=to,
        create_roles=create_roles,
        discard_old=discard_old,
        allow_newer_client=newer,
        trust_sql=trust_sql,
        as_superuser=as_superuser,
        analyze=not no_analyze,
        read_only=read_only,
    )
    server = server_of(settings)
    with open_repository(invocation) as repo:
        plan = plan_restore(repo, resolve(invocation, repo, revision), server, options)
        _agree(invocation, repo, plan, with_safety=with_safety, yes=yes)
        with invocation.progress() as progress:
            safety = safety_commit(
                repo,
                server,
                label=plan.label,
                database=plan.database,
                verb="restore",
                lock_wait_timeout_seconds=settings.lock_wait_timeout,
                allow_newer_client=newer,
                read_only=plan.read_only,
                progress=progress,
            )
            report = restore(
                repo, plan, server, safety=safety if with_safety else None, progress=progress
            )
    if not invocation.json:
        for warning in report.warnings:
            invocation.warn(f"warning: {warning}")
    fields = restore_fields(report, invocation.notices)
    # With --json nobody saw the plan.
    fields["warnings"] = [*plan.warnings, *report.warnings]
    invocation.emit(fields, restore_lines(report))


def _agree(
    invocation: Invocation, repo: Repository, plan: RestorePlan, *, with_safety: bool, yes: bool
) -> None:
    """Show the plan; go on only if nothing forbids it and the user agrees."""
    from pgsnap.cli.restore_view import restore_plan_lines
    from pgsnap.workflows.history import log

    snapshot = repo.snapshot(plan.snapshot_id)
    last = next(iter(log(repo, database=plan.label, limit=1)), None)
    lines = restore_plan_lines(
        plan, snapshot, last=last, with_safety=with_safety, now=invocation.now
    )
    invocation.propose(lines, plan.warnings)
    plan.check()
    if not yes:
        invocation.confirm(f"Restore to {plan.database}?")
