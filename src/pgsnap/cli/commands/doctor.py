"""`snap doctor`: checks the whole set-up and says what to do next, in order."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.retention_options import chosen_retire_after
from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.check import LEVELS, STYLES
from pgsnap.cli.wiring.connect import (
    database_of_dsn,
    half_dropped_now,
    identifier_of,
    open_repository,
    server_of,
    unnamed_hint,
)
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remote_states import remotes_seen
from pgsnap.cli.wiring.stopping import ServicesAside, left_stopped, service_fields
from pgsnap.cli.wiring.warming.copies import missing_copies
from pgsnap.errors import CheckRed, SnapError, UsageError

if TYPE_CHECKING:
    from pgsnap.cli.config.settings import Settings
    from pgsnap.model import Finding

EXAMPLES = """
snap doctor
snap doctor --json
snap doctor --start-services
"""

# Indexed by `Verdict`.
_MARKS = ("ok", "ok", "!!", "RED")


def run(
    ctx: typer.Context,
    start_services: Annotated[
        bool,
        typer.Option(
            "--start-services", help="Start what a killed restore left stopped; nothing else."
        ),
    ] = False,
) -> None:
    """Look at the whole set-up and say what to do next, in order.

    Exit code 4 where something is red: then a backup or a restore would not work, or is missing.
    Nothing is changed, but with --start-services.
    """
    invocation = Invocation.of(ctx)
    if start_services:
        _start_services(invocation)
    else:
        _examine(invocation)


def _examine(invocation: Invocation) -> None:
    from pgsnap.model import Verdict

    steps = _steps(invocation)
    todo = [step for step in steps if step.help and step.verdict is not Verdict.PASSED]
    red = [step for step in steps if step.verdict is Verdict.FAILED]
    fields = {
        "healthy": not red,
        "steps": [
            {
                "name": s.check,
                "health": LEVELS[s.verdict],
                "text": named(s.reason),
                "next": named(s.help),
            }
            for s in steps
        ],
    }
    colour = invocation.console.terminal.colour
    shown = [
        (
            render.style(_MARKS[step.verdict], STYLES[step.verdict], colour),
            step.check,
            named(render.plain(step.reason)),
        )
        for step in steps
    ]
    lines = render.columns(shown)
    if todo:
        lines += ["", "Do next, in this order:"]
        # Red findings come first; a commit or a drill after everything that it needs.
        ordered = sorted(todo, key=lambda s: (s not in red, s.check in ("snapshot", "drill")))
        # Several databases may need the same step.
        ways = dict.fromkeys(named(render.plain(step.help)) for step in ordered)
        lines += [f"  {number}. {way}" for number, way in enumerate(ways, 1)]
    else:
        lines += ["", "Nothing to do."]
    invocation.console.emit(fields, lines)
    if red:
        raise typer.Exit(CheckRed.exit_code)


def _steps(invocation: Invocation) -> list[Finding]:
    from pgsnap.model import Finding, Verdict
    from pgsnap.schedulers.active import active_jobs
    from pgsnap.schedulers.daemons import runs_at_times, why_idle
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.watch import doctor
    from pgsnap.workflows.watch.doctor_remotes import look_at_remotes

    invocation.wait_briefly()
    settings = invocation.settings
    databases = _databases(invocation)
    dead = half_dropped_now(settings, every=bool(databases))
    stored = doctor.look_at_repository(
        settings.repository,
        lambda: open_repository(invocation, whole=True, warn_of_access=False),
        invocation.now,
        expected=databases or _named(settings),
        server=lambda: _identifier(settings),
        retire_after=chosen_retire_after(settings),
        half_dropped=dead,
    )
    # If both are missing, one command creates both.
    is_first = settings.config_path is None and stored[0].verdict is Verdict.FAILED
    steps = [_config_step(settings, is_first=is_first), *_service_steps(invocation), *stored]
    steps += missing_copies(invocation)
    remotes = remotes_seen(invocation, ask=True)
    steps += look_at_remotes(settings.repository, remotes, invocation.now)
    try:
        server = server_of(settings)
        steps += doctor.look_at_half_dropped(dead, server.endpoint.database)
        steps += doctor.look_at_server(
            server,
            unnamed_hint(settings),
            databases,
            dead,
            checkpoint=settings.checkpoint,
            direct=settings.source == "direct",
        )
    except SnapError as error:
        steps.append(Finding("server", Verdict.FAILED, error.message, error.hint))
    if settings.retention is None:
        text = "none in snap.toml, so gc keeps the last 7 and what has a tag"
        hint = "Say what to keep: [retention] in snap.toml"
        steps.append(Finding("retention", Verdict.WARNED, text, hint))
    else:
        steps.append(Finding("retention", Verdict.PASSED, "snap.toml says what to keep"))
    if settings.config_path is not None:
        installed = State(settings.config_path, invocation.trust).installed()
        active = partial(active_jobs, settings.config_path)
        steps.append(doctor.look_at_schedule(installed, active, why_idle, runs_at_times))
    return [*steps, _alerts_step(settings)]


def _named(settings: Settings) -> list[str]:
    """Return the label of the database named by the settings; none if they name none."""
    try:
        named = settings.database or database_of_dsn(settings)
    except SnapError:
        # The check of the server reports this.
        return []
    return [] if named is None else [named]


def _identifier(settings: Settings) -> str:
    """Return the system identifier of the server, "" if it cannot be reached."""
    try:
        return identifier_of(server_of(settings))
    except SnapError:
        return ""


def _databases(invocation: Invocation) -> list[str]:
    """Return the databases of the server if snap.toml has all of them committed; none if it does
    not, or if the server cannot be reached (its own check reports that)."""
    from pgsnap.workflows.watch.server_databases import committed_databases

    schedule = invocation.settings.schedule
    if schedule is None or not schedule.all_databases or invocation.given.database is not None:
        return []
    try:
        return committed_databases(server_of(invocation.settings))
    except SnapError:
        return []


def _alerts_step(settings: Settings) -> Finding:
    from pgsnap.model import Finding, Verdict

    text = "nobody gets a message when a scheduled run fails"
    hint = "Let somebody know when it fails: [alerts] in snap.toml"
    if settings.alerts is not None:
        try:
            alerts = settings.alerts.resolved()
        except UsageError as error:
            why = f"{error.message}: {error.detail}" if error.detail else error.message
            way = "Correct [alerts] in snap.toml"
            return Finding("alerts", Verdict.FAILED, why.rstrip("."), way)
        if alerts.ping_urls or alerts.webhook is not None or alerts.apprise:
            return Finding("alerts", Verdict.PASSED, "snap.toml says who gets messages")
        if alerts.metrics_file is not None:
            return Finding("alerts", Verdict.PASSED, f"a monitor reads {alerts.metrics_file}")
    return Finding("alerts", Verdict.WARNED, text, hint)


def _config_step(settings: Settings, *, is_first: bool) -> Finding:
    from pgsnap.model import Finding, Verdict

    path = settings.config_path
    if path is None:
        text = "there is no snap.toml here or in a folder above"
        # An existing repository must be named there: the default place may be another one.
        hint = f"Write one: echo 'repository = \"{settings.repository}\"' > snap.toml"
        return Finding("configuration", Verdict.WARNED, text, "" if is_first else hint)
    return Finding("configuration", Verdict.PASSED, str(path))


def _service_steps(invocation: Invocation) -> list[Finding]:
    from pgsnap.model import Finding, Verdict

    steps = []
    for found in left_stopped():
        text = f"an earlier run left them stopped: {found.reason}"
        steps.append(replace(found, reason=text, help=f"Start them: {found.help}"))
    try:
        names = ServicesAside(invocation, ()).names
    except SnapError as error:
        return [*steps, Finding("services", Verdict.FAILED, error.message, error.hint)]
    if not steps:
        text = f"stopped around a restore: {', '.join(names)}" if names else "none to stop"
        steps.append(Finding("services", Verdict.PASSED, text))
    return steps


def _start_services(invocation: Invocation) -> None:
    from pgsnap.services.state import START_COMMAND, state_folder
    from pgsnap.services.stopping import ServiceFailed, start_leftovers

    try:
        known = ServicesAside(invocation, ()).services
    except SnapError:
        # The record made when they were stopped is enough.
        known = ()
    done = start_leftovers(state_folder(os.environ), known)
    started = [one for _, results in done for one in results]
    fields = {"services": service_fields(started)}
    lines = [f"started {render.plain(one.name)}" for one in started if one.is_started]
    invocation.console.emit(fields, lines if started else ["no service was left stopped"])
    ill = [one for one in started if not one.is_well]
    if ill:
        raise ServiceFailed(
            f"these services do not run as before: {', '.join(one.name for one in ill)}",
            detail=" ".join(f"{one.name}: {one.detail}." for one in ill),
            hint=f"Mend that, or start them by hand, then once more: {START_COMMAND}",
        )
