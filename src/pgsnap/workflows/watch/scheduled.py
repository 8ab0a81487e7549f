"""A scheduled run: the command, its record, and its notifications."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pgsnap.alerts.post import LIMIT_SECONDS
from pgsnap.alerts.telling import Alerts, Event, Message, ping, tell
from pgsnap.alerts.waiting import beside
from pgsnap.errors import Interrupted, RepositoryLocked, SnapError, StoreError
from pgsnap.schedulers.jobs import OnOverlap
from pgsnap.schedulers.runs import Ended, run_verb
from pgsnap.schedulers.state import RunBusy, RunRecord, State
from pgsnap.values import dataclass

WAIT_SECONDS = 6 * 3600.0
"""How long a run waits for the previous one: a run that takes longer hangs."""

_REMIND_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A process of a run, with its own environment variables. *what* names it if a run has
    several."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    what: str = ""


def run_job(
    job: str,
    steps: Callable[[], Sequence[Step]],
    *,
    state: State,
    folder: Path,
    alerts: Alerts,
    on_overlap: OnOverlap,
    say: Callable[[str], None],
    measure: Callable[[], None],
) -> int:
    """Run the *steps* of a job in sequence and return the exit code of the first that failed, or 0;
    a failure does not stop the others.

    *say* is called with each line of output, *measure* writes the metrics at the end. Raises
    RepositoryLocked if the previous run is still going on after too long, SnapError if files of
    others are in the way.
    """
    wait = WAIT_SECONDS if on_overlap == "wait" else 0.0
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state.alone(job, wait_seconds=wait))
        except RunBusy:
            before = state.last_run(job)
            since = f" since {before.started}" if before is not None else ""
            if on_overlap == "skip":
                say(f"snap: skipped: the {job} before it goes on{since}")
                return 0
            busy = RepositoryLocked(
                f"the {job} before this one goes on{since}",
                detail="This run waited for it and did nothing.",
            )
            _tell_of_no_run(job, busy, folder, alerts, say)
            raise busy from None
        except StoreError as error:
            # That disk may be full while the repository's is not; a gc may free space on it.
            say(f"snap: warning: {error.message}: two runs of this job may overlap")
        except SnapError as error:
            _tell_of_no_run(job, error, folder, alerts, say)
            raise
        return _run(job, steps, state, folder, alerts, say, measure)


def _tell_of_no_run(
    job: str, error: SnapError, folder: Path, alerts: Alerts, say: Callable[[str], None]
) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    missed = RunRecord(job, now, os.getpid(), exit_code=error.exit_code, error=error.message)
    message = _message(Event.FAILURE, missed, folder)
    for warning in (*ping(alerts, message), *tell(alerts, message)):
        say(f"snap: warning: {warning}")


def _run(
    job: str,
    steps: Callable[[], Sequence[Step]],
    state: State,
    folder: Path,
    alerts: Alerts,
    say: Callable[[str], None],
    measure: Callable[[], None],
) -> int:
    def warn(warnings: Sequence[str]) -> None:
        for warning in warnings:
            say(f"snap: warning: {warning}")

    started = datetime.now(UTC)
    clock = time.monotonic()
    run = RunRecord(job, started.isoformat(timespec="seconds"), os.getpid())
    try:
        state.record(run)
    except StoreError as error:
        # The disk of the configuration may be full while the repository's is not.
        warn([error.message])
    # In the background: the work does not wait until its start is announced.
    began = _message(Event.START, run, folder)
    told = beside(
        lambda: [*ping(alerts, began), *tell(alerts, began)],
        ["telling of the start took longer than the run"],
    )
    ended = Ended(Interrupted.exit_code, "interrupted")
    try:
        ended = _all(steps(), folder, say)
    except SnapError as error:
        say(f"snap: error: {error.message}")
        ended = Ended(error.exit_code, error.message)
    finally:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run = replace(
            run,
            finished=now,
            exit_code=ended.exit_code,
            seconds=round(time.monotonic() - clock, 3),
            error=ended.error,
            last_success=now if not ended.exit_code else None,
        )
        # A full disk must not suppress the alarm.
        with contextlib.suppress(StoreError):
            state.record(run)
        message = _message(Event.FAILURE if ended.exit_code else Event.SUCCESS, run, folder)
        # The end must not be announced before the start.
        warn(told(LIMIT_SECONDS))
        warn(ping(alerts, message))
        if job != "check":
            # A check sends its own alerts, and only on a change.
            warn(tell(alerts, message))
        measure()
    return ended.exit_code


def _all(steps: Sequence[Step], folder: Path, say: Callable[[str], None]) -> Ended:
    first = Ended(0, "")
    for step in steps:
        ended = run_verb(step.argv, step.environ, folder, say)
        if ended.exit_code and step.what:
            ended = replace(ended, error=f"{step.what}: {ended.error}")
        if ended.exit_code and not first.exit_code:
            first = ended
    return first


def _message(event: Event, run: RunRecord, folder: Path) -> Message:
    host = socket.gethostname()
    words = {
        Event.START: "began",
        Event.SUCCESS: "succeeded",
        Event.FAILURE: f"failed with exit code {run.exit_code}",
    }
    title = f"snap {run.job} on {host} {words[event]}"
    lines = [title, f"folder: {folder}"]
    if run.exit_code is not None:
        lines.append(f"exit code: {run.exit_code}")
    if run.seconds is not None:
        lines.append(f"seconds: {run.seconds:.1f}")
    if run.error:
        lines.append(f"error: {run.error}")
    fields: dict[str, Any] = {
        "job": run.job,
        "host": host,
        "folder": str(folder),
        "started": run.started,
        "finished": run.finished,
        "exit_code": run.exit_code,
        "seconds": run.seconds,
        "error": run.error,
    }
    return Message(event, run.job, title, "\n".join(lines), fields)


def tell_of_check(
    state: State, alerts: Alerts, *, red: bool, line: str, findings: Sequence[str], now: datetime
) -> list[str]:
    """Send an alert when a check turns red or green again, and once a day while it is red.

    Returns warnings. If the last state cannot be stored, every red check sends an alert.
    """
    before = state.read_json("check-state")
    was_red = before.get("red") is True
    told = datetime.fromisoformat(before["told"]) if was_red and "told" in before else None
    if red == was_red and not (red and (told is None or now - told >= _REMIND_AFTER)):
        return []
    host = socket.gethostname()
    event = Event.RED if red else Event.RECOVERED
    title = f"snap check on {host}: {line}"
    fields = {"job": "check", "host": host, "findings": list(findings)}
    warnings = tell(alerts, Message(event, "check", title, "\n".join([title, *findings]), fields))
    if not warnings:
        with contextlib.suppress(StoreError):
            state.write_json("check-state", {"red": red, "told": now.isoformat()})
    return warnings
