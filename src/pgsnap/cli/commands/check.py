"""`snap check`: one line and an exit code for a monitor."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.retention_options import chosen_retire_after
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.cli.text.redact import redact
from pgsnap.cli.views import check as check_view
from pgsnap.cli.wiring.connect import database_of_dsn, open_repository, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remote_states import remotes_seen
from pgsnap.cli.wiring.stopping import left_stopped
from pgsnap.cli.wiring.warming.copies import missing_copies
from pgsnap.errors import SnapError

if TYPE_CHECKING:
    from pgsnap.workflows.watch.check import CheckReport

EXAMPLES = """
snap check
snap check --max-age 2h --max-drill-age 35d
snap check --nagios
snap check --json | jq -r '.findings[] | select(.level == "red") | .text'
"""

MaxDrillAge = Annotated[
    str | None,
    typer.Option(
        "--max-drill-age",
        metavar="TIME",
        show_default=False,
        help="How long ago the last drill may be. [default: 35d, where there was one]",
    ),
]
MaxRemoteAge = Annotated[
    str | None,
    typer.Option(
        "--max-remote-age",
        metavar="TIME",
        show_default=False,
        help="How old the newest snapshot on each remote may be. [default: 26h, where commits"
        " are pushed or pushes scheduled]",
    ),
]


def run(
    ctx: typer.Context,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="TIME",
            show_default=False,
            help="How old the newest snapshot may be. [default: 26h]",
        ),
    ] = None,
    max_drill_age: MaxDrillAge = None,
    max_remote_age: MaxRemoteAge = None,
    nagios: Annotated[
        bool, typer.Option("--nagios", help="Line and exit codes (0 to 3) as Nagios wants them.")
    ] = False,
    no_connect: Annotated[
        bool, typer.Option("--no-connect", help="Ask neither the database nor remotes.")
    ] = False,
    no_notify: Annotated[
        bool, typer.Option("--no-notify", help="Tell nobody of [alerts].")
    ] = False,
) -> None:
    """Tell a monitor in one line whether the backups are well.

    Exit code 4 where something is red: no snapshot that is young enough, damage, a drill that
    failed or is too long ago, a scheduled run or a push that failed or did not come, a full disk, a
    database that does not answer.
    """
    invocation = Invocation.of(ctx)
    console = invocation.console
    try:
        report = _looked_at(
            invocation,
            _age(max_age, "--max-age"),
            _age(max_drill_age, "--max-drill-age"),
            _age(max_remote_age, "--max-remote-age"),
            connect=not no_connect,
        )
    except SnapError as error:
        if not nagios:
            raise
        unknown = f"SNAP UNKNOWN - {error.message}"
        console.emit({"error": error.message}, [unknown], has_notices=False)
        raise typer.Exit(3) from None
    if not no_notify:
        _notify(invocation, report)
    code = check_view.exit_code(report, nagios=nagios)
    if not nagios and not console.json:
        for news in check_view.news(report):
            console.tell(news)
    line = check_view.line(report, nagios=nagios, colour=console.terminal.colour)
    console.emit(check_view.check_fields(report, code), [line])
    raise typer.Exit(code)


def _age(text: str | None, option: str) -> timedelta | None:
    return parse_timedelta(text, option) if text is not None else None


def _looked_at(
    invocation: Invocation,
    max_age: timedelta | None,
    max_drill_age: timedelta | None,
    max_remote_age: timedelta | None,
    *,
    connect: bool,
) -> CheckReport:
    from pgsnap.schedulers.daemons import why_idle
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.watch import ages, check
    from pgsnap.workflows.watch.check_remotes import check_remotes

    invocation.wait_briefly()
    settings = invocation.settings
    schedule = settings.schedule
    if max_drill_age is None and schedule is not None and schedule.drill is not None:
        max_drill_age = ages.MAX_DRILL_AGE
    every = schedule is not None and schedule.all_databases and invocation.given.database is None
    label = None if every else settings.database
    named = database_of_dsn(settings)
    expected: tuple[str, ...] = (named,) if named is not None else ()
    asked = None
    if connect and (every or named is not None or settings.place is not None):
        asked = check.ask_databases(lambda: server_of(settings), every=every)
        expected = asked.databases or expected
    report = check.CheckReport(invocation.now)
    try:
        with open_repository(invocation, whole=True, warn_of_access=False) as repo:
            check.check_repository(
                repo,
                report,
                database=label,
                expected=expected,
                max_age=max_age if max_age is not None else ages.MAX_AGE,
                max_drill_age=max_drill_age,
                server=asked.server if asked is not None else "",
                retire_after=chosen_retire_after(settings),
            )
        check.check_access(report, settings.repository)
    except SnapError as error:
        check.check_closed(report, settings.repository, error)
    for found in left_stopped():
        report.add(found.verdict, found.check, f"left stopped: {found.reason} ({found.help})")
    report.findings += missing_copies(invocation)
    if settings.config_path is not None:
        state = State(settings.config_path, invocation.trust)
        check.check_schedulers(report, state, why_idle)
        check.check_runs(report, state)
        report.remotes = remotes_seen(invocation, ask=connect)
        is_scheduled = schedule is not None and "push" in schedule.times()
        check_remotes(report, max_remote_age, is_scheduled=is_scheduled)
    if asked is not None:
        report.findings += asked.findings
        report.lock_waits = asked.lock_waits
        check.check_half_dropped(report, asked)
    return report


def _notify(invocation: Invocation, report: CheckReport) -> None:
    """Notify the recipients of [alerts] if the check turned red or green."""
    settings = invocation.settings
    if settings.alerts is None or settings.config_path is None:
        return
    from pgsnap.model import Verdict
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.watch.scheduled import tell_of_check

    try:
        alerts = settings.alerts.resolved()
    except SnapError as error:
        invocation.console.warn(f"warning: {error.message}")
        return
    red = [found for found in report.findings if found.verdict is Verdict.FAILED]
    warnings = tell_of_check(
        State(settings.config_path, invocation.trust),
        alerts,
        red=bool(red),
        line=redact(check_view.line(report)),
        findings=[redact(found.reason) for found in red],
        now=report.now,
    )
    for warning in warnings:
        invocation.console.warn(f"warning: {warning}")
