"""The process that stops services and starts them again, even if snap is killed.

Run as ``python -m pgsnap.services.supervisor FOLDER``, in a session of its own. It reads one line
of JSON (the services), stops them, reports that, and waits. A line ``start``, the end of its input
(snap is dead) or SIGTERM makes it start them again. Before the first stop it records in FOLDER
what it is about to stop, and removes that record when all are started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pgsnap.errors import UntrustedPath
from pgsnap.services.commands import Service
from pgsnap.services.running import Started, is_running, run_command, start_all
from pgsnap.services.state import StateFile


class _Ended(Exception):
    """SIGTERM: the sender wants the services to run again."""


def main(arguments: Sequence[str]) -> int:
    """Supervise once. Returns 0 when every service that was stopped runs again."""
    # Ctrl-C and a closed terminal are snap's to handle; this process lives until the services run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    services = [Service.from_json(value) for value in json.loads(line)]
    try:
        state = StateFile(Path(arguments[0]))
        wanted = [service for service in services if is_running(service)]
        state.write(wanted)
    except OSError as error:
        _tell({"event": "failed", "name": "", "detail": f"{arguments[0]}: {error.strerror}"})
        return 1
    except UntrustedPath as error:
        _tell({"event": "failed", "name": "", "detail": error.message})
        return 1
    tried: list[Service] = []
    try:
        signal.signal(signal.SIGTERM, _end)
        for service in services:
            if service not in wanted:
                _tell({"event": "skipped", "name": service.name})
        if _stop(wanted, tried):
            sys.stdin.buffer.readline()
    except _Ended:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        started = start_all(tried)
    _conclude(state, tried, started)
    return 0 if all(one.is_well for one in started) else 1


def _stop(wanted: Sequence[Service], tried: list[Service]) -> bool:
    for service in wanted:
        tried.append(service)
        status, words = run_command(service.stop, service.folder)
        if status != 0:
            detail = f"its stop ended with status {status}: {words}".rstrip(": ")
            _tell({"event": "failed", "name": service.name, "detail": detail})
            return False
        _tell({"event": "stopped", "name": service.name})
    _tell({"event": "all stopped"})
    return True


def _conclude(state: StateFile, tried: Sequence[Service], started: Sequence[Started]) -> None:
    for one in started:
        _tell({"event": "started", **one.as_json()})
    dead = {one.name for one in started if not one.is_started}
    if dead:
        # They stay recorded, so that the next command reports that they do not run.
        state.write([service for service in tried if service.name in dead])
    else:
        state.remove()
    _tell({"event": "done"})


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Ended


def _tell(event: dict[str, Any]) -> None:
    """Write a line for snap; it may be dead."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
