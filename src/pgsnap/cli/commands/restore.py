"""`snap restore`: a snapshot becomes the database again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from pgsnap.cli.commands.options import (
    AllowNewerClient,
    IKnow,
    NoSafetySnapshot,
    Revision,
    Stop,
    Yes,
)
from pgsnap.cli.wiring.connect import check_of_server, open_repository, resolve, server_of
from pgsnap.cli.wiring.hooks import hooks
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.restoring import Restoring
from pgsnap.cli.wiring.stopping import ServicesAside, warn_of_stopped
from pgsnap.errors import UsageError

EXAMPLES = """
snap restore pre-migration
snap restore latest --to shop_copy
snap restore @2026-01-02T14:30 --yes --create-roles
snap restore pre-migration --table public.orders
snap restore pre-migration --table public.orders --replace --stop compose:strapi
snap restore pre-migration --table cron.job --data-only
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
    data_only: Annotated[
        bool,
        typer.Option(
            "--data-only",
            help="With --table: only rows, of a table that an extension makes.",
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
    no_safety_snapshot: NoSafetySnapshot = False,
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
    from pgsnap.workflows.restore.plan import RestoreOptions

    invocation = Invocation.of(ctx)
    settings = invocation.settings
    with_safety = settings.safety_snapshot and not no_safety_snapshot
    if (replace_tables or cascade_check) and (to is not None or not table):
        raise UsageError(
            "--replace and --cascade-check are about tables of the live database",
            hint=f"Name them, without --to: snap restore {revision} --table SCHEMA.TABLE --replace",
        )
    if data_only and (to is not None or not table or replace_tables or cascade_check):
        raise UsageError(
            "--data-only is about the rows of an extension's tables in the live database",
            hint=f"Name them alone: snap restore {revision} --table SCHEMA.TABLE --data-only",
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
        run = Restoring(
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
            if table and data_only:
                run.restore_rows(repo, snapshot_id, table, from_server)
            elif table and to is None:
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
