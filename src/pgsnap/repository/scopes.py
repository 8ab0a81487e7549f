"""What ends with its `with` block: threads, and what is finished or given up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self


class FinishedOrAbandoned(ABC):
    """Is finished at the end of its `with` block, and abandoned where that, or the block, fails."""

    @abstractmethod
    def finish(self) -> None:
        """Return when all of it is done."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up; also after `finish`."""

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
    """Make a pool. At the end what it has begun is waited for, and the rest is cancelled."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=initializer)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
