"""Signals become errors, at a moment when Python itself can take one."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

_Hook: TypeAlias = "Callable[[sys.UnraisableHookArgs], object]"

_AGAIN_SECONDS = 0.01

# While these run, an exception out of a signal handler does harm. In an import it may be swallowed
# by a callback, come out as another error, or leave a module half made; a thread that is just being
# started would be known to nobody, and nobody would wait for it; between a lock that was taken and
# the block that gives it back, nobody would.
_WHOLE_MODULES = frozenset(
    {
        *("importlib._bootstrap", "importlib._bootstrap_external"),
        # The same, until something imports `importlib` itself.
        *("_frozen_importlib", "_frozen_importlib_external"),
    }
)
_WHOLE_CALLS = frozenset(
    {
        ("threading", "Thread.start"),
        ("threading", "Condition.__enter__"),
        ("threading", "Condition.__exit__"),
        ("concurrent.futures.thread", "ThreadPoolExecutor.submit"),
        # The child would run on, known to nobody.
        ("subprocess", "Popen.__init__"),
    }
)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP. A kind of KeyboardInterrupt: whatever stops cleanly for Ctrl-C does so
    for these too, and no handler of ordinary errors can swallow it."""


@contextmanager
def signals_as_errors() -> Iterator[None]:
    """Raise in the main thread Terminated on SIGTERM and SIGHUP, and KeyboardInterrupt on SIGINT.

    Signals that this process ignores (nohup, a background job) stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, _stop)
    told, sys.unraisablehook = sys.unraisablehook, _swallowed(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = told
        for number, handler in previous.items():
            signal.signal(number, handler)


def _swallowed(tell: _Hook) -> _Hook:
    """Return a hook that sends a signal again where Python swallows its exception: in what runs as
    an object is deleted. *tell* gets all others."""

    def again(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            tell(unraisable)
        elif isinstance(unraisable.exc_value, Terminated):
            _send_again(signal.Signals[str(unraisable.exc_value)])
        else:
            _send_again(signal.SIGINT)

    return again


def end_at_once_on_interrupt() -> None:
    """For a process that only has to end: Python would tell of Ctrl-C with a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    if _must_end_first(frame):
        _send_again(number)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise Terminated(signal.Signals(number).name)


def _must_end_first(frame: FrameType | None) -> bool:
    # The block that it begins or ends may stand for a lock. What runs in the block has a frame of
    # its own.
    if frame is not None and frame.f_globals.get("__name__") == "contextlib":
        return True
    # From `main` on down it is somebody else's: a program may call it while it is imported.
    while frame is not None and frame.f_globals.get("__name__") != "pgsnap.cli":
        module, code = frame.f_globals.get("__name__"), frame.f_code
        if module in _WHOLE_MODULES or (module, code.co_qualname) in _WHOLE_CALLS:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    def wait() -> None:
        time.sleep(_AGAIN_SECONDS)
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    # No `threading.Thread`: one may be starting in this very moment, with its lock held.
    _thread.start_new_thread(wait, ())
