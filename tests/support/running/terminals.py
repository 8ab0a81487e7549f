"""Programs on a terminal where somebody answers."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support.running.commandline import SOURCE, CommandLine


def answered(
    arguments: Sequence[str],
    answer: str,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds_max: float = 60,
) -> tuple[int, str]:
    """Run a program on a terminal, type *answer*; return its exit code and what it showed."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        arguments, env=environment, cwd=folder, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(master)
    return child.wait(timeout=seconds_max), shown.decode()


def on_terminal(
    snap: CommandLine, answer: str, *arguments: str, **environment: str
) -> tuple[int, str]:
    """Run snap on a terminal where somebody answers; return its exit code and what it showed."""
    return answered(
        [sys.executable, "-m", "pgsnap.cli", *arguments],
        answer,
        environment={**os.environ, "TERM": "xterm", "PYTHONPATH": str(SOURCE), **environment},
        folder=snap.work,
    )


class Typist:
    """A program on a terminal, that somebody types at and reads."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path):
        self._master, slave = pty.openpty()
        self._child = subprocess.Popen(
            arguments,
            env=environment,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read_until(self, pattern: str, seconds_max: float = 120) -> re.Match[str]:
        """Read until *pattern* has been shown, and forget what was shown until its end."""
        until = time.monotonic() + seconds_max
        while (found := re.search(pattern, self.shown)) is None:
            left = until - time.monotonic()
            assert left > 0, f"not shown: {pattern}, but {self.shown!r}"
            if select.select([self._master], [], [], left)[0]:
                self.shown += os.read(self._master, 65536).decode("utf-8", "replace")
        self.shown = self.shown[found.end() :]
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.wait(timeout=60)
        os.close(self._master)
