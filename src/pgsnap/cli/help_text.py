"""What `--help` prints: sections in plain text, examples verbatim, the options of every command by
their name only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from pgsnap.cli.commands import GROUPS, NAMES
from pgsnap.cli.text.program import named

GLOBAL_PANEL = "Global options"


def format_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write what the command takes, without the options of every command."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and not is_global(param):
            is_argument = param.param_type_name == "argument"
            sections["Arguments" if is_argument else "Options"].append(record)
    if isinstance(command, click.Group):
        _format_commands(formatter)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _format_commands(formatter: click.HelpFormatter) -> None:
    """Write the commands under the titles of their groups, their texts below each other."""
    width = max(map(len, NAMES))
    for title, summaries in GROUPS.items():
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), text) for name, text in summaries.items()])


def format_end(epilog: str | None, formatter: click.HelpFormatter) -> None:
    """Write the examples, verbatim: click would wrap them."""
    if epilog:
        with formatter.section("Examples"):
            for line in named(epilog).strip().splitlines():
                formatter.write(f"  {line.strip()}\n" if line.strip() else "\n")
    with formatter.section("Options of every command"):
        formatter.write(named("  snap help options\n"))


def is_global(param: click.Parameter) -> bool:
    """Return whether every command has this option."""
    return getattr(param, "rich_help_panel", None) == GLOBAL_PANEL


def global_options_text(ctx: click.Context) -> str:
    """Return the options of every command, as `--help` prints those of one."""
    formatter = ctx.make_formatter()
    records = [param.get_help_record(ctx) for param in ctx.command.params if is_global(param)]
    with formatter.section(GLOBAL_PANEL):
        formatter.write_dl([record for record in records if record is not None])
    formatter.write_paragraph()
    formatter.write_text("They work before and after the command.")
    return formatter.getvalue().rstrip("\n")


class Formatter(click.HelpFormatter):
    """Writes help under the name of the program."""

    def write_text(self, text: str) -> None:
        super().write_text(named(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **options: Any) -> None:
        super().write_dl([(name, named(text)) for name, text in rows], *args, **options)
