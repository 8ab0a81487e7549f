"""One module for each command: settings, workflow, render, and nothing else."""

from __future__ import annotations

from typing import Any

import typer

from pgsnap.cli.commands import (
    audit,
    cat,
    check,
    commit,
    demo,
    diff,
    doctor,
    drill,
    export,
    forget,
    gc,
    import_,
    init,
    log,
    reindex,
    repair,
    restore,
    schedule,
    show,
    stats,
    tag,
    undo,
    unforget,
    verify,
)
from pgsnap.cli.commands import help as help_command

# In the order of a first day with snap, which is the order of `snap --help`.
_MODULES: tuple[tuple[str, Any], ...] = (
    ("init", init),
    ("commit", commit),
    ("log", log),
    ("show", show),
    ("diff", diff),
    ("tag", tag),
    ("cat", cat),
    ("restore", restore),
    ("undo", undo),
    ("drill", drill),
    ("export", export),
    ("import", import_),
    ("forget", forget),
    ("unforget", unforget),
    ("gc", gc),
    ("stats", stats),
    ("verify", verify),
    ("repair", repair),
    ("reindex", reindex),
    ("check", check),
    ("schedule", schedule),
    ("audit", audit),
    ("doctor", doctor),
    ("demo", demo),
    ("help", help_command),
)


def register(app: typer.Typer, cls: type[Any]) -> None:
    """Add every command to *app*; a module's docstring of `run` is its help, EXAMPLES its end."""
    for name, module in _MODULES:
        app.command(name, cls=cls, epilog=module.EXAMPLES)(module.run)
