"""One run of the program: its options, its settings, and its console."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.settings import GlobalOptions, Settings, load_settings
from pgsnap.cli.console.console import Console
from pgsnap.cli.console.terminal import Terminal
from pgsnap.errors import NotARepository, RepositoryNotFound, UsageError
from pgsnap.files.trust import Trust
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    import click

    from pgsnap.repository.sealed.unlocking import Unlocked, Unlocking


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether --json stands among *arguments*, of which the options are not read."""
    operands = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:operands]


class Invocation:
    """What a command function gets: settings and console; made once for each run."""

    def __init__(self, terminal: Terminal) -> None:
        self.console = Console(terminal)
        self.given = GlobalOptions()
        self._settings: Settings | None = None
        # For the audit log: the command that runs, its options, the repository that it opened,
        # and the snapshots that its revisions meant.
        self.command: str | None = None
        # Whether --json stands anywhere on the command line.
        self.json_asked = False
        self.parameters: dict[str, Any] = {}
        self.opened: Address | None = None
        self.resolved: list[str] = []
        # What opens encrypted repositories, made when first wanted.
        self.unlocking: Unlocking | None = None
        # What other repositories were opened with, for their audit logs; None: not encrypted.
        self.unlocked: dict[str, Unlocked | None] = {}
        # How many bytes per second each store gets, whatever snap.toml says of it.
        self.bandwidth: float | None = None
        # Whether a secret may be asked for on the terminal.
        self.asks = True
        # Whether a command line is only looked at, for a shell that asks how it may go on.
        self.completes = False

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
        return replace(self.settings.trust, warn=self.console.warn)

    def wait_briefly(self) -> None:
        """Let ten seconds be the wait for the repository, unless the command line says another:
        a monitor does not wait as long as a commit would. Before the settings are read."""
        if self.given.lock_timeout is None:
            self.given.lock_timeout = "10s"

    def reload(self) -> None:
        """Read the settings again when they are next wanted: the environment changed."""
        self._settings = None
        self.unlocking = None

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def audited(self) -> Iterator[None]:
        """Let the run stand in the audit log, as one that opens the repository with
        `open_repository` does; but not where there is none."""
        path: Address | None = self.settings.repository
        try:
            yield
        except (RepositoryNotFound, NotARepository):
            path = self.opened
            raise
        finally:
            self.opened = path


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "the working folder is not there any more",
            detail="Its snap.toml would be looked for, and database/backups in it.",
            hint='Go to the folder that is meant: cd "$HOME"',
        ) from None
