"""A sign of life where something takes long and prints nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

EVERY_SECONDS = 2.5


class Heartbeat:
    """Lets *say* print how long it has been silent, again and again, from a thread of its own."""

    def __init__(self, say: Callable[[str], None], every_seconds: float = EVERY_SECONDS) -> None:
        self._say = say
        self._every_seconds = every_seconds
        self._since = time.monotonic()
        self._next = self._since + every_seconds
        self._is_paused = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def heard(self) -> None:
        """Note that something was printed."""
        self._since = time.monotonic()
        self._next = self._since + self._every_seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Print nothing during the block, in which something else does."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False
            self.heard()

    def _beat(self) -> None:
        while not self._ended.wait(self._every_seconds / 10):
            now = time.monotonic()
            if now >= self._next and not self._is_paused:
                self._next = now + self._every_seconds
                self._say(f"  … {now - self._since:.0f} s")
