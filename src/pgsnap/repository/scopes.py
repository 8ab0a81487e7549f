"""Thread pools, what is in flight on them, turns, and work that is finished or abandoned."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Generic, ParamSpec, Self, TypeVar

from pgsnap import interrupts

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item = TypeVar("_Item")


class FinishedOrAbandoned(ABC):
    """Finished at the end of its `with` block, and abandoned if that or the block itself fails."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until all work is done."""

    @abstractmethod
    def abandon(self) -> None:
        """Abandon the work; may be called after `finish`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self.abandon)
            if kind is None:
                self.finish()
                stack.pop_all()


@contextmanager
def threads(
    count: int, name: str, initializer: Callable[[], None] | None = None
) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread pool. On exit, running tasks are waited for and pending ones cancelled."""
    # Imported here, since it would slow down every start.
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=initializer)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def side_by_side(
    items: Iterable[_Item], task: Callable[[_Item], _T], at_once: int
) -> Iterator[tuple[_Item, _T]]:
    """Yield *items* in order, each with what *task* returns for it, which is done for *at_once* of
    them at a time. Raises what it raises, Stopped."""
    waiting = iter(items)
    first = list(islice(waiting, 2))
    if at_once == 1 or len(first) < 2:
        yield from ((item, task(item)) for item in chain(first, waiting))
        return
    under_way: deque[tuple[_Item, Future[_T]]] = deque()
    with threads(at_once, "snap-fetch") as pool:
        for item in chain(first, waiting):
            under_way.append((item, pool.submit(task, item)))
            if len(under_way) > at_once:
                done, future = under_way.popleft()
                yield done, interrupts.result(future)
        for done, future in under_way:
            yield done, interrupts.result(future)


class Window(Generic[_T]):
    """Tasks on a *pool*, whose results are taken in the order in which they were started.

    At most *count* are in flight, and at most *bytes_max* bytes, but for a single task. Used by one
    thread.
    """

    def __init__(self, pool: ThreadPoolExecutor, count: int, bytes_max: int) -> None:
        self._pool = pool
        self._count = count
        self._bytes_max = bytes_max
        self._tasks: deque[tuple[int, Future[_T]]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def has_room(self, size: int) -> bool:
        """Return whether a task of *size* bytes may be started."""
        return not self._tasks or (
            len(self._tasks) < self._count and self._bytes + size <= self._bytes_max
        )

    def start(self, size: int, task: Callable[[], _T]) -> None:
        """Start *task*, for which there is room. Raises what an earlier one raised, instead."""
        for _, future in self._tasks:
            if future.done():
                future.result()
        self._tasks.append((size, self._pool.submit(task)))
        self._bytes += size

    def take(self) -> _T:
        """Wait for the oldest task, and return its result. Raises what it raised, Stopped."""
        size, future = self._tasks[0]
        result = interrupts.result(future)
        self._tasks.popleft()
        self._bytes -= size
        return result

    def left(self) -> Iterator[_T]:
        """Yield the results of those that succeeded, in order, up to the first that did not; once
        the pool has ended."""
        while self._tasks:
            _, future = self._tasks.popleft()
            if future.cancelled() or future.exception() is not None:
                self._tasks.clear()
                return
            yield future.result()


# Python's own lock changes hands whenever a call into C gives it up, however short the call: two
# threads that read chains of small frames wait for each other dozens of times for each chunk, which
# takes a tenth of their processor time. In turns they do so a few times.
_turn = threading.Lock()
_local = threading.local()


def in_turn(work: Callable[_P, _T], *args: _P.args, **more: _P.kwargs) -> _T:
    """Do *work* when no other thread is in its turn. The thread must not be in its own already."""
    with _turn:
        _local.is_in_turn = True
        try:
            return work(*args, **more)
        finally:
            _local.is_in_turn = False


def aside(work: Callable[_P, _T], *args: _P.args, **more: _P.kwargs) -> _T:
    """Do *work* that takes long in C, or waits, while another thread is in its turn; the same as
    calling it where the thread is not in one. No lock may be held that others want in their
    turn."""
    if not getattr(_local, "is_in_turn", False):
        return work(*args, **more)
    _local.is_in_turn = False
    _turn.release()
    try:
        return work(*args, **more)
    finally:
        _turn.acquire()
        _local.is_in_turn = True
