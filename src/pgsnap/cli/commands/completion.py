"""`snap completion`: lets a shell complete what is typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pgsnap.cli.text.program import named
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError, UsageError
from pgsnap.words import did_you_mean

EXAMPLES = """
snap completion bash --install
snap completion zsh --install
snap completion fish --install
"""


def run(
    ctx: typer.Context,
    shell: Annotated[
        str | None,
        typer.Argument(
            metavar="[bash|zsh|fish]", show_default=False, help="By default that of $SHELL."
        ),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Install the script for this user.")
    ] = False,
) -> None:
    """Print the script that completes commands in a shell, or install it.

    Offered are commands, options, and what is there: tags, ids, labels, tables, remotes and others.
    A server is waited for less than a second, and nobody is asked for a passphrase.
    """
    from pgsnap.cli.completion import scripts

    console = Invocation.of(ctx).console
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in scripts.SHELLS:
        known = ", ".join(scripts.SHELLS)
        raise UsageError(
            f'there is no completion for the shell "{chosen}"' if chosen else "which shell?",
            hint=did_you_mean(chosen, scripts.SHELLS, f"Name one of {known}."),
        )
    fields: dict[str, Any] = {
        "shell": chosen,
        "names": scripts.names(),
        "files": [],
        "changed": None,
    }
    if not install:
        text = scripts.script(chosen)
        console.emit({**fields, "script": text}, [text.rstrip("\n")], verbatim=True)
        return
    try:
        done = scripts.install(chosen)
    except OSError as error:
        raise SnapError(
            f'cannot write "{error.filename}"',
            detail=f"{error.strerror}.",
            hint=f"Print the script, and put it where {chosen} finds it: snap completion {chosen}",
        ) from error
    fields |= {"files": done.files, "changed": done.changed, "script": scripts.script(chosen)}
    lines = [f"wrote {path}" for path in done.files]
    if done.changed is not None:
        lines.append(f"added a line to {done.changed} that reads it")
    if not console.quiet:
        lines.append(named(f"next: start {chosen} again, and type snap TAB TAB"))
    console.emit(fields, lines)
