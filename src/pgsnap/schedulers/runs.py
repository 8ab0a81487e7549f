"""One run of a job: the verb as a process of its own, its output, its end.

A process of its own, because the record must be written and the alert must be sent even if
the verb is killed, or crashes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pgsnap import interrupts
from pgsnap.files.folder import Folder
from pgsnap.limits import CHILD_GRACE_SECONDS, MIB
from pgsnap.runners.programs import ended, lines_of
from pgsnap.values import dataclass

LOG_BYTES_MAX = 1 * MIB
"""A log is put aside at this size, as NAME.1, in place of the one before."""

_LINE_BYTES_MAX = 64 * 1024
_ERROR_MARK = "error: "


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. *error* is its error message, or its last line if it printed none."""

    exit_code: int
    error: str


def run_verb(
    argv: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    say: Callable[[str], None],
) -> Ended:
    """Run *argv* in *folder* to its end; each line that it prints is passed to *say*.

    If this process is ended, so is the child: it is asked to stop, then killed. Raises Stopped.
    """
    child = subprocess.Popen(
        argv,
        env=dict(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    error = last = ""
    try:
        with interrupts.killed_too(child.kill):
            for raw in lines_of(child, _LINE_BYTES_MAX):
                line = raw.decode("utf-8", "backslashreplace").rstrip()
                say(line)
                start, mark, message = line.partition(_ERROR_MARK)
                if mark and start.strip() in ("snap:", "pgsnap:"):
                    error = message
                elif line:
                    last = line
            code = ended(child) or 0
    finally:
        if child.poll() is None:
            _stop(child)
        child.stdout.close()
    if code < 0:
        with contextlib.suppress(ValueError):
            error = f"killed by {signal.Signals(-code).name}"
        code = 128 - code
    return Ended(code, (error or last) if code else "")


def _stop(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    # It may have to drop a scratch database first.
    with interrupts.deferred(), interrupts.killed_too(child.kill):
        if ended(child, 6 * CHILD_GRACE_SECONDS) is None:
            child.kill()
            child.wait()


class LogFile:
    """A log of bounded size with mode 0600: lines are appended; two generations are kept."""

    def __init__(self, folder: Folder, name: str, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._folder = folder
        self._name = name
        self._bytes_max = bytes_max

    def write(self, line: str) -> None:
        """Append a line. Raises OSError, UntrustedPath."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        file = self._folder.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(file).st_size
            os.write(file, data)
        finally:
            os.close(file)
        if size + len(data) >= self._bytes_max:
            self._folder.rename(self._name, f"{self._name}.1")
