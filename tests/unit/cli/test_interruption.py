"""Signals that come where Python cannot take an exception wait until it can."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgsnap.cli.interruption import Terminated, signals_as_errors

PARTLY_IMPORTED = """
import os, signal

class Named:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.{name})

class Owner:
    # What is raised in there comes out as a RuntimeError.
    named = Named()

is_whole = True
"""


def wait_after(action: Callable[[], object]) -> None:
    """Call *action*, and wait for what comes of a signal in it."""
    action()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_import_is_finished_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, early: bool
) -> None:
    module = f"interrupted_by_{name.lower()}{'_early' * early}"
    if early:
        # So they are called until `importlib` is imported.
        for late, name_then in (
            ("importlib._bootstrap", "_frozen_importlib"),
            ("importlib._bootstrap_external", "_frozen_importlib_external"),
        ):
            monkeypatch.setitem(sys.modules[late].__dict__, "__name__", name_then)
    (tmp_path / f"{module}.py").write_text(PARTLY_IMPORTED.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    expected = KeyboardInterrupt if name == "SIGINT" else Terminated
    with pytest.raises(expected), signals_as_errors():
        wait_after(lambda: importlib.import_module(module))
    assert sys.modules[module].is_whole


class _Interrupted(threading.Event):
    """What a thread's starter waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.02)
        return super().wait(timeout)


def test_a_thread_that_is_being_started_is_known_to_its_starter() -> None:
    known = []

    def start() -> None:
        thread = threading.Thread(target=time.sleep, args=(0.05,))
        thread._started = _Interrupted()  # type: ignore[attr-defined]
        thread.start()
        known.append(thread)

    with pytest.raises(Terminated), signals_as_errors():
        wait_after(start)
    assert len(known) == 1
    known[0].join()


def test_a_program_that_is_being_started_is_known_to_its_starter() -> None:
    known = []

    def start() -> None:
        parent = os.getpid()
        known.append(
            subprocess.Popen(
                ["sleep", "60"],
                # While its starter waits to hear that it runs.
                preexec_fn=lambda: (os.kill(parent, signal.SIGTERM), time.sleep(0.02)),
            )
        )

    with pytest.raises(Terminated), signals_as_errors():
        wait_after(start)
    (child,) = known
    child.kill()
    child.wait()


def test_what_is_deleted_meanwhile_does_not_swallow_a_signal() -> None:
    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.001)

    with pytest.raises(Terminated), signals_as_errors():
        wait_after(Closing)


def test_a_lock_that_a_block_stands_for_is_given_back() -> None:
    lock = threading.Lock()
    main = threading.main_thread().ident
    assert main is not None

    @contextmanager
    def locked() -> Iterator[None]:
        with lock:
            yield

    def use_it() -> None:
        while True:
            with locked():
                pass

    def interrupt() -> None:
        time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGTERM)

    for _ in range(100):
        thread = threading.Thread(target=interrupt)
        is_held = True
        try:
            with signals_as_errors():
                thread.start()
                use_it()
        except Terminated:
            # While the traceback is there, nothing is taken back that was left half done.
            is_held = lock.locked()
        thread.join()
        assert not is_held


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_as_errors():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
