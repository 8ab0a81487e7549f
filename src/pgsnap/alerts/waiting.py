"""Waits for what others may never finish, no longer than allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pgsnap import interrupts

T = TypeVar("T")


def within(seconds: float, task: Callable[[], T], otherwise: T) -> T:
    """Return what *task* returns, or *otherwise* when it takes longer than *seconds*."""
    return beside(task, otherwise)(seconds)


def beside(task: Callable[[], T], otherwise: T) -> Callable[[float], T]:
    """Begin *task* beside other work. Return what waits for it, for so many seconds at most, and
    returns what it did, or *otherwise*.

    The thread dies with the process: whatever holds it up holds up nothing else.
    """
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(task()), daemon=True)
    thread.start()

    def result(seconds: float) -> T:
        interrupts.ended(thread, seconds)
        return done[0] if done else otherwise

    return result
