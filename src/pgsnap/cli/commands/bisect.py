"""`snap bisect`: the first snapshot in which an answer changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import Install, OnlyTables
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.runners.foreground import CommandNotFound

if TYPE_CHECKING:
    from pgsnap.cli.wiring.looking import search

EXAMPLES = """
snap bisect --sql 'select * from shop.products where price < 0'
snap bisect --table shop.orders -- ./test-the-orders
snap bisect start latest pre-migration
snap bisect good
snap bisect run -- ./test-it
snap bisect reset
"""
UNDECIDED = 3

_ACTIONS = ("start", "good", "bad", "skip", "run", "log", "reset")
# Of these the words that follow are snapshots.
_WITH_REVISIONS = ("start", "good", "bad", "skip")

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[start|good|bad|skip|run|log|reset]",
        show_default=False,
        help="A step of a search, then its snapshots; or -- and a command that finds out.",
    ),
]
Sql = Annotated[
    str | None,
    typer.Option(
        "--sql", metavar="QUERY", show_default=False, help="Ask by a query: did its answer change?"
    ),
]
Good = Annotated[
    str | None,
    typer.Option(
        "--good",
        metavar="SNAPSHOT",
        show_default=False,
        help="Known as good. [default: the oldest]",
    ),
]
Bad = Annotated[
    str | None,
    typer.Option(
        "--bad", metavar="SNAPSHOT", show_default=False, help="Known as bad. [default: the newest]"
    ),
]


def run(
    ctx: typer.Context,
    words: Words = None,
    sql: Sql = None,
    good: Good = None,
    bad: Bad = None,
    table: OnlyTables = None,
    install: Install = False,
) -> None:
    """Find the first snapshot in which an answer changed.

    Snapshots are asked in a throw-away PostgreSQL, by a query or a command, by halves as git bisect
    does. A command gets DATABASE_URL and PG*; its exit code says good (0), bad, skip (125), or stop
    (128 and more). Exit code 3 where skipped ones leave it undecided.
    """
    from pgsnap.cli.wiring.looking import search
    from pgsnap.workflows.throw_away.bisection import Mark

    invocation = Invocation.of(ctx)
    action, rest = _split(tuple(words or ()))
    # The audit log gets the command's name; its arguments may hold secrets.
    invocation.parameters.update(words=[action or (rest or ("--sql",))[0]])
    how = search.How(sql, rest, tuple(table or ()), install)
    if action in ("", "run"):
        _check_question(how.sql, rest, action)
    elif sql is not None or table:
        raise UsageError(f"snap bisect {action} asks nothing", hint="Leave --sql and --table out.")
    if action and (good or bad):
        raise UsageError(
            "--good and --bad are for a search all at once",
            hint="Mark them: snap bisect good REV, and snap bisect bad REV",
        )
    if action in ("log", "reset") and rest:
        raise UsageError(f"snap bisect {action} takes no other argument")
    if action == "":
        is_found = _at_once(invocation, how, good, bad)
    elif action == "run":
        is_found = search.run(invocation, how)
    elif action == "start":
        is_found = search.start(invocation, rest)
    elif action in _WITH_REVISIONS:
        mark = Mark.SKIPPED if action == "skip" else Mark(action)
        is_found = search.mark(invocation, mark, rest)
    elif action == "log":
        is_found = search.show_log(invocation)
    else:
        is_found = search.reset(invocation)
    raise typer.Exit(0 if is_found else UNDECIDED)


def _at_once(invocation: Invocation, how: search.How, good: str | None, bad: str | None) -> bool:
    from pgsnap.cli.wiring.looking.search import search_at_once

    try:
        return search_at_once(invocation, how, good, bad)
    except CommandNotFound as error:
        # A mistyped action is taken for a command.
        error.hint = error.hint or action_hint(how.argv[0], _ACTIONS)
        raise


def _split(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the action, "" if there is none, and the words behind it."""
    return (words[0], words[1:]) if words and words[0] in _ACTIONS else ("", words)


def _check_question(sql: str | None, argv: tuple[str, ...], action: str) -> None:
    if sql is not None and argv:
        raise UsageError("--sql asks by a query, and here is a command too", hint="Leave one out.")
    if sql is None and not argv:
        verb = f"snap bisect {action}".strip()
        raise UsageError(
            "what is to be asked?",
            hint=f"A query: {verb} --sql QUERY; a command: {verb} -- COMMAND",
        )
