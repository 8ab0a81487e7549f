"""Hooks around a command: before it, where they may veto it, and after it, with its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgsnap.cli.console.console import Console
from pgsnap.cli.text.render import as_json
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError


@contextmanager
def hooks(invocation: Invocation, command: str, **facts: Any) -> Iterator[None]:
    """Run the hooks of snap.toml around the block, with *facts* as their input.

    Raises HookFailed if the one before it fails; then the block does not run. A failed hook after
    it is only a warning: the command is done.
    """
    settings = invocation.settings
    lines = settings.hooks or {}
    before, after = (lines.get(f"{when}_{command}") for when in ("before", "after"))
    folder = str(settings.folder)
    told = {"command": command, "repository": str(settings.repository), **facts}
    if before is not None:
        from pgsnap.services.hooks import run_hook

        run_hook(f"before_{command}", before, folder, told)
    try:
        yield
    except BaseException as error:
        words = {"kind": getattr(error, "kind", "interrupted"), "message": str(error)}
        _after(invocation.console, command, after, folder, {**told, "ok": False, "error": words})
        raise
    if after is not None:
        result = as_json(invocation.console.result)
        _after(invocation.console, command, after, folder, {**told, "ok": True, "result": result})


def _after(
    console: Console, command: str, line: str | None, folder: str, facts: dict[str, Any]
) -> None:
    if line is None:
        return
    from pgsnap.services.hooks import run_hook

    try:
        run_hook(f"after_{command}", line, folder, facts)
    except SnapError as error:
        # The result was written already, even with --json: too late to add a notice.
        console.terminal.note(f"warning: {error.message}: {error.detail}".rstrip(": "))
