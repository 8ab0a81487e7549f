"""Runs of verbs that the page asked for: one at a time, watched by as many tabs as like.

The server's threads submit, answer and watch; one thread, which the command line lends, runs.
"""

from __future__ import annotations

import enum
import os
import secrets
import shlex
import threading
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

from pgsnap.errors import SnapError
from pgsnap.values import dataclass

# How many are remembered, and how many lines of news of each.
_KEPT_MAX = 100
_LINES_MAX = 500


class JobBusy(SnapError):
    """Another job is under way."""

    kind = "job-busy"


class NoSuchJob(SnapError):
    """There is no such job, or none that waits for an answer."""

    kind = "no-such-job"


class State(enum.Enum):
    RUNNING = "running"
    ASKING = "asking"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Job:
    """A run of a verb. *words* are its command line; *plan* is what it is about to do, as on a
    terminal, *question* what it asks before, and *word* what must be typed (None: a yes is enough).
    *error* has the fields of the error that it ended with. *version* grows with every change,
    *turn* with those after which it looks different."""

    id: str
    title: str
    words: tuple[str, ...]
    started: datetime
    state: State = State.RUNNING
    phase: str = ""
    figures: str = ""
    share: float | None = None
    lines: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    question: str = ""
    word: str | None = None
    is_wrong: bool = False
    result: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    finished: datetime | None = None
    is_stopping: bool = False
    version: int = 0
    turn: int = 0

    @property
    def command(self) -> str:
        return shlex.join(self.words)

    @property
    def is_over(self) -> bool:
        return self.state not in (State.RUNNING, State.ASKING)

    @property
    def seconds(self) -> float:
        return ((self.finished or datetime.now(UTC)) - self.started).total_seconds()


class Jobs:
    """The jobs of this run of the server. Nothing of them outlives it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: dict[str, Job] = {}
        self._waiting: Job | None = None
        self._current: Job | None = None
        self._answered = threading.Event()
        self._answer = False
        self._stop: Callable[[], None] | None = None
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    # -- the server's threads ----------------------------------------------------------------------

    def submit(self, title: str, words: tuple[str, ...]) -> Job:
        """Let the verb with these *words* run. Raises JobBusy."""
        with self._lock:
            if self._current is not None:
                raise JobBusy(
                    f"another job is under way: {self._current.title}",
                    detail="One runs at a time.",
                    hint="Wait for its end, or stop it.",
                )
            job = Job(secrets.token_hex(8), title, words, datetime.now(UTC))
            self._all[job.id] = self._current = self._waiting = job
            while len(self._all) > _KEPT_MAX:
                del self._all[next(iter(self._all))]
            os.write(self._wake[1], b"\0")
            return job

    def all(self) -> list[Job]:
        """Return the jobs, newest first."""
        with self._lock:
            return list(reversed(self._all.values()))

    def current(self) -> Job | None:
        return self._current

    def get(self, job_id: str) -> Job:
        """Raises NoSuchJob."""
        with self._lock:
            found = self._all.get(job_id)
        if found is None:
            raise NoSuchJob(
                "there is no such job", detail="Jobs are forgotten when the server ends."
            )
        return found

    def answer(self, job_id: str, text: str, *, declines: bool) -> None:
        """Answer the question of a job: with the word that it wants, or none. Raises NoSuchJob."""
        with self._lock:
            job = self.get(job_id)
            if job.state is not State.ASKING:
                raise NoSuchJob("this job does not ask anything now")
            if not declines and job.word is not None and text.strip() != job.word:
                job.is_wrong = True
                self._changed(job, looks=True)
                return
            self._answer = not declines
            self._turn(job, State.RUNNING)
            self._answered.set()

    def stop(self, job_id: str) -> None:
        """Stop a job, as a Ctrl-C would. Raises NoSuchJob."""
        with self._lock:
            job = self.get(job_id)
            if job is not self._current:
                raise NoSuchJob("this job is over")
            if job.is_stopping:
                # A second Ctrl-C would end the process at once.
                return
            job.is_stopping = True
            self._changed(job, looks=True)
            if self._stop is not None:
                self._stop()

    # -- the thread that runs them -----------------------------------------------------------------

    @property
    def descriptor(self) -> int:
        """What can be read once there is a job to run."""
        return self._wake[0]

    def take(self) -> Job | None:
        """Return the job that is to be run now, None if there is none."""
        with self._lock:
            try:
                os.read(self._wake[0], 512)
            except BlockingIOError:
                return None
            job, self._waiting = self._waiting, None
            return job

    def begin(self, stop: Callable[[], None]) -> None:
        """Let *stop* be what ends the current job early, called once at most."""
        with self._lock:
            self._stop = stop
            if self._current is not None and self._current.is_stopping:
                stop()

    def update(self, job: Job, **values: Any) -> None:
        """Set fields of the job that are shown while it runs."""
        with self._lock:
            for name, value in values.items():
                setattr(job, name, value)
            self._changed(job)

    def say(self, job: Job, line: str) -> None:
        """Add a line of news."""
        with self._lock:
            job.lines = [*job.lines[1 - _LINES_MAX :], line]
            self._changed(job)

    def ask(
        self,
        job: Job,
        question: str,
        word: str | None,
        wait: Callable[[threading.Event], bool],
    ) -> bool | None:
        """Ask the user; return the answer, None if *wait* gave up before there was one."""
        with self._lock:
            self._answered.clear()
            job.question, job.word, job.is_wrong = question, word, False
            self._turn(job, State.ASKING)
        answered = wait(self._answered)
        with self._lock:
            self._turn(job, State.RUNNING)
        return self._answer if answered else None

    def finish(self, job: Job, exit_code: int, *, is_stopped: bool = False) -> None:
        """Let the job be over: from here on it cannot be stopped any more."""
        with self._lock:
            self._stop = self._current = None
            job.finished = datetime.now(UTC)
            over = State.STOPPED if is_stopped else State.FAILED
            self._turn(job, State.DONE if exit_code == 0 else over)

    def _turn(self, job: Job, state: State) -> None:
        if job.state is not state:
            job.state = state
            self._changed(job, looks=True)

    def _changed(self, job: Job, *, looks: bool = False) -> None:
        job.version += 1
        job.turn += looks
