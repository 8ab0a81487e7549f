"""`snap ui`: the repository as a page in the browser."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pgsnap import extras
from pgsnap.cli.config.keys import absolute_path
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError, UsageError

EXAMPLES = """
snap ui
snap ui --read-only
snap ui --port 8042 --no-browser
snap ui --socket "$XDG_RUNTIME_DIR/snap.sock"
"""

_PACKAGES = ("jinja2", "starlette", "uvicorn")


def run(
    ctx: typer.Context,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Show everything, and let nothing be done.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", min=0, max=65535, show_default=False, help="Listen at this port."
        ),
    ] = 0,
    socket: Annotated[
        str | None,
        typer.Option(
            "--socket",
            metavar="PATH",
            show_default=False,
            help="Listen at a socket instead, which only you can connect to.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Open no browser: print the address.")
    ] = False,
) -> None:
    """Show the repository as a page, on this machine alone, until Ctrl-C.

    Databases, snapshots, tables and rows, schedules and remotes; commit, restore, undo and more,
    as on the terminal. The address is good once, for one browser.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            "the page needs packages that are not installed",
            detail=f"Missing: {', '.join(missing)}.",
            hint=extras.hint("ui"),
        )
    if socket is not None and port:
        raise UsageError("--port and --socket are two places to listen at", hint="Name one.")
    invocation = Invocation.of(ctx)
    # Asks for what it is locked with, and warns of what is wrong with it, once.
    with open_repository(invocation):
        pass
    path = absolute_path(socket, Path.cwd(), "--socket") if socket is not None else None
    _serve(invocation, port, path, acts=not read_only, browser=not no_browser)


def _serve(
    invocation: Invocation, port: int, path: Path | None, *, acts: bool, browser: bool
) -> None:
    from pgsnap.cli.wiring.page.jobs import run_jobs
    from pgsnap.cli.wiring.page.opening import file_for, open_browser
    from pgsnap.cli.wiring.page.service import service_of
    from pgsnap.web.actions.jobs import Jobs
    from pgsnap.web.app import App
    from pgsnap.web.serving import Server, at_port, at_socket
    from pgsnap.web.sessions import Sessions

    console = invocation.console
    sessions, jobs = Sessions(), Jobs()
    service = service_of(invocation)
    with ExitStack() as stack:
        listening = stack.enter_context(at_port(port) if path is None else at_socket(path))
        app = App(service, sessions, listening.bound, jobs if acts else None)
        server = stack.enter_context(Server(app.asgi(), listening))
        where = "http://localhost:PORT" if path is not None else listening.bound.origin
        url = f"{where}/#token={sessions.token}"
        is_shown = False
        if browser and path is None:
            file = stack.enter_context(file_for(url, os.environ))
            is_shown = file is not None and open_browser(file, os.environ)
        lines = [f"serving {service.repository} at {path or where}; end it with Ctrl-C"]
        if path is not None:
            lines.append("forward a port of yours to that socket: ssh -L PORT:SOCKET HOST")
        if not is_shown:
            lines.append(f"open, once: {url}")
        try:
            console.emit({"url": url, "socket": path, "read_only": not acts}, lines)
            console.terminal.flush()
            # What is found now need not be found for the first page.
            with suppress(SnapError), service.open():
                pass
            run_jobs(invocation, jobs, server.is_serving)
        except KeyboardInterrupt:
            # However soon after the address was shown: this is how a page is ended.
            console.tell("ended")
