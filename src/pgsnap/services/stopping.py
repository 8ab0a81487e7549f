"""snap's side of the supervisor: services are stopped within a block, and run again after it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.services.commands import Service
from pgsnap.services.running import Started, start_all
from pgsnap.services.state import START_COMMAND, Stopped, find_stopped, forget, taken
from pgsnap.values import dataclass

_EVENT_BYTES = 64 * 1024


class ServiceFailed(SnapError):
    """A service could not be stopped, or does not run as it did before."""

    kind = "service"


@dataclass(slots=True)
class Outcome:
    """What happened to the services of one run. *skipped* were not running, so they were left."""

    stopped: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    is_lost: bool = False
    """The supervisor died: nobody knows whether the services run."""

    def check(self) -> None:
        """Raise ServiceFailed unless everything that was stopped runs again."""
        ill = [one for one in self.started if not one.is_well]
        if not ill and not self.is_lost:
            return
        names = ", ".join(one.name for one in ill) or ", ".join(self.stopped)
        raise ServiceFailed(
            f"what was asked for is done, but these services do not run as before: {names}",
            detail=" ".join(f"{one.name}: {one.detail}." for one in ill),
            hint=f"Look at them, then start them: {START_COMMAND}",
        )


@contextlib.contextmanager
def stopped(
    services: Sequence[Service],
    folder: Path,
    outcome: Outcome,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Run the block while *services* are stopped. They are started again when it ends, however it
    ends, and by their supervisor if this process is killed. *outcome* is filled in.

    Raises ServiceFailed before the block if one of them cannot be stopped.
    """
    if not services:
        yield
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "pgsnap.services.supervisor", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    events = _Events(child, say)
    try:
        _send(child, json.dumps([service.as_json() for service in services]))
        _await_stopped(events, outcome, say)
        yield
    finally:
        # An interrupt does not mean that they should stay stopped.
        with interrupts.uncut():
            _send(child, "start")
            with contextlib.suppress(OSError):
                if child.stdin is not None:
                    child.stdin.close()
            _await_started(events, outcome, say)
            child.wait()
            if outcome.is_lost:
                # The supervisor was killed; this process can do its work.
                for left, started in start_leftovers(folder):
                    if set(left.names) & set(outcome.stopped):
                        outcome.started.extend(started)
                        outcome.is_lost = False


class _Events:
    """The events of a supervisor, one per line."""

    def __init__(self, child: subprocess.Popen[bytes], say: Callable[[str], None]) -> None:
        assert child.stdout is not None
        self._pid = child.pid
        self._number = child.stdout.fileno()
        self._say = say
        self._rest = b""

    def next(self) -> dict[str, Any] | None:
        """Return the next event, None when the supervisor ended. Raises Stopped; inside `uncut`
        a signal prints what is waited for instead."""
        while b"\n" not in self._rest:
            signals = interrupts.count()
            while not interrupts.wait([self._number], timeout=interrupts.POLL_SECONDS):
                interrupts.check()
                if interrupts.count() > signals:
                    signals = interrupts.count()
                    self._say(
                        "interrupted, but the services are started again first: process"
                        f" {self._pid} does it"
                    )
            data = os.read(self._number, _EVENT_BYTES)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event


def _await_stopped(events: _Events, outcome: Outcome, say: Callable[[str], None]) -> None:
    while (event := events.next()) is not None:
        name = str(event.get("name", ""))
        if event["event"] == "all stopped":
            return
        if event["event"] == "stopped":
            outcome.stopped.append(name)
            say(f"stopped {name}")
        elif event["event"] == "skipped":
            outcome.skipped.append(name)
            say(f"{name} does not run: it is left alone")
        elif event["event"] == "failed":
            raise ServiceFailed(
                f"{name or 'services'} cannot be stopped, so nothing was changed",
                detail=f"{event['detail']}.",
                hint="Stop it by hand, and leave it out of --stop and of snap.toml's services.",
            )
    raise ServiceFailed(
        "the process that stops services died, so nothing was changed",
        hint=f"Start what it stopped: {START_COMMAND}",
    )


def _await_started(events: _Events, outcome: Outcome, say: Callable[[str], None]) -> None:
    is_done = False
    while (event := events.next()) is not None:
        if event.pop("event") == "started":
            started = Started(**event)
            outcome.started.append(started)
            ill = f"{started.name} does not run as before ({started.detail}): {START_COMMAND}"
            say(f"started {started.name}" if started.is_well else ill)
        is_done = not event
    outcome.is_lost = bool(outcome.stopped) and not is_done


def _send(child: subprocess.Popen[bytes], line: str) -> None:
    assert child.stdin is not None
    # A dead supervisor is noticed when its answer is missing.
    with contextlib.suppress(BrokenPipeError, ValueError):
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()


def start_leftovers(
    folder: Path, known: Sequence[Service] = ()
) -> tuple[tuple[Stopped, tuple[Started, ...]], ...]:
    """Start what dead supervisors left stopped, and forget each record once that succeeded.

    A service that was started by hand meanwhile only gets its health check. One in *known*
    is started with these current settings: they may have been fixed since.
    """
    now = {(service.name, service.folder): service for service in known}
    done = []
    for found in find_stopped(folder):
        if found.is_watched:
            continue
        with taken(found) as held:
            if held is None:
                continue
            left = [now.get((one.name, one.folder), one) for one in held.services]
            started = start_all(left, also_running=False)
            if all(one.is_started for one in started):
                forget(held)
            done.append((held, started))
    return tuple(done)
