"""Runs programs to their end, with waits that a signal interrupts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, AnyStr

from pgsnap import interrupts
from pgsnap.limits import READ_BYTES


def ended(process: subprocess.Popen[AnyStr], timeout: float | None = None) -> int | None:
    """Wait for a child's exit; return its status, None if it is still running after *timeout*
    seconds. Raises Stopped."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        # It has exited and was reaped, or this system call is unavailable.
        descriptor = -1
    try:
        while (status := process.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            interrupts.check()
            if descriptor >= 0:
                interrupts.wait([descriptor], timeout=left)
            else:
                interrupts.sleep(interrupts.POLL_SECONDS)
        return status
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def output(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield what a child writes to its standard output, a pipe. Raises Stopped."""
    assert child.stdout is not None
    number = child.stdout.fileno()
    while True:
        interrupts.readable(number)
        data = os.read(number, READ_BYTES)
        if not data:
            return
        yield data


def lines_of(child: subprocess.Popen[bytes], bytes_max: int) -> Iterator[bytes]:
    """Yield the lines that a child writes, longer ones in parts of *bytes_max*. Raises Stopped."""
    rest = b""
    for data in output(child):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield from (line[at : at + bytes_max] for at in range(0, len(line) or 1, bytes_max))
        while len(rest) >= bytes_max:
            yield rest[:bytes_max]
            rest = rest[bytes_max:]
    if rest:
        yield rest


def complete(child: subprocess.Popen[bytes], timeout: float | None = None) -> tuple[bytes, bytes]:
    """Return what a child writes to its pipes, after its exit; it is killed if that takes longer
    than *timeout* seconds. Raises TimeoutError, Stopped."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with interrupts.killed_too(child.kill):
            while True:
                interrupts.check()
                try:
                    # It continues with what it has.
                    return child.communicate(timeout=interrupts.POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if deadline is not None and time.monotonic() > deadline:
                        raise TimeoutError from None
    finally:
        child.kill()
        child.wait()


@contextmanager
def _input(data: bytes | None) -> Iterator[int]:
    """Yield what a child gets as its standard input to read *data* from: a file in memory. Of a
    pipe's, communicate() writes nothing more once its timeout has passed, and the child would wait
    for the rest for ever."""
    if data is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("input"), "w+b") as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float | None = None,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its output, as `subprocess.run` does with *options*; it
    is killed if that takes longer than *timeout* seconds. Without *input* its input is empty.
    Raises OSError, TimeoutError, Stopped."""
    with (
        _input(input) as given,
        subprocess.Popen(
            argv,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            **options,
        ) as child,
    ):
        out, err = complete(child, timeout)
    # If it was killed by a Ctrl-C that the terminal sent to both of us, raise that instead.
    interrupts.check()
    return subprocess.CompletedProcess(argv, child.returncode, out, err)
