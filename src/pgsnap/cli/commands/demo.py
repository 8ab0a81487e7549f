"""`snap demo`: the tour, on a throw-away PostgreSQL."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Annotated

import typer

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.text.short_name import STARTED_AS, short_name
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cluster.heartbeat import Heartbeat

EXAMPLES = """
snap demo
snap demo --install
snap demo --offsite
"""


def run(
    ctx: typer.Context,
    install: Annotated[
        bool,
        typer.Option("--install", help="Get PostgreSQL first, if there is none on this machine."),
    ] = False,
    scale: Annotated[
        float,
        typer.Option(
            "--scale", metavar="N", min=0.01, max=100.0, help="Size of the sample; 1 is 100 MB."
        ),
    ] = 0.2,
    offsite: Annotated[
        bool,
        typer.Option(
            "--offsite",
            help="Another tour: lose everything but an encrypted repository on an S3 server.",
        ),
    ] = False,
) -> None:
    """Take the tour: commit, break, restore, undo on a throw-away server.

    It makes a private server and a sample database in a temporary folder, and removes them at the
    end. Nothing of yours is touched.
    """
    from pgsnap.cluster import binaries, installing
    from pgsnap.demo import offsite as offsite_tour
    from pgsnap.demo import tour

    invocation = Invocation.of(ctx)
    console = invocation.console
    silent = console.json or console.quiet

    def say(line: str) -> None:
        if not silent:
            console.terminal.write(named(line) + "\n")
            # So that it precedes the output of the next command.
            console.terminal.flush()
            life.heard()

    # The commands that it runs are shown as if they had been typed.
    os.environ[STARTED_AS] = short_name()
    show = offsite_tour.run if offsite else tour.run
    with Heartbeat(lambda line: None if silent else console.terminal.note(line)) as life:
        # On a terminal the commands show bars of their own.
        pause = life.paused if console.terminal.stderr_is_terminal else nullcontext
        found = installing.ensure(say=console.tell) if install else binaries.find()
        report = show(found, say=say, scale=scale, show_output=not silent, pause=pause)
    names = {"digest_before": "sha256_before", "digest_after": "sha256_after"}
    console.emit(render.fields_of(report, **names), [])
