"""The event loop of all SFTP connections of this process, on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import Any, TypeVar

from pgsnap import interrupts
from pgsnap.stores import waiting

_T = TypeVar("_T")
# What is left behind at the end is small, and found later.
_CLOSE_SECONDS = 5.0


class Loop:
    """Runs coroutines for callers on other threads."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Return what *coroutine* returns. Raises Stopped, in a pool's thread too; the coroutine is
        cancelled then."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            if threading.current_thread() is threading.main_thread():
                return interrupts.result(future)
            return waiting.result(future)
        except BaseException:
            future.cancel()
            raise

    def at_end(self, owner: object, closer: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *closer* when *owner* is no longer used, or before this process ends."""
        self._closers.append(closer)
        weakref.finalize(owner, self._close_unused, closer).atexit = False

    def _close_unused(self, closer: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Called on any thread, also that of the loop: nothing may be waited for.
        self._closers.remove(closer)
        if self.pid == os.getpid():
            asyncio.run_coroutine_threadsafe(closer(), self._loop)

    def _close(self) -> None:
        if self.pid != os.getpid():
            # A forked process has no thread for it.
            return
        closing = [asyncio.run_coroutine_threadsafe(one(), self._loop) for one in self._closers]
        wait(closing, timeout=_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)


_lock = threading.Lock()
_loop: Loop | None = None


def shared() -> Loop:
    """Return the loop of this process."""
    global _loop
    with _lock:
        if _loop is None or _loop.pid != os.getpid():
            _loop = Loop()
        return _loop
