"""The answer to a shell that asks how a command line may go on."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pgsnap.cli.completion import OLD_VARIABLES, VARIABLE, Candidate

if TYPE_CHECKING:
    import click

# A person waits: for a server or a store so long at most.
_SERVER_SECONDS = 0.8
_PAUSE_SECONDS = 0.02
# The shell itself knows these.
_SHELLS_OWN = ("files", "folders")
_HELP_CHARS = 60
# This shell shows no descriptions.
_TERSE = "bash"


def answer(arguments: Sequence[str]) -> None:
    """Write the answer for a command line that goes on at the end of the last of *arguments*, and
    end the process: a line with `values`, `files` or `folders`, then each value on a line, followed
    by a tab and its description.

    Nothing is asked of anybody, no error is printed, and what takes too long is left out.
    """
    words = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    is_old = any(os.environ.get(name) for name in OLD_VARIABLES)
    if is_old:
        words = _old_words()
    shell = os.environ.pop(VARIABLE, _TERSE)
    search = _Search(words, is_terse=shell == _TERSE)
    search.run()
    found = list(search.found.items())
    lines = [value for value, _ in found]
    if not is_old:
        lines = [search.kind, *(f"{value}\t{about}".rstrip("\t") for value, about in found)]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    # The search may still wait for a server.
    os._exit(0)


def _old_words() -> list[str]:
    """Return the words for a script of version 0.1, as far as it was for bash."""
    words = os.environ.get("COMP_WORDS", "").split()[1:]
    place = os.environ.get("COMP_CWORD", "")
    return [*words, ""] if place.isdigit() and int(place) > len(words) else words


class _Search:
    """The search for what may stand at the end of *words*, in a thread of its own."""

    def __init__(self, words: Sequence[str], *, is_terse: bool) -> None:
        self._words = [_unquoted(word) for word in words] or [""]
        self._is_terse = is_terse
        self._waits_since: float | None = None
        self.kind = "values"
        self.found: dict[str, str] = {}
        """Descriptions by value, as they are found."""

    def run(self) -> None:
        """Search until all is found, or a server does not answer."""
        thread = threading.Thread(target=self._search, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_PAUSE_SECONDS)
            since = self._waits_since
            if since is not None and time.monotonic() - since > _SERVER_SECONDS:
                break

    def _search(self) -> None:
        try:
            # Nothing that is imported or called may write on the terminal, or read from it.
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 2)
            for one, beginning in self._candidates(self._words[:-1], self._words[-1]):
                if one.value.startswith(beginning) and one.value.isprintable():
                    about = " ".join(one.about.split())
                    self.found.setdefault(one.value, about[:_HELP_CHARS])
        except BaseException:  # noqa: BLE001 - a shell cannot do anything with an error
            pass

    def _candidates(self, before: list[str], last: str) -> Iterator[tuple[Candidate, str]]:
        """Yield what may stand there, and what of it is typed already."""
        import click
        from click.shell_completion import _resolve_context, _resolve_incomplete

        from pgsnap.cli.app import command
        from pgsnap.cli.completion import values
        from pgsnap.cli.console.terminal import Terminal
        from pgsnap.cli.wiring.invocation import Invocation

        invocation = Invocation(Terminal.of_process())
        invocation.asks, invocation.completes = False, True
        # An option without its value would end the parsing.
        whole = before[:-1] if before and before[-1].startswith("-") else list(before)
        ctx = _resolve_context(command(), {"obj": invocation}, "snap", whole)
        what, beginning = _resolve_incomplete(ctx, list(before), last)
        if isinstance(what, click.Group) and [*ctx._protected_args, *ctx.args]:
            # After a word that is no command.
            return
        if not isinstance(what, click.Parameter):
            for one in self._names(what, ctx, beginning):
                yield one, beginning
            return
        kind = values.kind_of(what, ctx)
        if kind in _SHELLS_OWN:
            self.kind = kind
            return
        for one in values.offered(what, ctx, beginning, self._wait):
            yield one, beginning

    def _wait(self) -> None:
        """Called before something is asked that may not answer."""
        self._waits_since = time.monotonic()

    def _names(
        self, what: click.Command, ctx: click.Context, beginning: str
    ) -> Iterator[Candidate]:
        """Yield the names of commands, or options."""
        from pgsnap.cli import commands
        from pgsnap.cli.text.program import named

        if self._is_terse and ctx.parent is None and not beginning.startswith("-"):
            # Their descriptions are in as many modules.
            yield from map(Candidate, commands.NAMES)
            return
        for item in what.shell_complete(ctx, beginning):
            yield Candidate(str(item.value), named(item.help or ""))


def _unquoted(word: str) -> str:
    """Return a word of a shell without its quotes; it may have no closing one yet."""
    for whole in (word, f"{word}'", f'{word}"'):
        lexer = shlex.shlex(whole, posix=True, punctuation_chars=False)
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = "", "", True
        try:
            return "".join(lexer)
        except ValueError:
            continue
    return word
