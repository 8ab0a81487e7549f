"""Jobs of a pool that whoever waits for them does as well."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.repository.splicing.jobs import Job


class BusyPool(ThreadPoolExecutor):
    """A pool of one thread, which is at something else until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(1)
        self.go_on = threading.Event()
        self.submit(self.go_on.wait, 30)

    def __exit__(self, *error: object) -> None:
        self.go_on.set()
        super().__exit__(None, None, None)


def test_what_no_thread_has_begun_is_done_by_who_waits_for_it() -> None:
    with BusyPool() as pool:
        assert Job(pool, threading.get_ident).result(()) == threading.get_ident()


def test_later_jobs_are_done_while_a_thread_is_at_the_first() -> None:
    with ThreadPoolExecutor(1) as pool:
        begun, second_was_done = threading.Event(), threading.Event()
        first: Job[bool] = Job(pool, lambda: begun.set() or second_was_done.wait(30))
        second: Job[None] = Job(pool, second_was_done.set)
        assert begun.wait(30)
        # Without help the only thread would wait for what comes after it.
        assert first.result((second,))
        second.result(())


def test_the_error_of_a_later_job_is_raised_where_its_result_is_wanted() -> None:
    def fail() -> None:
        failed.set()
        raise CorruptionError("damaged")

    with ThreadPoolExecutor(1) as pool:
        begun, failed = threading.Event(), threading.Event()
        first: Job[bool] = Job(pool, lambda: begun.set() or failed.wait(30))
        second: Job[None] = Job(pool, fail)
        assert begun.wait(30)
        assert first.result((second,))
        with pytest.raises(CorruptionError, match="damaged"):
            second.result(())


def test_a_job_that_was_cancelled_is_never_done() -> None:
    with BusyPool() as pool:
        done: list[int] = []
        job: Job[None] = Job(pool, lambda: done.append(1))
        assert job.cancel()
        pool.go_on.set()
    assert not done


def test_a_job_that_was_done_cannot_be_cancelled() -> None:
    with BusyPool() as pool:
        job = Job(pool, lambda: 1)
        assert job.result(()) == 1
        assert not job.cancel()
