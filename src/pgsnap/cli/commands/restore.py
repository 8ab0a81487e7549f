"""`snap restore`: a snapshot becomes the database again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.commands.options import (
    AllowNewerClient,
    IKnow,
    MaskFile,
    NoSafetySnapshot,
    Revision,
    Stop,
    Yes,
)
from pgsnap.cli.wiring.in_database.rows_back import WhichRows
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.masks.reading import load_masks
from pgsnap.cli.wiring.restoring import RestoreChoices, restore_chosen
from pgsnap.cli.wiring.warming.copies import keep_copies
from pgsnap.limits import JOBS_MAX

if TYPE_CHECKING:
    from pgsnap.workflows.restore.plan import RestoreOptions

EXAMPLES = """
snap restore pre-migration
snap restore latest --to shop_copy
snap restore latest --to dev --mask masks.toml
snap restore @2026-01-02T14:30 --yes --create-roles
snap restore pre-migration --table public.orders
snap restore pre-migration --table public.orders --replace --stop compose:cms
snap restore pre-migration --table cron.job --data-only
snap restore pre-migration --table public.orders --rows "id in (17, 18)"
snap restore pre-migration --table public.orders --row 17 --dry-run
snap restore pre-migration --changed-only
"""

To = Annotated[
    str | None,
    typer.Option("--to", metavar="DATABASE", help="Make this new database; replace nothing."),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="SCHEMA.TABLE",
        help="Only this table: beside the live one, as SCHEMA.TABLE__REV (repeatable).",
    ),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="With --table: in place of the live one, which is kept.")
]
CascadeCheck = Annotated[
    bool,
    typer.Option(
        "--cascade-check",
        help="With --replace: also where foreign keys refer to it; they must still hold.",
    ),
]
DataOnly = Annotated[
    bool,
    typer.Option(
        "--data-only", help="With --table: only rows, of a table that an extension makes."
    ),
]
Rows = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="CONDITION",
        show_default=False,
        help="With --table: only the rows that meet this, as after WHERE, into the live table.",
    ),
]
Row = Annotated[
    list[str] | None,
    typer.Option(
        "--row",
        metavar="KEY",
        help="With --table: only the row with this primary key (repeatable).",
    ),
]
Delete = Annotated[
    bool,
    typer.Option(
        "--delete", help="With --rows or --row: delete rows of these that the snapshot lacks."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what it would do. Changes nothing.")
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Replace all with a snapshot of a part of the database.")
]
FromServer = Annotated[
    str | None,
    typer.Option(
        "--from-server",
        metavar="LABEL@ID",
        show_default=False,
        help="REV is of this server; it may replace a database of another one.",
    ),
]
NoOwner = Annotated[bool, typer.Option("--no-owner", help="With --to: everything belongs to you.")]
NoAcl = Annotated[
    bool, typer.Option("--no-acl", help="With --to: leave out what was granted to whom.")
]
CreateRoles = Annotated[
    bool, typer.Option("--create-roles", help="Make the roles that are missing.")
]
ReadOnly = Annotated[
    bool,
    typer.Option("--read-only", help="Let new sessions of the live database only read meanwhile."),
]
DiscardOld = Annotated[
    bool,
    typer.Option(
        "--discard-old", help="At the end drop the database that an earlier restore replaced."
    ),
]
TrustSql = Annotated[
    bool, typer.Option("--trust-sql", help="Run SQL that pg_dump did not write, without rights.")
]
AsSuperuser = Annotated[
    bool, typer.Option("--as-superuser", help="Run such SQL with all rights of the connection.")
]
NoAnalyze = Annotated[bool, typer.Option("--no-analyze", help="Leave out ANALYZE at the end.")]

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=JOBS_MAX,
        show_default="one for each processor here",
        help="Load tables and build indexes over so many connections.",
    ),
]
AnyOrder = Annotated[
    bool,
    typer.Option(
        "--any-order",
        help="Load a huge table over several connections: its rows come in another order.",
    ),
]
Load = Annotated[
    bool,
    typer.Option(
        "--load", help="Load it from the repository, even if a copy stands on the server."
    ),
]
ChangedOnly = Annotated[
    bool,
    typer.Option("--changed-only", help="Put back only what differs, in the live database itself."),
]
Prove = Annotated[
    bool, typer.Option("--prove", help="With --changed-only: read everything and compare.")
]
Warm = Annotated[
    bool,
    typer.Option(
        "--warm",
        help="Replace nothing: let there be as many warm copies of REV as snap.toml says.",
    ),
]
# Options of the command that are options of a restore under the same name.
_AS_THEY_ARE = (
    *("to", "create_roles", "discard_old", "trust_sql", "as_superuser", "read_only"),
    *("no_owner", "no_acl", "partial", "from_server", "jobs", "any_order", "load"),
)
# Options that are choices under the same name.
_CHOICES = (
    *("replace", "cascade_check", "data_only", "changed_only", "prove"),
    *("yes", "i_know", "dry_run"),
)


def run(
    ctx: typer.Context,
    revision: Revision,
    to: To = None,
    table: Table = None,
    replace: Replace = False,
    cascade_check: CascadeCheck = False,
    data_only: DataOnly = False,
    rows: Rows = None,
    row: Row = None,
    delete: Delete = False,
    dry_run: DryRun = False,
    stop: Stop = None,
    yes: Yes = False,
    i_know: IKnow = False,
    partial: Partial = False,
    from_server: FromServer = None,
    no_owner: NoOwner = False,
    no_acl: NoAcl = False,
    no_safety_snapshot: NoSafetySnapshot = False,
    create_roles: CreateRoles = False,
    read_only: ReadOnly = False,
    discard_old: DiscardOld = False,
    allow_newer_client: AllowNewerClient = False,
    trust_sql: TrustSql = False,
    as_superuser: AsSuperuser = False,
    no_analyze: NoAnalyze = False,
    jobs: Jobs = None,
    any_order: AnyOrder = False,
    load: Load = False,
    changed_only: ChangedOnly = False,
    prove: Prove = False,
    warm: Warm = False,
    mask: MaskFile = None,
) -> None:
    """Restore a snapshot, by default to the database that it came from.

    A scratch database is filled and checked first; then, in one transaction, it takes the name of
    the live one, which is kept: `snap undo` puts it back. A restore that fails or is killed leaves
    the live database as it was.
    """
    invocation = Invocation.of(ctx)
    choices = RestoreChoices(
        revision=revision,
        options=_options(invocation, ctx.params),
        tables=tuple(table or ()),
        without_safety=no_safety_snapshot,
        rows=WhichRows(rows, tuple(row or ()), delete),
        **{name: ctx.params[name] for name in _CHOICES},
    )
    deed = keep_copies if warm else restore_chosen
    deed(invocation, choices, tuple(stop or ()))


def _options(invocation: Invocation, given: Mapping[str, Any]) -> RestoreOptions:
    """Return the options of a restore that the command line has *given*, and snap.toml."""
    from pgsnap.workflows.restore.plan import RestoreOptions

    settings = invocation.settings
    return RestoreOptions(
        **{name: given[name] for name in _AS_THEY_ARE},
        allow_newer_client=given["allow_newer_client"] or settings.allow_newer_client,
        analyze=not given["no_analyze"],
        keep_replaced=settings.keep_replaced,
        with_safety=settings.safety_snapshot and not given["no_safety_snapshot"],
        masks=load_masks(invocation, given["mask"]),
        baseline=settings.source == "direct" and settings.checkpoint and given["to"] is None,
    )
