"""A signal ends what the main thread does where that asks, once; what must not be cut is not."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pgsnap import interrupts
from pgsnap.files import flock
from pgsnap.interrupts import Stopped
from pgsnap.repository.index.index import Index
from pgsnap.runners import process, programs

NEVER = 3600.0
SOURCE = Path(interrupts.__file__).parents[1]


@pytest.fixture
def handled() -> Iterator[None]:
    with interrupts.handled():
        yield


@pytest.fixture
def later(handled: None) -> Iterator[None]:
    """SIGINT comes a moment later, from outside."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT])
    timer.start()
    yield
    timer.join()


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "stopped by SIGTERM"),
        (signal.SIGHUP, "stopped by SIGHUP"),
    ],
)
def test_a_signal_is_raised_once_where_that_is_asked(number: signal.Signals, words: str) -> None:
    interrupts.check()
    signal.raise_signal(number)
    with pytest.raises(Stopped, match=f"^{words}$"):
        interrupts.check()
    # What cleans up is not cut, not by another of them either.
    signal.raise_signal(signal.SIGTERM)
    interrupts.check()
    assert interrupts.count() == 2


@pytest.mark.usefixtures("handled")
def test_other_threads_are_not_interrupted() -> None:
    signal.raise_signal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(interrupts.check)
        assert future.exception() is None
    with pytest.raises(Stopped):
        interrupts.check()


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize("block", [interrupts.deferred, interrupts.uncut])
def test_what_must_not_be_cut_is_stopped_after_it(block: Callable[[], object]) -> None:
    with block():  # type: ignore[attr-defined]
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
            interrupts.sleep(0.01)
        interrupts.check()
        assert not interrupts.is_due()
    assert interrupts.is_due()
    with pytest.raises(Stopped):
        interrupts.check()


def test_handlers_are_put_back_and_ignored_signals_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    hang_up = signal.getsignal(signal.SIGHUP)
    try:
        with interrupts.handled():
            assert signal.getsignal(signal.SIGHUP) is not hang_up
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is hang_up
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def a_pipe() -> tuple[int, int]:
    return os.pipe()


def wait_for_a_pipe() -> None:
    interrupts.readable(a_pipe()[0])


def wait_for_room_in_a_pipe() -> None:
    child = process.start_child(["sleep", "60"], env={}, stdin=True, stdout=False)
    try:
        child.write(bytes(64 * 1024 * 1024))
    finally:
        child.kill()


def wait_for_output() -> None:
    child = process.start_child(["sleep", "60"], env={}, stdin=False, stdout=True)
    try:
        child.read(10)
    finally:
        child.kill()


def wait_for_a_child() -> None:
    child = process.start_child(["sleep", "60"], env={}, stdin=False, stdout=True)
    try:
        child.wait()
    finally:
        child.kill()


def wait_for_an_event() -> None:
    interrupts.happens(threading.Event(), NEVER)


def wait_for_a_future() -> None:
    interrupts.result(Future[None]())


def wait_for_a_thread() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        interrupts.ended(thread)
    finally:
        end.set()


def wait_for_what_is_held_up() -> None:
    end = threading.Event()
    try:
        interrupts.on_thread(end.wait, forget=lambda found: None)
    finally:
        end.set()


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    with lock, interrupts.locked(lock):
        pass


def wait_for_a_locked_file() -> None:
    mine, other = (os.open("/dev/null", os.O_RDONLY) for _ in range(2))
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        flock.lock(mine, timeout=NEVER)
    finally:
        os.close(mine)
        os.close(other)


def wait_for_the_index() -> None:
    index = Index(None)
    index.query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )


@pytest.mark.usefixtures("later")
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "wait",
    [
        lambda: interrupts.sleep(NEVER),
        lambda: programs.run(["sleep", "60"]),
        wait_for_a_pipe,
        wait_for_room_in_a_pipe,
        wait_for_output,
        wait_for_a_child,
        wait_for_an_event,
        wait_for_a_future,
        wait_for_a_thread,
        wait_for_what_is_held_up,
        wait_for_a_lock,
        wait_for_a_locked_file,
        wait_for_the_index,
    ],
)
def test_a_signal_ends_every_wait(wait: Callable[[], object]) -> None:
    with pytest.raises(Stopped):
        wait()


@pytest.mark.usefixtures("later")
@pytest.mark.timeout(30)
def test_a_write_to_a_pipe_that_nobody_reads_is_ended_by_the_handler_itself() -> None:
    _, end = a_pipe()
    with pytest.raises(Stopped), interrupts.raised_at_once():
        os.write(end, bytes(1024 * 1024))


