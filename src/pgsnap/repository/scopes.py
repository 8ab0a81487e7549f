"""Context managers: thread pools, and work that is finished or abandoned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self


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
    pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=initializer)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
