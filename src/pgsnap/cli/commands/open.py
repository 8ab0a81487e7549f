"""`snap open`: the past to look into."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import Install, OnlyTables, Revision
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError

EXAMPLES = """
snap open latest
snap open pre-migration --table shop.orders
snap open @2026-01-02 -- python report.py
snap open latest~1 --print-dsn --tcp
"""

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND [ARGUMENT]...]",
        show_default=False,
        help="The command to run instead of psql, with DATABASE_URL and PG*.",
    ),
]
Writable = Annotated[
    bool, typer.Option("--writable", help="Let sessions write; it is gone at the end all the same.")
]
PrintDsn = Annotated[
    bool,
    typer.Option("--print-dsn", help="Run nothing: print a DSN for a tool, and wait for Ctrl-C."),
]
Tcp = Annotated[
    bool,
    typer.Option(
        "--tcp", help="Listen on 127.0.0.1 with a password, for tools that know no sockets."
    ),
]


def run(
    ctx: typer.Context,
    revision: Revision,
    command: Command = None,
    table: OnlyTables = None,
    writable: Writable = False,
    print_dsn: PrintDsn = False,
    tcp: Tcp = False,
    install: Install = False,
) -> None:
    """Look into a snapshot: psql in a throw-away PostgreSQL with it.

    The server is of the snapshot's major version, in a temporary folder; it is gone when psql or
    the command ends, whatever happens. The exit code is that of the command.
    """
    from pgsnap.cli.wiring.looking.look import Choices, open_past

    invocation = Invocation.of(ctx)
    if command and print_dsn:
        raise UsageError("--print-dsn runs no command", hint="Leave one of the two out.")
    if invocation.console.json and not print_dsn:
        raise UsageError(
            "open runs a program, whose output --json cannot change",
            hint=f"Run `snap query {revision} SQL --json`, or add --print-dsn.",
        )
    # The audit log gets the command's name; its arguments may hold secrets.
    invocation.parameters["command"] = command[0] if command else None
    choices = Choices(revision, tuple(table or ()), install)
    argv = None if print_dsn else tuple(command or ())
    raise typer.Exit(open_past(invocation, choices, argv, tcp=tcp, writable=writable))
