"""Bounded waits for work that may never finish."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pgsnap import interrupts

T = TypeVar("T")


def within(seconds: float, task: Callable[[], T], otherwise: T) -> T:
    """Return what *task* returns, or *otherwise* if it takes longer than *seconds*."""
    return beside(task, otherwise)(seconds)


def beside(task: Callable[[], T], otherwise: T) -> Callable[[float], T]:
    """Start *task* on a thread. Return a function that waits for it, at most the given number of
    seconds, and returns its result, or *otherwise*.

    The thread dies with the process: if it hangs, it delays nothing else.
    """
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(task()), daemon=True)
    thread.start()

    def result(seconds: float) -> T:
        interrupts.ended(thread, seconds)
        return done[0] if done else otherwise

    return result
