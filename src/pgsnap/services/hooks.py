"""Hooks: the user's own commands before and after a command of snap, with JSON on their input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pgsnap.errors import SnapError
from pgsnap.services.commands import shell
from pgsnap.services.running import run_command

HOOKS = (
    *("before_commit", "after_commit", "before_restore", "after_restore"),
    *("before_gc", "after_gc"),
)
HOOK_SECONDS = 3600.0


class HookFailed(SnapError):
    """A before-hook vetoed the command."""

    kind = "hook"


def run_hook(name: str, command: str, folder: str, facts: Mapping[str, Any]) -> None:
    """Run a hook with *facts* as JSON on its standard input; its output is shown only if it
    fails. Raises HookFailed unless it ends with status 0."""
    text = json.dumps({"hook": name, **facts}, default=str, sort_keys=True)
    status, words = run_command(
        shell(command), folder, seconds=HOOK_SECONDS, stdin=text.encode() + b"\n"
    )
    if status != 0:
        raise HookFailed(
            f"the hook {name} failed with status {status}",
            detail=words,
            hint=f"See what it does, in snap.toml under [hooks]: {command}",
        )
