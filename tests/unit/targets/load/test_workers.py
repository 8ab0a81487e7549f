"""Several psql that wait for the next list of tasks when one is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pgsnap.errors import RestoreFailed
from pgsnap.model import DumpEvent
from pgsnap.progress import SILENT
from pgsnap.targets.load.feeder import FeedResult
from pgsnap.targets.load.workers import Task, Workers


class FakeFeeder:
    """Takes what it is fed; *judge* is called where the end is judged, *count* where rows are."""

    def __init__(self, judge: Callable[[], None], count: Callable[[], None]) -> None:
        self.taken: list[bytes] = []
        self.settled = 0
        self.is_part = False
        self.check_counts_so_far = count
        self._judge = judge

    def run(self, events: Iterable[DumpEvent]) -> FeedResult:
        self.taken += [event for event in events if isinstance(event, bytes)]
        self._judge()
        return FeedResult(rows=0, plain_bytes=len(b"".join(self.taken)), seconds=0.0)

    def settle(self) -> None:
        self.settled += 1

    def kill(self) -> None:
        pass


class Fleet:
    """Every psql that was started."""

    def __init__(self) -> None:
        self.started: list[FakeFeeder] = []
        self.judge: Callable[[], None] = lambda: None
        self.count: Callable[[], None] = lambda: None

    @contextmanager
    def start(self, **_: Any) -> Iterator[FakeFeeder]:
        feeder = FakeFeeder(lambda: self.judge(), lambda: self.count())
        self.started.append(feeder)
        yield feeder

    def workers(self, jobs: int) -> Workers:
        return Workers(self.start, lambda: b"SET x;\n", jobs, SILENT)  # type: ignore[arg-type]


def failing() -> None:
    raise RestoreFailed("psql failed")


def both() -> list[Task]:
    """Return two tasks that only two psql can run: each waits until the other one began."""
    together = threading.Barrier(2)

    def events(name: bytes) -> Iterator[bytes]:
        together.wait(timeout=20)
        yield name

    return [Task(lambda name=name: events(name)) for name in (b"a", b"b")]  # type: ignore[misc]


def test_the_next_list_is_run_by_those_that_are_there() -> None:
    fleet = Fleet()
    with fleet.workers(2) as workers:
        workers.run(both())
        assert all(each.settled for each in fleet.started)
        workers.run(both())
        workers.run([Task(lambda: (b"c",))])
        workers.close()
    assert len(fleet.started) == 2
    taken = sorted(b"".join(each.taken) for each in fleet.started)
    assert sorted(b"".join(taken)) == sorted(b"SET x;\nSET x;\nababc")
    assert sum(each.plain_bytes for each in workers.results) == 19


def test_no_more_are_started_than_there_are_tasks() -> None:
    fleet = Fleet()
    with fleet.workers(5) as workers:
        workers.run([Task(lambda: (b"a",))])
        assert len(fleet.started) == 1
        workers.run(both())
        workers.close()
    assert len(fleet.started) == 2


def test_two_tasks_of_one_table_never_run_at_once() -> None:
    fleet, running, most = Fleet(), set[int](), []

    def events(number: int) -> Iterator[bytes]:
        running.add(number)
        most.append(len(running))
        time.sleep(0.01)
        yield b"x"
        running.remove(number)

    table = frozenset({("public", "a")})
    with fleet.workers(3) as workers:
        workers.run([Task(lambda n=n: events(n), locks=table) for n in range(5)])  # type: ignore[misc]
        workers.close()
    assert most == [1] * 5


def test_rows_are_counted_before_the_next_list_begins() -> None:
    fleet = Fleet()
    fleet.count = failing
    with fleet.workers(2) as workers, pytest.raises(RestoreFailed, match="psql failed"):
        workers.run([Task(lambda: (b"a",))])


def test_a_psql_that_fails_at_its_end_is_told_by_close() -> None:
    fleet = Fleet()
    with fleet.workers(2) as workers:
        workers.run(both())
        fleet.judge = failing
        with pytest.raises(RestoreFailed, match="psql failed"):
            workers.close()


def test_nothing_begins_after_a_failure() -> None:
    fleet = Fleet()
    with fleet.workers(2) as workers:
        with pytest.raises(RestoreFailed, match="psql failed"):
            workers.run([Task(lambda: (failing(),))])  # type: ignore[arg-type, return-value, func-returns-value]
        with pytest.raises(RestoreFailed, match="psql failed"):
            workers.begin(both())


def test_those_that_wait_are_stopped_with_the_load() -> None:
    fleet = Fleet()
    with fleet.workers(2) as workers:
        workers.run(both())
    assert not [each for each in threading.enumerate() if each.name.startswith("load-")]
    assert workers.results == []
