"""`snap drill`: the rollback test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import AllowNewerClient
from pgsnap.cli.config.keys import absolute_path
from pgsnap.cli.config.schedule import REPORT_NAME
from pgsnap.cli.console.steps import DRILL
from pgsnap.cli.text import render
from pgsnap.cli.text.redact import redact
from pgsnap.cli.wiring.connect import resolve, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_chosen
from pgsnap.errors import DrillFailed, UsageError
from pgsnap.files import whole

if TYPE_CHECKING:
    from pgsnap.cli.config.settings import Settings
    from pgsnap.workflows.drill.runbook import Grammar, Runbook

CHECKS_FOLDER = Path("database") / "checks"
RUNBOOK = Path("docs") / "rollback.md"

EXAMPLES = """
snap drill
snap drill pre-migration --throw-away --verbose
snap drill --dry-run
snap drill --from offsite --throw-away
snap drill --json | jq '.checks[] | select(.status != "passed")'
"""

Revision = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]",
        show_default=False,
        help="The snapshot. [default: the newest that is no safety snapshot]",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Touch no database; make the checks that need none.")
]
ThrowAway = Annotated[
    bool,
    typer.Option("--throw-away", help="Restore to a private cluster made for it, on this machine."),
]
Report = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        show_default=False,
        help=f"The JSON report. [default: {REPORT_NAME}]",
    ),
]
Checks = Annotated[
    str | None,
    typer.Option(
        "--checks",
        metavar="FOLDER",
        show_default=False,
        help="Your own queries. [default: database/checks beside snap.toml]",
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME",
        show_default=False,
        help="Restore straight from this remote: can it replace the repository?",
    ),
]


def run(
    ctx: typer.Context,
    revision: Revision = None,
    dry_run: DryRun = False,
    throw_away: ThrowAway = False,
    report: Report = None,
    checks: Checks = None,
    source: Source = None,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Test the rollback: restore beside the live database and compare.

    The live database is only read. The scratch database is dropped afterwards. Each check passes,
    fails or is skipped, with its reason; exit code 65 where one fails.
    """
    from pgsnap.cli.views.drill import drill_fields, drill_lines
    from pgsnap.workflows.drill.drill import DrillOptions, drill

    invocation = Invocation.of(ctx)
    console = invocation.console
    settings = invocation.settings
    target = _report_path(settings, report)
    options = DrillOptions(
        runbook=_runbook(settings),
        assertions=_assertions(settings, checks),
        trusted=_trusted(),
        dry_run=dry_run,
        allow_newer_client=allow_newer_client or settings.allow_newer_client,
        lock_wait_timeout_seconds=settings.lock_wait_timeout,
    )
    make = None
    if throw_away:
        from pgsnap.cli.wiring.throw_away import private_server

        make = private_server
    server = server_of(settings)
    with open_chosen(invocation, source) as repo:
        snapshot = resolve(invocation, repo, revision)
        with console.progress(DRILL) as progress:
            found = drill(repo, snapshot, server, options, throw_away=make, progress=progress)
    fields = {
        **drill_fields(found),
        "remote": source,
        "notices": [*map(redact, found.notices), *console.notices],
    }
    # Readable only by its owner: it names rows.
    whole.write_at(target, f"{render.json_text(fields)}\n".encode())
    colour = console.terminal.colour
    lines = drill_lines(found, verbose=console.verbose, colour=colour)
    console.emit(fields, lines, has_notices=False)
    console.tell(f'report: "{target}"')
    if found.failed:
        first = found.failed[0]
        raise DrillFailed(
            f"{render.plural(len(found.failed), 'check')} failed: "
            + ", ".join(check.check for check in found.failed),
            detail=f"{first.title}: {first.reason}.",
            hint=first.help or f'See the report: "{target}"',
        )


def _report_path(settings: Settings, given: str | None) -> Path:
    """Return the report's path. Raises UsageError now, not after an hour of drilling."""
    path = settings.drill.report if settings.drill is not None else None
    if given is not None or path is None:
        path = absolute_path(REPORT_NAME if given is None else given, Path.cwd(), "--report")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(
            f'the report "{path}" cannot be written',
            hint="Name another file: --report FILE, or in snap.toml report of [drill]",
        )
    return path


def _assertions(settings: Settings, named: str | None) -> Path:
    if named is None:
        return settings.folder / CHECKS_FOLDER
    folder = absolute_path(named, Path.cwd(), "--checks")
    if not folder.is_dir():
        raise UsageError(f'there is no folder "{folder}"')
    return folder


def _trusted() -> frozenset[int]:
    """Return the owners whose SQL is run: this user, root, and the user who called sudo."""
    named = os.environ.get("SUDO_UID", "")
    sudo = {int(named)} if os.getuid() == 0 and named.isdigit() else set()
    return frozenset({os.getuid(), 0, *sudo})


def _runbook(settings: Settings) -> Runbook:
    from pgsnap.workflows.drill.runbook import Runbook

    if settings.runbook is not None:
        return Runbook(settings.runbook, is_required=True, grammar=_grammar())
    return Runbook(settings.folder / RUNBOOK, grammar=_grammar())


def _grammar() -> Grammar:
    """Return the commands and options of this version."""
    import click

    from pgsnap.cli.app import command
    from pgsnap.workflows.drill.runbook import Grammar

    group = command()
    options = [param for param in group.params if isinstance(param, click.Option)]
    help_names = {"--help", "-h"}
    return Grammar(
        commands={
            name: frozenset(
                word
                for param in found.params
                if isinstance(param, click.Option)
                for word in (*param.opts, *param.secondary_opts)
            )
            for name, found in group.commands.items()
        },
        global_options=frozenset({word for o in options for word in o.opts} | help_names),
        with_value=frozenset(word for o in options if not o.is_flag for word in o.opts),
    )
