"""One run of the program: its options, settings and terminal, and what commands make of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap import interrupts
from pgsnap.cli.config.settings import GlobalOptions, Settings, load_settings
from pgsnap.cli.console.terminal import Terminal
from pgsnap.cli.text import render
from pgsnap.cli.text.redact import redact
from pgsnap.errors import Declined, NotARepository, RepositoryNotFound, UsageError
from pgsnap.files.trust import Trust

if TYPE_CHECKING:
    import click

    from pgsnap.cli.console.progress import Display


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether --json stands among *arguments*, of which the options are not read."""
    operands = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:operands]


class Invocation:
    """What a command function gets: settings and terminal; made once for each run."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.given = GlobalOptions()
        self.notices: list[str] = []
        self._settings: Settings | None = None
        # Where news go while a bar is on the terminal: above it.
        self.above_bar: Callable[[str], None] | None = None
        # For the audit log: the command that runs, its options, the repository that it opened,
        # the snapshots that its revisions meant, and its result.
        self.command: str | None = None
        self.parameters: dict[str, Any] = {}
        self.opened: Path | None = None
        self.resolved: list[str] = []
        self.result: dict[str, Any] = {}

    @classmethod
    def of(cls, ctx: click.Context) -> Invocation:
        """Return the invocation that *ctx* belongs to."""
        found = ctx.find_object(cls)
        assert found is not None, "the application was started without an Invocation"
        return found

    @property
    def settings(self) -> Settings:
        """The merged settings, read when they are first wanted. Raises UsageError."""
        if self._settings is None:
            self._settings = load_settings(self.given, os.environ, _working_folder())
        return self._settings

    @property
    def trust(self) -> Trust:
        """Whose files and which links the settings trust; of others the user is warned."""
        return replace(self.settings.trust, warn=self.warn)

    def wait_briefly(self) -> None:
        """Let ten seconds be the wait for the repository, unless the command line says another:
        a monitor does not wait as long as a commit would. Before the settings are read."""
        if self.given.lock_timeout is None:
            self.given.lock_timeout = "10s"

    def reload(self) -> None:
        """Read the settings again when they are next wanted: the environment changed."""
        self._settings = None

    @property
    def json(self) -> bool:
        return self.given.json

    @property
    def quiet(self) -> bool:
        return self.given.verbosity < 0

    @property
    def verbose(self) -> bool:
        return self.given.verbosity > 0

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def emit(self, fields: Any, lines: list[str], *, has_notices: bool = True) -> None:
        """Write the result: *fields* with --json, as `render.as_json` converts them, and with the
        notices where they are an object and *has_notices*; else *lines*."""
        if isinstance(fields, dict):
            fields = self.result = {**fields, "notices": self.notices} if has_notices else fields
        if self.json:
            self.terminal.write(render.json_text(fields) + "\n")
        elif lines:
            self.terminal.write("\n".join(lines) + "\n")

    def tell(self, line: str) -> None:
        """Tell a piece of news: on standard error; with --json it is kept for the result's
        ``notices``; with --quiet it is dropped."""
        line = render.plain(redact(line))
        if self.json:
            self.notices.append(line)
        elif not self.quiet:
            self._note(line)

    def warn(self, line: str) -> None:
        """Tell a warning: as news, but with --quiet too."""
        line = render.plain(redact(line))
        if self.json:
            self.notices.append(line)
        else:
            self._note(line)

    def _note(self, line: str) -> None:
        (self.above_bar or self.terminal.note)(line)

    def propose(self, lines: list[str], warnings: Sequence[str] = ()) -> None:
        """Show what is about to be done, unless --json or --quiet wants no such words; then the
        *warnings* among them are told by themselves, with --json by the command's result."""
        if self.json:
            return
        if self.quiet:
            lines = [f"warning: {render.plain(redact(warning))}" for warning in warnings]
        for line in lines:
            self.terminal.note(line)

    def confirm(self, question: str, *, word: str | None = None) -> None:
        """Go on only if the user says yes, or types *word*. Raises Declined, also where nobody can
        be asked."""
        again = "Run the same command with --yes."
        if self.json:
            raise Declined("with --json nobody is asked", hint=again)
        self.terminal.confirm(render.plain(question), hint=again, word=word)

    @contextmanager
    def audited(self) -> Iterator[None]:
        """Let the run stand in the audit log, as one that opens the repository with
        `open_repository` does; but not where there is none."""
        path: Path | None = self.settings.repository
        try:
            yield
        except (RepositoryNotFound, NotARepository):
            path = self.opened
            raise
        finally:
            self.opened = path

    @contextmanager
    def progress(self) -> Iterator[Display]:
        """Show how far a workflow is, until the block ends."""
        from pgsnap.cli.console.progress import display

        shown = display(self)
        try:
            with interrupts.killed_too(shown.cut):
                yield shown
            shown.finish()
        finally:
            shown.close()


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "the working folder is not there any more",
            detail="Its snap.toml would be looked for, and database/backups in it.",
            hint='Go to the folder that is meant: cd "$HOME"',
        ) from None
