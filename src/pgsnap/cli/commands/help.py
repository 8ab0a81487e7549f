"""`snap help`: the commands, one command, the exit codes, or the options of every command."""

from __future__ import annotations

from typing import Annotated

import click
import typer

from pgsnap.cli.help_text import global_options_text
from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import meant
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import EXIT_CODES, UsageError
from pgsnap.words import did_you_mean

EXIT_CODES_TOPIC = "exit-codes"
OPTIONS_TOPIC = "options"

EXAMPLES = """
snap help commit
snap help exit-codes
snap help options
"""


def run(
    ctx: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(metavar="[COMMAND|exit-codes|options]", show_default=False)
    ] = None,
) -> None:
    """Show the help of a command, what the exit codes mean, or the options of every command."""
    invocation = Invocation.of(ctx)
    if topic == EXIT_CODES_TOPIC:
        fields = [{"exit_code": code, "meaning": meaning} for code, meaning in EXIT_CODES]
        rows = [(str(code), meaning) for code, meaning in EXIT_CODES]
        invocation.console.emit(fields, render.columns(rows, right=frozenset({0})))
        return
    text = (
        global_options_text(ctx.find_root()) if topic == OPTIONS_TOPIC else _help_text(ctx, topic)
    )
    invocation.console.emit(
        {"command": topic, "help": text}, [text], has_notices=False, verbatim=True
    )


def _help_text(ctx: click.Context, topic: str | None) -> str:
    root = ctx.find_root()
    if topic is None:
        return root.get_help()
    group = root.command
    command = group.get_command(root, topic) if isinstance(group, click.Group) else None
    if command is None:
        # A topic may be a misspelt one, or another tool's word for a command.
        guess = did_you_mean(topic, [EXIT_CODES_TOPIC, OPTIONS_TOPIC]) or meant(topic)
        raise UsageError(
            f'no help for "{topic}"', hint=guess or "Run `snap help` for the list of commands."
        )
    return command.get_help(command.context_class(command, info_name=topic, parent=root))
