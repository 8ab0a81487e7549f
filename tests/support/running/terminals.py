"""Programs on a terminal where somebody answers."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


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
