"""Waits for requests, which a signal ends: nothing interrupts a request itself, so it is made on a
thread of its own, which is left behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from pgsnap import interrupts

_T = TypeVar("_T")

_POLL_SECONDS = 0.1


class _Local(threading.local):
    # Set once nobody waits for this thread's task any more.
    left: threading.Event | None = None


_local = _Local()


class LeftBehind(Exception):
    """Ends a task that nobody waits for any more."""


def waited_for(task: Callable[[], _T]) -> _T:
    """Return what *task* returns. Raises Stopped, in a pool's thread too, which would hold up the
    end of the program otherwise."""
    left = threading.Event()
    run = passed_on(task, left)
    try:
        if threading.current_thread() is threading.main_thread():
            return interrupts.on_thread(run, lambda _: None)
        return _polled(run)
    except (interrupts.Stopped, LeftBehind):
        left.set()
        raise


def passed_on(task: Callable[[], _T], left: threading.Event | None = None) -> Callable[[], _T]:
    """Return *task* for another thread, to be left behind along with the calling one's."""
    event = _local.left if left is None else left

    def run() -> _T:
        before, _local.left = _local.left, event
        try:
            return task()
        finally:
            _local.left = before

    return run


def check() -> None:
    """Raise LeftBehind if nobody waits for this thread's task any more; if it is nobody's task,
    Stopped after a signal."""
    if _local.left is None:
        interrupts.check()
        interrupts.check_left_behind()
    elif _local.left.is_set():
        raise LeftBehind


def pause(seconds: float) -> None:
    """Sleep. Raises Stopped, LeftBehind."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.5))
    check()


def _polled(run: Callable[[], _T]) -> _T:
    future: Future[_T] = Future()

    def fill() -> None:
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001 - raised below
            future.set_exception(error)

    threading.Thread(target=fill, name="snap-request", daemon=True).start()
    return result(future)


def result(future: Future[_T]) -> _T:
    """Return what *future* returns, for a thread other than the main one. Raises Stopped,
    LeftBehind."""
    while not future.done():
        check()
        # Its own TimeoutError is raised below.
        with contextlib.suppress(TimeoutError):
            return future.result(_POLL_SECONDS)
    check()
    return future.result()
