"""A child process that cannot outlive us, with pipes that never block it unnoticed."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import IO

from pgsnap import interrupts
from pgsnap.limits import (
    CHILD_GRACE_SECONDS,
    READ_BYTES,
    STDERR_BYTES_MAX,
    STDERR_HEAD_BYTES,
)
from pgsnap.runners.programs import ended

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a forked child must not take the dynamic loader's lock.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# How often a blocked write checks whether its reader is still alive.
_ALIVE_SECONDS = 0.5
# A grandchild may hold standard error open after the child's death: wait no longer than this.
_STDERR_SECONDS = 2.0
# Replaces what is left out of a long standard error.
_GAP = b"\n[...]\n"


class LocalChild:
    """A running tool; implements `Child`."""

    def __init__(self, process: subprocess.Popen[bytes], mark: bytes = b"") -> None:
        """*mark* is the prefix of a line of its standard error that is for us: see `marked`."""
        self._process = process
        self._stdin = _detach(process.stdin)
        self._stdout = _detach(process.stdout)
        process.stdin = process.stdout = None
        assert process.stderr is not None
        self._stderr = _Ends(mark)
        self._drain = threading.Thread(
            target=self._stderr.drain, args=(process.stderr,), name="stderr", daemon=True
        )
        self._drain.start()
        if self._stdin is not None:
            os.set_blocking(self._stdin.number, False)

    @property
    def pid(self) -> int:
        """Its process ID, which is also its process group ID."""
        return self._process.pid

    def read(self, size: int) -> bytes:
        if self._stdout is None or self._stdout.closed:
            return b""
        interrupts.readable(self._stdout.number)
        data = os.read(self._stdout.number, size)
        if not data:
            # Closed only by the reader itself, so that no other thread's file can get this number
            # while a read waits on it.
            self._stdout.close()
        return data

    def has_output(self, timeout: float | None = None) -> bool:
        if self._stdout is None or self._stdout.closed:
            return True
        return bool(interrupts.wait([self._stdout.number], timeout=timeout))

    def readinto(self, buffer: memoryview) -> int:
        if self._stdout is None or self._stdout.closed:
            return 0
        interrupts.readable(self._stdout.number)
        count = os.readv(self._stdout.number, [buffer])
        if not count:
            self._stdout.close()
        return count

    def write(self, data: bytes | memoryview) -> None:
        if self._stdin is None or self._stdin.closed:
            raise BrokenPipeError
        view = memoryview(data)
        while view:
            interrupts.check()
            if not interrupts.wait(writes=[self._stdin.number], timeout=_ALIVE_SECONDS):
                if self._process.poll() is not None:
                    raise BrokenPipeError
                continue
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._stdin.number, view) :]

    def close_input(self) -> None:
        if self._stdin is not None:
            self._stdin.close()

    def wait(self, timeout: float | None = None) -> int:
        status = ended(self._process, timeout)
        if status is None:
            raise TimeoutError
        interrupts.ended(self._drain, _STDERR_SECONDS)
        return status

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        with interrupts.deferred():
            self._signal(signal.SIGTERM)
            try:
                self.wait(CHILD_GRACE_SECONDS)
            except TimeoutError:
                self.kill()

    def kill(self) -> None:
        with interrupts.deferred():
            self._signal(signal.SIGKILL)
            self.wait()

    def stderr_text(self) -> str:
        return self._stderr.text()

    def marked(self, timeout: float) -> str | None:
        """Wait for the line that begins with the mark and return its rest; None if standard error
        ended without one. The line is left out of `stderr_text`. Raises TimeoutError."""
        return self._stderr.marked(timeout)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            # The whole session: a wrapper script must not leave its tool running.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


class _Descriptor:
    """A file descriptor that is closed once, at the latest when it is no longer referenced."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._close = weakref.finalize(self, os.close, number)

    @property
    def closed(self) -> bool:
        return not self._close.alive

    def close(self) -> None:
        self._close()


class _Ends:
    """Keeps the beginning and the end of a stream of any length."""

    def __init__(self, mark: bytes = b"") -> None:
        self._bytes = bytearray()
        self._is_cut = False
        self._lock = threading.Lock()
        self._mark = mark
        self._word: str | None = None
        self._settled = threading.Event()

    def drain(self, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 64 * 1024):
                with self._lock:
                    self._bytes += data
                    if self._mark:
                        self._look_for_mark()
                    self._cut()
        self._settled.set()

    def text(self) -> str:
        with self._lock:
            text = bytes(self._bytes)
            if self._is_cut:
                text = text[:STDERR_HEAD_BYTES] + _GAP + text[STDERR_HEAD_BYTES:]
            return text.decode("utf-8", "replace")

    def marked(self, timeout: float) -> str | None:
        if not interrupts.happens(self._settled, timeout):
            raise TimeoutError
        return self._word

    def _cut(self) -> None:
        """Remove the excess from the middle."""
        excess = len(self._bytes) + len(_GAP) - STDERR_BYTES_MAX
        if excess > 0:
            self._is_cut = True
            del self._bytes[STDERR_HEAD_BYTES : STDERR_HEAD_BYTES + excess]

    def _look_for_mark(self) -> None:
        found = self._bytes.find(self._mark)
        end = self._bytes.find(b"\n", found)
        if found < 0 or end < 0:
            return
        self._word = self._bytes[found + len(self._mark) : end].decode("utf-8", "replace")
        del self._bytes[found : end + 1]
        self._mark = b""
        self._settled.set()


class _Starter:
    """The thread that forks.

    The kernel sends the parent-death signal when the *thread* that forked ends, not the process.
    So all children are started by one thread that lives as long as the process does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()

    def run(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Run *job* on that thread and return its result, or raise its error."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="starter", daemon=True)
                self._thread.start()
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, future))
        # Not interruptible: otherwise the child would be lost.
        return future.result()

    def _loop(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                future.set_exception(error)
            del job, future


_STARTER = _Starter()


def start_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bool,
    stdout: bool,
    mark: bytes = b"",
) -> LocalChild:
    """Start a program in its own session, which dies with this process. Raises OSError.

    In its own session it gets no SIGINT from the terminal: we decide what Ctrl-C ends.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=die_with_parent if _LIBC is not None else None,
        )
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _widen(stream.fileno())
        return process

    return LocalChild(_STARTER.run(start), mark)


def _widen(number: int) -> None:
    """Make a pipe as large as one read: fewer context switches between us and the tool."""
    size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if size is not None:
        # Refused if the user's pipes already have too many pages: slower, but not wrong.
        with contextlib.suppress(OSError):
            fcntl.fcntl(number, size, READ_BYTES)


def _detach(stream: IO[bytes] | None) -> _Descriptor | None:
    """Take over the file descriptor of one of Popen's streams."""
    if stream is None:
        return None
    number = os.dup(stream.fileno())
    stream.close()
    return _Descriptor(number)
