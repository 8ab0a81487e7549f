"""Records a run of a command in the audit log."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgsnap import __version__
from pgsnap.cli.text import render
from pgsnap.cli.text.redact import redact
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.user_folders import audit_folder
from pgsnap.errors import FormatTooNew, Interrupted, SnapError
from pgsnap.repository import audit_log
from pgsnap.repository.places.address import Address
from pgsnap.sealing.keys import Keys

_VALUE_CHARS_MAX = 1000
# Fields of a command's result: the snapshot made or read, and the databases made.
_RESULT_IDS = ("id", "safety_snapshot", "kept")


def record_run(invocation: Invocation, started: datetime, code: int) -> None:
    """Append a run that ended with *code* to the log. Raises nothing: a run that cannot be logged
    is a warning, unless the repository cannot be written at all."""
    assert invocation.opened is not None
    named = invocation.parameters.get("name") or invocation.parameters.get("delete")
    action = invocation.parameters.get("action")
    only_looks = action == "list" or (invocation.command, action) == ("remote", "check")
    if (invocation.command == "tag" and not named) or only_looks or code == FormatTooNew.exit_code:
        # Nothing was changed or read out; a repository of a later version must not be changed.
        return
    try:
        can_log, keys = _keys(invocation, invocation.opened)
        folder = audit_folder(invocation.opened, invocation.settings.trust)
        if folder is None or not can_log:
            return
        audit_log.append(folder, _entry(invocation, started, code), keys)
    except SnapError as error:
        if not invocation.console.json:
            invocation.console.terminal.note(
                f"warning: the audit log was not written: {error.message}"
            )
    except OSError as error:
        is_folder = isinstance(invocation.opened, Path)
        if (not is_folder or os.access(invocation.opened, os.W_OK)) and not invocation.console.json:
            reason = (error.strerror or "refused").lower()
            invocation.console.terminal.note(f"warning: the audit log was not written: {reason}")


def _keys(invocation: Invocation, opened: Address) -> tuple[bool, Keys | None]:
    """Return whether the run can be logged, and the keys that its line is sealed with. The log of
    an encrypted repository that did not open gets no line: it would be readable."""
    from pgsnap.repository.config import read_config
    from pgsnap.repository.layout import KEYS
    from pgsnap.repository.places.opening import place_of
    from pgsnap.repository.sealed.unlocking import keys_of

    seen = dict(invocation.unlocked)
    if invocation.unlocking is not None:
        seen |= invocation.unlocking.seen
    if str(opened) in seen:
        return True, keys_of(seen[str(opened)])
    place = place_of(opened, invocation.settings.trust)
    if str(place) in seen:
        # A folder that goes by a URL.
        return True, keys_of(seen[str(place)])
    try:
        return read_config(place).encryption is None, None
    except SnapError:
        return not any(place.store.list(KEYS)), None


def _entry(invocation: Invocation, started: datetime, code: int) -> dict[str, Any]:
    result = invocation.console.result if code == 0 else {}
    arguments = {
        name: shown
        for name, value in invocation.parameters.items()
        if (shown := _shown(value)) not in (None, False, [], "")
    }
    snapshots = dict.fromkeys(invocation.resolved)
    # A gc has a list under one of these names, of all snapshots that it keeps.
    found = {name: result.get(name) for name in _RESULT_IDS}
    ids = {name: render.as_json(one) for name, one in found.items() if isinstance(one, str | bytes)}
    return {
        "time": render.json_time(started),
        "user": _user(),
        "uid": os.getuid(),
        "sudo_user": os.environ.get("SUDO_USER"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "version": __version__,
        "command": invocation.command,
        "arguments": arguments,
        "database": _database(invocation, result, code),
        "snapshots": list(snapshots),
        "result": ids,
        "exit_code": code,
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
    }


def _user() -> str:
    # The process's user, not LOGNAME, which anyone may set.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _shown(value: Any) -> Any:
    """Return a command's option in the log's form: short, and without passwords."""
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value[:100]]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return redact(str(value))[:_VALUE_CHARS_MAX]


def _database(invocation: Invocation, result: dict[str, Any], code: int) -> str | None:
    if isinstance(result.get("database"), str):
        return str(result["database"])
    try:
        if invocation.settings.database is not None:
            return invocation.settings.database
        if code == Interrupted.exit_code and "psycopg" not in sys.modules:
            # If its import was interrupted, it cannot be imported any more.
            return None
        from pgsnap.cli.wiring.connect import database_of_dsn

        return database_of_dsn(invocation.settings)
    except SnapError:
        return None
