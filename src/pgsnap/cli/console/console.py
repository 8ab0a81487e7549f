"""How commands speak with the user: results, news, warnings, questions, and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pgsnap import interrupts
from pgsnap.cli.console.terminal import Terminal
from pgsnap.cli.text import render
from pgsnap.cli.text.layout import fitted
from pgsnap.cli.text.program import named
from pgsnap.cli.text.redact import redact
from pgsnap.errors import Declined

if TYPE_CHECKING:
    from pgsnap.cli.console.progress import Display, Times
    from pgsnap.cli.console.steps import Steps


class Console:
    """A terminal, and how this run writes to it: --json, --quiet, --verbose, --no-progress."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.json = False
        self.quiet = False
        self.verbose = False
        self.has_bar = True
        self.has_pager = True
        self.notices: list[str] = []
        self.result: dict[str, Any] = {}
        """The fields of the command's result, for the audit log."""
        # Whether results are parts of another command's, see `as_part`.
        self.is_part = False
        # Where news go while a bar is on the terminal: above it.
        self.above_bar: Callable[[str], None] | None = None
        # Time that no phase of a workflow has counted yet, and what it is called.
        self._uncounted_since = time.monotonic()
        self._uncounted = "start"

    def emit(
        self,
        fields: Any,
        lines: list[str],
        *,
        has_notices: bool = True,
        verbatim: bool = False,
        paged: bool = False,
    ) -> None:
        """Write the result: *fields* with --json, as `render.as_json` converts them, and with the
        notices where they are an object and *has_notices*; else *lines*, fitted to the terminal
        unless *verbatim*, and through a pager if *paged*."""
        if isinstance(fields, dict):
            fields = self.result = {**fields, "notices": self.notices} if has_notices else fields
        if self.is_part:
            if not (self.json or self.quiet):
                self._note(lines)
        elif self.json:
            self.terminal.write(render.json_text(fields) + "\n")
        elif lines:
            shown = lines if verbatim else fitted(lines, self.terminal.columns)
            with self.paged() if paged else nullcontext():
                self.terminal.write("\n".join(shown) + "\n")

    def paged(self) -> AbstractContextManager[None]:
        """Return the block whose results go through a pager, where one is wanted."""
        return self.terminal.paged() if self.has_pager and not self.json else nullcontext()

    def _note(self, lines: Sequence[str]) -> None:
        for line in fitted(lines, self.terminal.stderr_columns, apart=True):
            (self.above_bar or self.terminal.note)(line)

    @contextmanager
    def as_part(self) -> Iterator[None]:
        """Let the result of the block be a part of another command's, which finds its fields in
        `result`; its lines are news, on standard error."""
        self.result, self.is_part = {}, True
        try:
            yield
        finally:
            self.is_part = False

    def tell(self, line: str) -> None:
        """Print a piece of news on standard error; with --json it is kept for the result's
        ``notices``; with --quiet it is dropped."""
        if self.json or not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Print a warning: as news, but with --quiet too."""
        line = named(render.plain(redact(line)))
        if self.json:
            self.notices.append(line)
        else:
            self._note([line])

    def propose(self, lines: list[str], warnings: Sequence[str] = ()) -> None:
        """Print what is about to be done, except with --json or --quiet. With --quiet the
        *warnings* among the lines are printed by themselves; with --json the result has them."""
        if self.json:
            return
        if self.quiet:
            lines = [f"warning: {render.plain(redact(warning))}" for warning in warnings]
        self._note(lines)

    def confirm(self, question: str, *, word: str | None = None) -> None:
        """Go on only if the user answers yes, or types *word*. Raises Declined, also where nobody
        can be asked."""
        again = "Run the same command with --yes."
        if self.json:
            raise Declined("with --json nobody is asked", hint=again)
        asked = time.monotonic()
        self.terminal.confirm(render.plain(question), hint=again, word=word)
        # The user's time is not ours.
        self._uncounted_since += time.monotonic() - asked

    def times(self) -> Times:
        """Return what counts the time of a workflow's phases, beginning with what came before."""
        from pgsnap.cli.console.progress import Times

        return Times(self._uncounted, time.monotonic() - self._uncounted_since)

    def tell_times(self, times: Times) -> None:
        """Print how long each phase took, with --verbose; with --json the result has figures."""
        self._uncounted, self._uncounted_since = "between", time.monotonic()
        if self.verbose and not self.json:
            for line in times.lines():
                self.tell(line)

    def fail(self, fields: dict[str, Any], text: str) -> None:
        """Print the error that the command ends with, as *text*; *fields* are those of --json."""
        self.terminal.note(text)

    def display(self, steps: Steps) -> Display:
        """Return what shows the progress of a workflow of these *steps*."""
        from pgsnap.cli.console.progress import display

        return display(self, steps)

    @contextmanager
    def progress(self, steps: Steps = ()) -> Iterator[Display]:
        """Show how far a workflow is, until the block ends; *steps* are its own, where they are
        known."""
        shown = self.display(steps)
        try:
            with interrupts.killed_too(shown.cut):
                yield shown
            shown.finish()
        finally:
            shown.close()
