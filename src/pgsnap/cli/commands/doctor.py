"""`snap doctor`: looks at the whole set-up and says what to do next, in order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli import render
from pgsnap.cli.invocation import Invocation
from pgsnap.cli.stopping import left_stopped
from pgsnap.cli.world import open_repository, server_of
from pgsnap.errors import CheckRed, SnapError

if TYPE_CHECKING:
    from pgsnap.workflows.doctor import Step

EXAMPLES = """
snap doctor
snap doctor --json
snap doctor --start-services
"""


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
    from pgsnap.workflows.doctor import Health

    steps = _steps(invocation)
    todo = [step for step in steps if step.next and step.health is not Health.OK]
    red = [step for step in steps if step.health is Health.RED]
    fields = {
        "healthy": not red,
        "steps": [
            {"name": s.name, "health": str(s.health), "text": s.text, "next": s.next} for s in steps
        ],
        "notices": invocation.notices,
    }
    marks = {Health.OK: "ok", Health.WARNING: "!!", Health.RED: "RED", Health.SKIPPED: "--"}
    shown = [(marks[step.health], step.name, render.plain(step.text)) for step in steps]
    lines = render.columns(shown)
    if todo:
        lines += ["", "Do next, in this order:"]
        # What is red comes first, each as it was looked at.
        ordered = [*(s for s in todo if s in red), *(s for s in todo if s not in red)]
        lines += [f"  {n}. {render.plain(s.next)}" for n, s in enumerate(ordered, 1)]
    else:
        lines += ["", "Nothing to do."]
    invocation.emit(fields, lines)
    if red:
        raise typer.Exit(CheckRed.exit_code)


def _steps(invocation: Invocation) -> list[Step]:
    from pgsnap.schedulers.state import State
    from pgsnap.workflows import doctor

    settings = invocation.settings
    steps = [_config_step(invocation), *_service_steps(invocation)]
    steps += doctor.look_at_repository(
        settings.repository,
        lambda: open_repository(invocation, warn_of_access=False),
        invocation.now,
    )
    try:
        steps += doctor.look_at_server(server_of(settings))
    except SnapError as error:
        steps.append(doctor.Step("server", doctor.Health.RED, error.message, error.hint))
    if settings.retention is None:
        text = "none in snap.toml, so gc keeps the last 7 and what has a tag"
        hint = "Say what to keep: [retention] in snap.toml"
        steps.append(doctor.Step("retention", doctor.Health.WARNING, text, hint))
    else:
        steps.append(doctor.Step("retention", doctor.Health.OK, "snap.toml says what to keep"))
    if settings.config_path is not None:
        steps.append(doctor.look_at_schedule(State(settings.config_path).installed()))
    if settings.alerts is None:
        hint = "Let somebody know when it fails: [alerts] in snap.toml"
        text = "nobody is told when a scheduled run fails"
        steps.append(doctor.Step("alerts", doctor.Health.WARNING, text, hint))
    else:
        steps.append(doctor.Step("alerts", doctor.Health.OK, "snap.toml says whom to tell"))
    return steps


def _config_step(invocation: Invocation) -> Step:
    from pgsnap.workflows.doctor import Health, Step

    path = invocation.settings.config_path
    if path is None:
        text = "there is no snap.toml here or in a folder above"
        return Step("configuration", Health.WARNING, text, "Let it be written: snap init")
    return Step("configuration", Health.OK, str(path))


def _service_steps(invocation: Invocation) -> list[Step]:
    from pgsnap.cli.stopping import ServicesAside
    from pgsnap.services.state import START_COMMAND
    from pgsnap.workflows.doctor import Health, Step

    steps = [
        Step(
            "services",
            Health.RED,
            f"a run that was killed left them stopped: {', '.join(found.names)}",
            f"Start them: {START_COMMAND}",
        )
        for found in left_stopped()
    ]
    try:
        names = ServicesAside(invocation, ()).names
    except SnapError as error:
        return [*steps, Step("services", Health.RED, error.message, error.hint)]
    if not steps:
        text = f"stopped around a restore: {', '.join(names)}" if names else "none to stop"
        steps.append(Step("services", Health.OK, text))
    return steps


def _start_services(invocation: Invocation) -> None:
    from pgsnap.services.state import state_folder
    from pgsnap.services.stopping import ServiceFailed, start_leftovers

    done = start_leftovers(state_folder(os.environ))
    started = [one for _, results in done for one in results]
    fields = {
        "services": [
            {
                "name": one.name,
                "started": one.is_started,
                "healthy": one.is_healthy,
                "seconds": round(one.seconds, 3),
                "detail": one.detail,
            }
            for one in started
        ],
        "notices": invocation.notices,
    }
    lines = [f"started {render.plain(one.name)}" for one in started if one.is_started]
    invocation.emit(fields, lines or ["no service was left stopped"])
    ill = [one for one in started if not one.is_well]
    if ill:
        raise ServiceFailed(
            f"these services do not run as before: {', '.join(one.name for one in ill)}",
            detail=" ".join(f"{one.name}: {one.detail}." for one in ill),
        )
