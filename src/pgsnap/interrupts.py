"""Signal handling: a signal only requests the end; snap ends at points where it is safe.

The handler only records the signal; a byte in the wake-up pipe ends every wait of the main thread.
Working code calls `check`, which raises `Stopped` in the caller's frame, once per run: clean-up is
never interrupted. A second Ctrl-C ends the process at once, unless `uncut` forbids it. Other
threads are never interrupted: the main thread ends what they wait for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import FrameType

_T = TypeVar("_T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CODE = 130
# How often things without a descriptor (locks, threads, futures) are polled.
POLL_SECONDS = 0.05
# Programs between the terminal and snap may pass on a Ctrl-C that it has received already.
_SAME_CTRL_C_SECONDS = 0.25
_MAIN = threading.main_thread().ident


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end. A subclass of KeyboardInterrupt, so that no handler of
    ordinary errors can swallow it."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__("interrupted" if number == signal.SIGINT else f"stopped by {name}")


class _State:
    """The signals received so far. Handlers and `check` run in the main thread only."""

    def __init__(self) -> None:
        # The first signal received (0: none), its time, and the number of signals.
        self.number = 0
        self.since = 0.0
        self.count = 0
        self.is_raised = False
        # How many blocks defer it, and how many of them even a second Ctrl-C may not interrupt.
        self.deferred = 0
        self.uncut = 0
        # Whether the handler itself raises.
        self.raises = False
        # The read end of the wake-up pipe; -1 while no signals are handled.
        self.read_end = -1
        # What is called to kill children before the process ends at once, and its last message.
        self.kills: list[Callable[[], None]] = []
        self.last_words = b"snap: error: interrupted\n"


_state = _State()


def handle() -> Callable[[], None]:
    """Handle SIGINT, SIGTERM and SIGHUP from now on, if this is the main thread; return a function
    that undoes it. Signals that this process ignores (nohup, a background job) stay ignored."""
    global _state
    if threading.get_ident() != _MAIN:
        return lambda: None
    before, handlers = _state, _handlers()
    ends = [_beyond_the_standard_streams(end) for end in os.pipe()]
    _state = _State()
    _state.read_end = ends[0]
    wakes = signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    for number in handlers:
        signal.signal(number, _note)

    def undo() -> None:
        global _state
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        _state = before
        for end in ends:
            os.close(end)

    return undo


def _beyond_the_standard_streams(number: int) -> int:
    """Return the descriptor under a number of at least 3: where a standard stream is closed, its
    number is reused, and what is written to it is not meant for snap."""
    end = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(number)
    os.set_blocking(end, False)
    return end


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """`handle` within the block."""
    undo = handle()
    try:
        yield
    finally:
        undo()


def end_at_once() -> None:
    """Restore the default action of the signals: the process is only about to end anyway."""
    for number in _handlers():
        signal.signal(number, signal.SIG_DFL)


def _handlers() -> dict[signal.Signals, Any]:
    """Return the handlers of the signals that are not ignored."""
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}


def _note(number: int, frame: FrameType | None) -> None:
    state = _state
    state.count += 1
    if not state.number:
        state.number, state.since = number, time.monotonic()
    elif number == signal.SIGINT and not state.uncut and _is_another(state):
        _end_now()
    if state.raises:
        check()


def _is_another(state: _State) -> bool:
    return time.monotonic() - state.since > _SAME_CTRL_C_SECONDS


def _end_now() -> NoReturn:
    """End this process and its children; tools that a runner started die with the runner."""
    for kill in tuple(_state.kills):
        with contextlib.suppress(OSError):
            kill()
    with contextlib.suppress(OSError):
        os.write(2, _state.last_words)
    os._exit(EXIT_CODE)


def set_last_words(words: str) -> None:
    """Set what is written to standard error when a second Ctrl-C ends the process."""
    _state.last_words = words.encode("utf-8", "backslashreplace")


# -- called by working code ------------------------------------------------------------------------


def check() -> None:
    """Raise Stopped if a signal was received, once. Cheap enough for loops."""
    if _state.number and _is_due():
        _state.is_raised = True
        raise Stopped(_state.number)


def check_left_behind() -> None:
    """Raise Stopped in a pool's thread once the main thread was stopped, which waits for the thread
    to end. For long work whose result is no longer needed then."""
    if _state.is_raised and threading.get_ident() != _MAIN:
        raise Stopped(_state.number)


def is_due() -> bool:
    """Return whether `check` would raise."""
    return bool(_state.number) and _is_due()


def is_pending() -> bool:
    """Return whether a signal was received and not raised yet, even if it is deferred."""
    return bool(_state.number) and not _state.is_raised


def count() -> int:
    """Return how many signals were received: for code that reports them without being stopped."""
    return _state.count


def _is_due() -> bool:
    state = _state
    return not (state.is_raised or state.deferred) and threading.get_ident() == _MAIN


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Keep `check` from raising within the block; the first call after it does. A second Ctrl-C
    still ends the process."""
    if threading.get_ident() != _MAIN:
        yield
        return
    state = _state
    state.deferred += 1
    try:
        yield
    finally:
        state.deferred -= 1


