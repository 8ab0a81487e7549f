"""Waiting for the clock of a file system."""

from __future__ import annotations

import time
from pathlib import Path


def until_the_clock_ticked(folder: Path) -> None:
    """Wait until a change of *folder* gets another time than it has."""
    before, probe = folder.stat().st_ctime_ns, folder.parent.with_suffix(".probe")
    deadline = time.monotonic() + 60
    while True:
        probe.touch()
        if probe.stat().st_mtime_ns > before:
            break
        assert time.monotonic() < deadline
    probe.unlink()
