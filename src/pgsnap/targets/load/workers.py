"""Loads parts of a dump side by side, each through a psql of its own.

Every psql is fed and judged as strictly as the only one of a plain load (`Feeder`): the end of its
input counts for nothing, its sentinel and the server's row counts for everything. The first failure
kills all of them. psql takes as little processor time to pass rows on as a connection of our own
would (150 MB: 0.3 s, and 4 s of the server's), works in containers, and holds no rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from pgsnap import interrupts
from pgsnap.errors import RestoreFailed
from pgsnap.model import DumpEvent
from pgsnap.progress import Progress
from pgsnap.targets.load.feeder import Expected, Feeder, FeedResult
from pgsnap.targets.load.row_order import Table
from pgsnap.values import dataclass


class StartFeeder(Protocol):
    """Starts a psql for the COPY sections that are *expected* by its end."""

    def __call__(
        self, *, expected: Iterable[Expected], progress: Progress
    ) -> AbstractContextManager[Feeder]: ...


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a dump that one psql loads: its *events*, read when it begins; the COPY sections in
    it, known at their end. No two tasks that lock a table in common run at once. *is_settled*: the
    next one begins only when the server has run this one, however short its text is."""

    events: Callable[[], Iterable[DumpEvent]]
    expected: Sequence[Expected] = ()
    locks: frozenset[Table] = frozenset()
    is_settled: bool = False


# Nothing may begin yet: time to see that the server has run what was begun.
_PAUSE = Task(events=tuple)


class Workers:
    """Up to *jobs* psql at a time, each started when there is a task for it.

    They wait for the next list of tasks when one is done: what starting one takes, with its
    connection, is more than what most tasks take. *prologue* is run by each of them first: the
    settings that the dump makes. A context manager: what still runs at its end is killed.
    """

    def __init__(
        self, start: StartFeeder, prologue: Callable[[], bytes], jobs: int, progress: Progress
    ) -> None:
        self.jobs = jobs
        self.results: list[FeedResult] = []
        self._start = start
        self._prologue = prologue
        self._progress = _Shared(progress)
        self._threads: list[threading.Thread] = []
        # Guards everything below.
        self._changed = threading.Condition()
        self._waiting: list[Task] = []
        # Of those begun, how many the server has not run yet.
        self._left = 0
        self._are_done = threading.Event()
        self._is_closed = False
        self._locked: set[Table] = set()
        self._feeders: set[Feeder] = set()
        self._failure: BaseException | None = None
        self._is_stopped = False

    @property
    def progress(self) -> Progress:
        """What the load beside them must report to, since only one thread may report at a time."""
        return self._progress

    def begin(self, tasks: Collection[Task]) -> None:
        """Start loading *tasks*, in their order as far as their locks allow; those of the list
        before must be loaded. Raises as `finish`."""
        with self._changed:
            self.check()
            self._waiting = list(tasks)
            self._left = len(tasks)
            self._are_done.clear()
            self._changed.notify_all()
        prologue = self._prologue()
        while len(self._threads) < min(self.jobs, len(tasks)):
            name = f"load-{len(self._threads)}"
            thread = threading.Thread(target=self._work, args=(prologue,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        """Raise what made a task fail, if one did."""
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Return when the server has run all tasks. Raises what the first that failed raised."""
        if self._left:
            interrupts.happens(self._are_done)
        self.check()

    def run(self, tasks: Collection[Task]) -> None:
        """Load *tasks*. Raises as `finish`."""
        self.begin(tasks)
        self.finish()

    def close(self) -> None:
        """End every psql, and return when each was found to have run all that it was fed. Raises
        as `finish`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            interrupts.ended(thread)
        self.check()

    def stop(self) -> None:
        """Kill what still runs."""
        with self._changed:
            self._is_stopped = True
            for feeder in self._feeders:
                feeder.kill()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interrupts.deferred():
            self.stop()

    # -- on the threads ------------------------------------------------------------------------

    def _work(self, prologue: bytes) -> None:
        expected: list[Expected] = []
        events: Generator[DumpEvent] | None = None
        try:
            with self._start(expected=expected, progress=self._progress) as feeder:
                feeder.is_part = True
                with self._changed:
                    self._feeders.add(feeder)
                try:
                    events = self._events(feeder, prologue, expected)
                    found = feeder.run(events)
                finally:
                    with self._changed:
                        self._feeders.discard(feeder)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._fail(error)
        else:
            with self._changed:
                self.results.append(found)
        finally:
            # What others wait for goes on only now, when it is known that this one failed.
            if events is not None:
                events.close()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if not self._is_stopped:
                self._failure = error
            self._is_stopped = True
            for feeder in self._feeders:
                feeder.kill()
            self._changed.notify_all()
            self._are_done.set()

    def _events(
        self, feeder: Feeder, prologue: bytes, expected: list[Expected]
    ) -> Generator[DumpEvent]:
        yield prologue
        run = 0
        while (task := self._next(is_waited_for=run == 0)) is not None:
            if task is _PAUSE:
                feeder.settle()
                feeder.check_counts_so_far()
                self._note_run(run)
                run = 0
                continue
            yield from task.events()
            expected += task.expected
            if task.is_settled:
                feeder.settle()
            run += 1
            with self._changed:
                self._locked -= task.locks
                self._changed.notify_all()

    def _note_run(self, tasks: int) -> None:
        with self._changed:
            self._left -= tasks
            if not self._left:
                self._are_done.set()

    def _next(self, *, is_waited_for: bool) -> Task | None:
        """Return a task that may begin, or None at the end. Where there is none yet it is waited
        for, or else _PAUSE returned."""
        with self._changed:
            while True:
                if self._is_stopped:
                    raise RestoreFailed("the load was stopped")
                for number, task in enumerate(self._waiting):
                    if self._locked.isdisjoint(task.locks):
                        self._locked |= task.locks
                        return self._waiting.pop(number)
                if not is_waited_for:
                    return _PAUSE
                if self._is_closed and not self._waiting:
                    return None
                self._changed.wait()


class _Shared:
    """Lets several threads report to one `Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        with self._lock:
            self._progress.phase(name, total_bytes)

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        with self._lock:
            self._progress.advance(plain_bytes, detail)

    def say(self, line: str) -> None:
        with self._lock:
            self._progress.say(line)


def settings_in(preamble: bytes) -> bytes:
    """Return the statements of a dump's *preamble* that set something for the session."""
    lines: Sequence[bytes] = preamble.split(b"\n")
    wanted = (b"SET ", b"SELECT pg_catalog.set_config(")
    return b"".join(line + b"\n" for line in lines if line.startswith(wanted))