@pytest.mark.usefixtures("handled")
def test_waits_return_what_they_waited_for() -> None:
    reads, writes = a_pipe()
    assert interrupts.wait([reads], timeout=0) == []
    os.write(writes, b"x")
    interrupts.readable(reads)
    assert interrupts.wait([reads], [writes]) == [reads, writes]
    with ThreadPoolExecutor(1) as pool:
        assert interrupts.result(pool.submit(lambda: 7)) == 7
        late = pool.submit(time.sleep, 0.2)
        assert interrupts.result(late) is None
        with pytest.raises(TimeoutError, match="its own"):
            interrupts.result(pool.submit(raise_timeout))
    assert not interrupts.happens(threading.Event(), 0.01)
    assert interrupts.on_thread(lambda: 8, forget=lambda found: None) == 8
    done = programs.run(["cat"], input=b"words")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"words", b"")
    with pytest.raises(TimeoutError):
        programs.run(["sleep", "60"], timeout=0.1)


def raise_timeout() -> None:
    raise TimeoutError("its own")


@pytest.mark.usefixtures("later")
def test_what_is_left_behind_is_closed_once_it_comes() -> None:
    come, forgotten = threading.Event(), threading.Event()

    def task() -> str:
        come.wait()
        return "late"

    with pytest.raises(Stopped):
        interrupts.on_thread(task, forget=lambda found: forgotten.set())
    come.set()
    assert forgotten.wait(60)


# Waits until so many signals were received, ready for each.
READY = """
def received(number):
    while interrupts.count() < number:
        before = interrupts.count()
        print("ready", flush=True)
        while interrupts.count() == before:
            time.sleep(0.01)
"""


def ending(code: str, *signals: signal.Signals) -> tuple[int, str, str]:
    """Run *code* in a process that gets *signals*, each once it says that it is ready for it;
    return its exit code, and what it wrote after that."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"from pgsnap import interrupts\nimport time\n{READY}{code}"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for number in signals:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        # A second Ctrl-C that comes sooner is taken for the first one.
        time.sleep(0.5)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


CLEANING = """
undo = interrupts.handle()
interrupts.set_last_words("at once\\n")
try:
    received(1)
    interrupts.check()
finally:
    received(4)
    print("clean", flush=True)
"""


def test_a_closed_standard_stream_is_not_taken_for_the_wake_up_pipe() -> None:
    code = """
import os
os.close(0)
os.close(2)
undo = interrupts.handle()
print("ready", os.pipe(), flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"from pgsnap import interrupts\n{code}"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.stdout == "ready (0, 2)\n"


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    found = ending(CLEANING, signal.SIGINT, signal.SIGINT)
    assert found == (interrupts.EXIT_CODE, "", "at once\n")


def test_a_ctrl_c_after_another_signal_ends_the_process_at_once() -> None:
    found = ending(CLEANING, signal.SIGTERM, signal.SIGINT)
    assert found == (interrupts.EXIT_CODE, "", "at once\n")


def test_the_same_signal_from_several_senders_does_not_cut_what_cleans_up() -> None:
    _, out, err = ending(CLEANING, signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)
    assert out == "clean\n"
    assert err.endswith("pgsnap.interrupts.Stopped: interrupted\n")


def test_a_second_ctrl_c_waits_for_what_must_not_be_cut() -> None:
    code = """
undo = interrupts.handle()
with interrupts.uncut():
    received(2)
    print(interrupts.count(), flush=True)
interrupts.check()
"""
    found, out, err = ending(code, signal.SIGINT, signal.SIGINT)
    assert out == "2\n"
    assert err.endswith("pgsnap.interrupts.Stopped: interrupted\n")
    # Since Python 3.14 a process that this ends ends by the signal.
    assert found in (1, -signal.SIGINT)


def test_a_second_ctrl_c_kills_what_was_started() -> None:
    code = """
import subprocess
undo = interrupts.handle()
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
with interrupts.killed_too(child.kill):
    with interrupts.deferred():
        received(3)
"""
    started = time.monotonic()
    # The pipes are at their end only when the child is gone too.
    code_, _, err = ending(code, signal.SIGINT, signal.SIGINT)
    assert (code_, err) == (interrupts.EXIT_CODE, "snap: error: interrupted\n")
    assert time.monotonic() - started < 30
