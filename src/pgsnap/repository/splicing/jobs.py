"""Work that threads of a pool do, and whoever waits for its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any, Generic, TypeVar

from pgsnap import interrupts
from pgsnap.errors import SnapError

_Result = TypeVar("_Result")


class Job(Generic[_Result]):
    """A task: of a thread of *pool*, unless the thread that made the job needs its result before
    one has begun it.

    A thread more instead would have three of them compete for Python's lock on two processors,
    which costs an eighth of the processor time of a commit. Used by one thread.
    """

    def __init__(self, pool: Executor, task: Callable[[], _Result]) -> None:
        self._task = task
        self._future = pool.submit(task)

    def result(self, later: Iterable[Job[Any]]) -> _Result:
        """Return its result. While another thread is at it, those of the *later* jobs are done that
        nobody has begun. Raises what the task raises, Stopped."""
        if not self._done_here():
            for job in later:
                if self._future.done():
                    break
                job._done_here()
        return interrupts.result(self._future)

    def cancel(self) -> bool:
        """Return whether it is not done, and never will be."""
        return self._future.cancel()

    def _done_here(self) -> bool:
        """Do it unless it was begun; return whether that was so."""
        if not self._future.cancel():
            return False
        done: Future[_Result] = Future()
        try:
            done.set_result(self._task())
        except SnapError as error:
            # Whoever asks for this result is to have it, and nobody may ever ask.
            done.set_exception(error)
        self._future = done
        return True
