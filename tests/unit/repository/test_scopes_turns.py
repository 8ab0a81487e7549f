"""Threads that take turns."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgsnap.repository.scopes import aside, in_turn

_SECONDS = 30


def test_another_thread_waits_for_its_turn() -> None:
    begun, order = threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        # Time enough for the other one to go ahead, if it could.
        threading.Event().wait(0.2)
        order.append("first")

    with ThreadPoolExecutor(2) as pool:
        pool.submit(in_turn, first)
        assert begun.wait(_SECONDS)
        pool.submit(in_turn, order.append, "second")
    assert order == ["first", "second"]


def test_another_thread_has_its_turn_while_work_is_done_aside() -> None:
    begun, went_ahead = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return went_ahead.wait(_SECONDS)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_turn, aside, wait)
        assert begun.wait(_SECONDS)
        pool.submit(in_turn, went_ahead.set)
        assert first.result()


def test_a_turn_goes_on_after_work_aside_that_failed() -> None:
    begun, go_on, order = threading.Event(), threading.Event(), list[str]()

    def fail() -> None:
        raise ValueError("no")

    def first() -> None:
        with pytest.raises(ValueError, match="no"):
            aside(fail)
        begun.set()
        go_on.wait(_SECONDS)
        order.append("first")

    def second() -> None:
        order.append("second")

    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(in_turn, first)
        assert begun.wait(_SECONDS)
        other = pool.submit(in_turn, second)
        threading.Event().wait(0.2)
        go_on.set()
        done.result()
        other.result()
    assert order == ["first", "second"]


def test_a_turn_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        in_turn(lambda: 1 // 0)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_turn, lambda: 1).result(_SECONDS) == 1


def test_work_aside_is_done_at_once_by_a_thread_that_is_not_in_its_turn() -> None:
    assert in_turn(lambda: ThreadPoolExecutor(1).submit(aside, lambda: 2).result(_SECONDS)) == 2
