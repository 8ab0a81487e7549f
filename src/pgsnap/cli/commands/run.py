"""`snap run`: a command with a snapshot before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pgsnap.cli.commands.options import AllowNewerClient, IKnow, NoSafetySnapshot, Stop
from pgsnap.cli.wiring.around.command import RunChoices, run_chosen
from pgsnap.cli.wiring.around.committing import CommitChoices
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.patterns import regex

EXAMPLES = """
snap run -- alembic upgrade head
snap run --tag pre-migration -- python manage.py migrate
snap run --restore-on-failure -- npx prisma migrate deploy
snap run -- sh -c 'psql -v ON_ERROR_STOP=1 -f one.sql && psql -v ON_ERROR_STOP=1 -f two.sql'
"""
# Behind the command's name everything is the command's own.
CONTEXT_SETTINGS: dict[str, Any] = {"allow_interspersed_args": False}

# Words of a command line that are shown in a message; those behind them may be secrets.
_PLAIN = regex(r"[\w./:@+-]*\w[\w./:@+-]*")
_WORDS_MAX = 5

Command = Annotated[
    list[str],
    typer.Argument(
        metavar="-- COMMAND [ARGUMENT]...", show_default=False, help="The command to run."
    ),
]
Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        "-m",
        metavar="TEXT",
        show_default="before COMMAND",
        help="What the snapshot is.",
    ),
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="NAME", help="Tag it (repeatable).")
]
Force = Annotated[bool, typer.Option("--force", help="Move tags that exist already.")]
Diff = Annotated[
    bool,
    typer.Option(
        "--diff",
        help="Show what the command changed also if it succeeds and standard error is no terminal.",
    ),
]
NoDiff = Annotated[bool, typer.Option("--no-diff", help="Do not show what the command changed.")]
RestoreOnFailure = Annotated[
    bool,
    typer.Option("--restore-on-failure", help="If it fails, restore the snapshot without asking."),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="With --restore-on-failure: also if others may have written since."
    ),
]


def run(
    ctx: typer.Context,
    command: Command,
    message: Message = None,
    tag: Tag = None,
    force: Force = False,
    diff: Diff = False,
    no_diff: NoDiff = False,
    restore_on_failure: RestoreOnFailure = False,
    yes: Yes = False,
    i_know: IKnow = False,
    stop: Stop = None,
    no_safety_snapshot: NoSafetySnapshot = False,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Commit, run a command such as a migration, and show what it changed.

    If it fails, a restore of the snapshot is offered. The exit code is the command's. Its standard
    streams are those of snap, which prints to standard error only.
    """
    from pgsnap.workflows.restore.target import RestoreOptions

    invocation = Invocation.of(ctx)
    if message is not None and not message.strip():
        raise UsageError("the message is empty", hint='Write it: snap run -m "why" -- COMMAND')
    if yes and not restore_on_failure:
        raise UsageError(
            "--yes needs --restore-on-failure",
            hint="Run: snap run --restore-on-failure --yes -- COMMAND",
        )
    if diff and no_diff:
        raise UsageError("--diff and --no-diff exclude each other")
    settings = invocation.settings
    # The audit log gets the command's name; its arguments may hold secrets.
    invocation.parameters["command"] = command[0]
    choices = RunChoices(
        argv=tuple(command),
        commit=CommitChoices(message or f"before {described(command)}", tuple(tag or ()), force),
        diff=diff or (False if no_diff else None),
        restore_on_failure=restore_on_failure,
        yes=yes,
        i_know=i_know,
        services=tuple(stop or ()),
        options=RestoreOptions(
            allow_newer_client=allow_newer_client or settings.allow_newer_client,
            with_safety=settings.safety_snapshot and not no_safety_snapshot,
            baseline=settings.source == "direct" and settings.checkpoint,
        ),
    )
    raise typer.Exit(run_chosen(invocation, choices))


def described(command: Sequence[str]) -> str:
    """Return the first words of a command line, up to the first that may be a secret."""
    words = [command[0]]
    for word in command[1:_WORDS_MAX]:
        if word.startswith("-") or "://" in word or not _PLAIN.fullmatch(word):
            break
        words.append(word)
    return " ".join(words)
