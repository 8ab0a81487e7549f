"""Services around a swap: those of snap.toml and --stop, and those left stopped earlier."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.services import ServicesTable
from pgsnap.cli.console.console import Console
from pgsnap.cli.text.render import fields_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import TargetRefused

if TYPE_CHECKING:
    from pgsnap.model import Finding
    from pgsnap.services.running import Started


class ServicesAside:
    """The services of one run: `aside` is the block in which they are stopped."""

    def __init__(self, invocation: Invocation, also: tuple[str, ...]) -> None:
        """Raises UsageError for a service that no program here can stop."""
        from pgsnap.services.stopping import Outcome

        settings = invocation.settings
        table = settings.services or ServicesTable(settings.folder)
        compose_file = settings.place.file if settings.place is not None else None
        self._invocation = invocation
        self.services = table.resolved(also, compose_file)
        self.outcome = Outcome()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(service.name for service in self.services)

    def aside(self) -> AbstractContextManager[None]:
        """Return the block. Entering it raises ServiceFailed."""
        from pgsnap.services.state import state_folder
        from pgsnap.services.stopping import stopped

        folder = state_folder(os.environ)
        return stopped(self.services, folder, self.outcome, self._invocation.console.tell)

    def fields(self) -> list[dict[str, Any]]:
        """Return their --json fields."""
        return service_fields(self.outcome.started)


def service_fields(started: Iterable[Started]) -> list[dict[str, Any]]:
    """Return the --json fields of services that were to be started."""
    return [fields_of(one, is_started="started", is_healthy="healthy") for one in started]


def left_stopped() -> list[Finding]:
    """Return the services that a run killed together with its supervisor may have left stopped:
    their names, and the command that starts them."""
    from pgsnap.model import Finding, Verdict
    from pgsnap.services.state import START_COMMAND, find_stopped, state_folder

    return [
        Finding("services", Verdict.FAILED, ", ".join(found.names), START_COMMAND)
        for found in find_stopped(state_folder(os.environ))
        if not found.is_watched
    ]


def warn_of_stopped(console: Console) -> None:
    """Warn of services that were left stopped, with the command that starts them."""
    for found in left_stopped():
        console.warn(
            f"warning: services were left stopped by an earlier run: {found.reason}; "
            f"start them: {found.help}"
        )


def check_protected(invocation: Invocation, database: str, *, i_know: bool) -> None:
    """Raise TargetRefused if snap.toml protects the database and --i-know is missing."""
    if not invocation.settings.protected or i_know:
        return
    raise TargetRefused(
        f"the database {database} is protected",
        detail=f'"protected = true" stands in {invocation.settings.config_path}.',
        hint="If you mean it, run the same command with --i-know.",
    )