@contextlib.contextmanager
def undone_by(undo: Callable[[], object]) -> Iterator[None]:
    """Run *undo* if the block raises; only a second Ctrl-C interrupts it."""
    try:
        yield
    except BaseException:
        with deferred():
            undo()
        raise


@contextlib.contextmanager
def uncut() -> Iterator[None]:
    """Let no signal interrupt the block, not even a second Ctrl-C: what would be left behind is
    worse than waiting. The block itself reports what it waits for, see `count`."""
    if threading.get_ident() != _MAIN:
        yield
        return
    state = _state
    state.uncut += 1
    try:
        with deferred():
            yield
    finally:
        state.uncut -= 1


@contextlib.contextmanager
def raised_at_once() -> Iterator[None]:
    """Let the handler itself raise within the block: for a single blocking system call that cannot
    be waited for otherwise and leaves nothing to undo."""
    if threading.get_ident() != _MAIN:
        yield
        return
    state = _state
    state.raises = True
    try:
        yield
    finally:
        state.raises = False


@contextlib.contextmanager
def killed_too(kill: Callable[[], None]) -> Iterator[None]:
    """Call *kill* if a second Ctrl-C ends the process within the block."""
    state = _state
    state.kills.append(kill)
    try:
        yield
    finally:
        state.kills.remove(kill)


# -- waits -----------------------------------------------------------------------------------------


def wait(
    reads: Sequence[int] = (), writes: Sequence[int] = (), timeout: float | None = None
) -> list[int]:
    """Wait until one of these descriptors is ready, and return those that are; none after *timeout*
    seconds, or when a signal arrived that `check` would raise."""
    poll = select.poll()
    for number in reads:
        poll.register(number, select.POLLIN)
    for number in writes:
        poll.register(number, select.POLLOUT)
    wakes = _state.read_end if _is_watching() else -1
    if wakes >= 0:
        poll.register(wakes, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not is_due():
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        found = [number for number, _ in poll.poll(None if left is None else left * 1000)]
        if wakes in found:
            # The signal's handler runs before the next iteration; other signals write here too.
            _empty(wakes)
            found.remove(wakes)
        if found or (deadline is not None and time.monotonic() >= deadline):
            return found
    return []


def readable(number: int) -> None:
    """Wait until a descriptor can be read without blocking. Raises Stopped."""
    if _is_watching():
        while not wait([number]):
            check()
        check()


def sleep(seconds: float) -> None:
    """Sleep. Raises Stopped."""
    check()
    wait(timeout=seconds)
    check()


def result(future: Future[_T]) -> _T:
    """Return what *future* returns, or raise what it raises. Raises Stopped."""
    while not future.done():
        check()
        # Its own TimeoutError is raised below.
        with contextlib.suppress(TimeoutError):
            return future.result(POLL_SECONDS if _is_watching() else None)
    check()
    return future.result()


def on_thread(task: Callable[[], _T], forget: Callable[[_T], None]) -> _T:
    """Return what *task* returns; it may block where no signal ends the wait. It runs on a thread,
    which a signal leaves behind; what it returns later is passed to *forget*. Raises Stopped."""
    if _state.read_end < 0 or threading.get_ident() != _MAIN:
        return task()
    # Imported here, since it would slow down every start.
    from concurrent.futures import Future

    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 - raised below
            future.set_exception(error)

    def clean(done: Future[_T]) -> None:
        if done.exception() is None:
            forget(done.result())

    threading.Thread(target=run, name="held-up", daemon=True).start()
    try:
        return result(future)
    except Stopped:
        future.add_done_callback(clean)
        raise


def happens(event: threading.Event, timeout: float | None = None) -> bool:
    """Wait for *event*; return whether it was set within *timeout* seconds. Raises Stopped."""
    return _polled(event.wait, timeout)


def ended(thread: threading.Thread, timeout: float | None = None) -> bool:
    """Wait for *thread* to end; return whether it did within *timeout* seconds. Raises Stopped."""

    def join(seconds: float | None) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    return _polled(join, timeout)


@contextlib.contextmanager
def locked(lock: threading.Lock) -> Iterator[None]:
    """Hold *lock* within the block. Raises Stopped while it waits."""
    if not lock.acquire(blocking=False):
        _polled(lambda seconds: lock.acquire(timeout=-1 if seconds is None else seconds), None)
    try:
        yield
    finally:
        lock.release()


def _polled(look: Callable[[float | None], bool], timeout: float | None) -> bool:
    """Call *look* with the seconds it may wait, until it returns true or *timeout* has passed."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        check()
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if _is_watching():
            left = POLL_SECONDS if left is None else min(left, POLL_SECONDS)
        if look(left):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _is_watching() -> bool:
    """Return whether a signal that arrives now should end a wait."""
    state = _state
    return (
        state.read_end >= 0
        and not (state.is_raised or state.deferred)
        and threading.get_ident() == _MAIN
    )


def _empty(number: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(number, 512):
            pass
