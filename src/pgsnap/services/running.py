"""Runs the commands of services: stop, start, and wait until healthy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pgsnap import interrupts
from pgsnap.runners.programs import ended
from pgsnap.services.commands import Service
from pgsnap.values import dataclass

COMMAND_SECONDS = 180.0
_HEALTH_POLL_SECONDS = 0.25
_WORDS_MAX = 500
# The exit statuses of a shell and of `timeout`.
_TOO_LONG = 124
_NOT_RUNNABLE = 127


@dataclass(frozen=True, slots=True)
class Started:
    """How the start of a service went. *is_healthy* is None if it has no health check;
    *detail* is the reason of a failure."""

    name: str
    is_started: bool
    is_healthy: bool | None
    seconds: float
    detail: str = ""

    @property
    def is_well(self) -> bool:
        return self.is_started and self.is_healthy is not False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_command(
    argv: Sequence[str], folder: str, *, seconds: float = COMMAND_SECONDS, stdin: bytes = b""
) -> tuple[int, str]:
    """Run a command; return its exit status and the end of its output. 127: it cannot be run,
    124: it took longer than *seconds*, and was killed with all its children."""
    # Files, not pipes: a background process left by a start would hold a pipe open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
        given.write(stdin)
        given.seek(0)
        try:
            child = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=given,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return _NOT_RUNNABLE, f"{argv[0]}: {error.strerror}"
        try:
            with interrupts.killed_too(partial(_kill_group, child)):
                status = ended(child, seconds)
            if status is None:
                return _TOO_LONG, f"it took longer than {seconds:.0f} seconds"
        finally:
            if child.returncode is None:
                _kill_group(child)
        size = written.seek(0, os.SEEK_END)
        written.seek(max(0, size - _WORDS_MAX))
        return status, written.read().decode("utf-8", "replace").strip()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def is_running(service: Service) -> bool:
    """Return whether a service runs; one without such a check counts as running."""
    if service.running is None:
        return True
    return run_command(service.running, service.folder)[0] in (0, _TOO_LONG, _NOT_RUNNABLE)


def _surely_runs(service: Service) -> bool:
    return service.running is not None and run_command(service.running, service.folder)[0] == 0


def start(service: Service, *, also_running: bool = True) -> Started:
    """Start a service, without *also_running* only if it is not known to run, and wait until it
    is healthy."""
    began = time.monotonic()
    status, words = 0, ""
    if also_running or not _surely_runs(service):
        status, words = run_command(service.start, service.folder)
    if status != 0:
        detail = f"its start ended with status {status}: {words}".rstrip(": ")
        return Started(service.name, False, None, time.monotonic() - began, detail)
    if service.health is None:
        return Started(service.name, True, None, time.monotonic() - began)
    deadline = time.monotonic() + service.health_seconds
    while True:
        status, words = run_command(service.health, service.folder, seconds=service.health_seconds)
        if status == 0:
            return Started(service.name, True, True, time.monotonic() - began)
        if time.monotonic() > deadline:
            detail = f"not healthy after {service.health_seconds:.0f} seconds: {words}"
            seconds = time.monotonic() - began
            return Started(service.name, True, False, seconds, detail.rstrip(": "))
        interrupts.sleep(_HEALTH_POLL_SECONDS)


def start_all(services: Sequence[Service], *, also_running: bool = True) -> tuple[Started, ...]:
    """Start services, as `start` does, in the reverse order of their stops."""
    return tuple(start(service, also_running=also_running) for service in reversed(services))
