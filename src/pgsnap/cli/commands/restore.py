"""`snap restore`: a snapshot becomes the database again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.hooks import hooks
from pgsnap.cli.invocation import Invocation
from pgsnap.cli.options import AllowNewerClient, IKnow, Revision, Stop, Yes
from pgsnap.cli.stopping import ServicesAside, check_protected, warn_of_stopped
from pgsnap.cli.world import check_of_server, open_repository, resolve, server_of
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgsnap.model import SnapshotId
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.targets.read_only import ReadOnly
    from pgsnap.workflows.restore_plan import RestoreOptions, RestorePlan
    from pgsnap.workflows.table_plan import TableOptions

EXAMPLES = """
snap restore pre-migration
snap restore latest --to shop_copy
snap restore @2026-01-02T14:30 --yes --create-roles
snap restore pre-migration --table public.orders
snap restore pre-migration --table public.orders --replace --stop compose:strapi
"""


def run(
    ctx: typer.Context,
    revision: Revision,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DATABASE", help="Make this new database; replace nothing."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="SCHEMA.TABLE",
            help="Only this table: beside the live one, as SCHEMA.TABLE__REV (repeatable).",
        ),
    ] = None,
    replace_tables: Annotated[
        bool,
        typer.Option("--replace", help="With --table: in place of the live one, which is kept."),
    ] = False,
    cascade_check: Annotated[
        bool,
        typer.Option(
            "--cascade-check",
            help="With --replace: also where foreign keys refer to it; they must still hold.",
        ),
    ] = False,
    stop: Stop = None,
    yes: Yes = False,
    i_know: IKnow = False,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Replace all with a snapshot of a part of the database."),
    ] = False,
    from_server: Annotated[
        str | None,
        typer.Option(
            "--from-server",
            metavar="LABEL@ID",
            show_default=False,
            help="REV is of this server; it may replace a database of another one.",
        ),
    ] = None,
    no_owner: Annotated[
        bool, typer.Option("--no-owner", help="With --to: everything belongs to you.")
    ] = False,
    no_acl: Annotated[
        bool, typer.Option("--no-acl", help="With --to: leave out what was granted to whom.")
    ] = False,
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
    allow_newer_client: AllowNewerClient = False,
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
    from pgsnap.workflows.restore_plan import RestoreOptions

    invocation = Invocation.of(ctx)
    settings = invocation.settings
    with_safety = settings.safety_snapshot and not no_safety_snapshot
    if (replace_tables or cascade_check) and (to is not None or not table):
        raise UsageError(
            "--replace and --cascade-check are about tables of the live database",
            hint=f"Name them, without --to: snap restore {revision} --table SCHEMA.TABLE --replace",
        )
    if table and to is None:
        _check_tables_only(
            {
                "--partial": partial,
                "--no-owner": no_owner,
                "--no-acl": no_acl,
                "--create-roles": create_roles,
                "--read-only": read_only,
                "--discard-old": discard_old,
                "--trust-sql": trust_sql,
                "--as-superuser": as_superuser,
                "--no-analyze": no_analyze,
            }
        )
    allow_newer_client = allow_newer_client or settings.allow_newer_client
    options = RestoreOptions(
        to=to,
        create_roles=create_roles,
        discard_old=discard_old,
        allow_newer_client=allow_newer_client,
        trust_sql=trust_sql,
        as_superuser=as_superuser,
        analyze=not no_analyze,
        read_only=read_only,
        no_owner=no_owner,
        no_acl=no_acl,
        partial=partial,
        from_server=from_server,
        with_safety=with_safety,
    )
    with ExitStack() as around:
        told = {"revision": revision, "to": to, "tables": list(table or ())}
        run = _Run(
            invocation,
            server_of(settings),
            ServicesAside(invocation, tuple(stop or ())),
            revision,
            yes=yes,
            i_know=i_know,
            with_safety=with_safety,
            allow_newer_client=allow_newer_client,
            begin=lambda: around.enter_context(hooks(invocation, "restore", **told)),
        )
        warn_of_stopped(invocation)
        with open_repository(invocation) as repo:
            snapshot_id = resolve(invocation, repo, revision, from_server=from_server)
            check_of_server(repo, snapshot_id, from_server)
            if table and to is None:
                chosen = run.table_options(
                    repo, snapshot_id, table, replaces=replace_tables, check_keys=cascade_check
                )
                chosen = replace(chosen, from_server=from_server)
                run.restore_tables(repo, snapshot_id, chosen)
            else:
                run.restore_all(repo, snapshot_id, options, table or [])
        run.services.outcome.check()


def _check_tables_only(others: dict[str, bool]) -> None:
    """Raise UsageError for an option that means nothing where single tables are restored."""
    given = [name for name, value in others.items() if value]
    if given:
        raise UsageError(
            f"{given[0]} is about whole databases, and --table changes the live one",
            hint=f"Leave {given[0]} out, or make a copy: --to NEW.",
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """One restore, whichever: what both kinds need. *begin* is called when the user has agreed: it
    runs the hook before, and lets the one after run at the end."""

    invocation: Invocation
    server: Server
    services: ServicesAside
    revision: str
    yes: bool
    i_know: bool
    with_safety: bool
    allow_newer_client: bool
    begin: Callable[[], None]

    def restore_all(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        options: RestoreOptions,
        tables: list[str],
    ) -> None:
        from pgsnap.cli.restore_view import restore_fields, restore_lines
        from pgsnap.workflows.restore import restore
        from pgsnap.workflows.restore_plan import plan_restore
        from pgsnap.workflows.table_names import check_tables_known, parse_tables

        invocation = self.invocation
        if tables:
            options = replace(options, tables=parse_tables(tables))
            check_tables_known(repo, repo.snapshot(snapshot_id), snapshot_id, options.tables)
        plan = plan_restore(repo, snapshot_id, self.server, options)
        self._agree(repo, plan)
        self.begin()
        with invocation.progress() as progress:
            safety = self._safety(repo, plan.label, plan.database, progress, plan.read_only)
            report = restore(
                repo,
                plan,
                self.server,
                safety=safety if self.with_safety else None,
                aside=self.services.aside,
                progress=progress,
            )
        if not invocation.json:
            for warning in report.warnings:
                invocation.warn(f"warning: {warning}")
        fields = restore_fields(report, invocation.notices)
        # With --json nobody saw the plan.
        fields["warnings"] = [*plan.warnings, *report.warnings]
        fields["services"] = self.services.fields()
        invocation.emit(fields, restore_lines(report))

    def table_options(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        tables: list[str],
        *,
        replaces: bool,
        check_keys: bool,
    ) -> TableOptions:
        from pgsnap.workflows.table_names import parse_tables
        from pgsnap.workflows.table_plan import TableOptions

        label = repo.snapshot(snapshot_id).database
        name = self.revision.removeprefix(f"{label}/")
        is_tag = not name.startswith("@") and "~" not in name
        tagged = repo.tags.get(label, name) if is_tag and name != "latest" else None
        word = name if tagged is not None else snapshot_id.hex()[:8]
        return TableOptions(
            parse_tables(tables), word, replaces, check_keys, self.allow_newer_client
        )

    def restore_tables(
        self, repo: Repository, snapshot_id: SnapshotId, options: TableOptions
    ) -> None:
        from pgsnap.cli.table_view import tables_fields, tables_lines, tables_plan_lines
        from pgsnap.workflows.restore_table import restore_tables
        from pgsnap.workflows.table_plan import plan_tables

        invocation = self.invocation
        plan = plan_tables(repo, snapshot_id, self.server, options, invocation.now)
        lines = tables_plan_lines(
            plan,
            repo.snapshot(snapshot_id),
            with_safety=self.with_safety,
            services=self.services.names,
            now=invocation.now,
        )
        invocation.propose(lines, plan.warnings)
        plan.check()
        if plan.replaces:
            check_protected(invocation, plan.database, i_know=self.i_know)
        if not self.yes:
            invocation.confirm(f"Change {plan.database}?")
        self.begin()
        with invocation.progress() as progress:
            safety = self._safety(repo, plan.label, plan.database, progress)
            report = restore_tables(
                repo,
                plan,
                self.server,
                safety=safety if self.with_safety else None,
                aside=self.services.aside,
                progress=progress,
            )
        fields = {
            **tables_fields(report, invocation.notices),
            "warnings": list(plan.warnings),
            "services": self.services.fields(),
        }
        invocation.emit(fields, tables_lines(report))

    def _safety(
        self,
        repo: Repository,
        label: str,
        database: str,
        progress: Progress,
        read_only: ReadOnly | None = None,
    ) -> Callable[[], SnapshotId]:
        from pgsnap.workflows.safety import safety_commit

        settings = self.invocation.settings
        return safety_commit(
            repo,
            self.server,
            label=label,
            database=database,
            verb="restore",
            lock_wait_timeout_seconds=settings.lock_wait_timeout,
            allow_newer_client=self.allow_newer_client,
            read_only=read_only,
            progress=progress,
        )

    def _agree(self, repo: Repository, plan: RestorePlan) -> None:
        """Show the plan; go on only if nothing forbids it and the user agrees."""
        from pgsnap.cli.restore_view import restore_plan_lines
        from pgsnap.workflows.history import last_saved

        invocation = self.invocation
        snapshot = repo.snapshot(plan.snapshot_id)
        last = last_saved(repo, plan.label, plan.server.system_identifier)
        lines = restore_plan_lines(
            plan,
            snapshot,
            last=last,
            with_safety=self.with_safety,
            services=self.services.names,
            now=invocation.now,
        )
        invocation.propose(lines, plan.warnings)
        plan.check()
        if plan.live is not None:
            check_protected(invocation, plan.database, i_know=self.i_know)
        if self.yes:
            return
        if plan.live is None:
            invocation.confirm(f"Restore to {plan.database}?")
        else:
            invocation.confirm(
                f"Restore to {plan.database}? Type its name to go on:", word=plan.database
            )
