"""A crontab of a test's own, and a process that looks like the cron daemon of the machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgsnap.schedulers import daemons, systemd
from support.running.commandline import CommandLine

_CRONTAB = """#!/bin/sh
file="{file}"
case "$1" in
-l) [ -f "$file" ] || {{ echo "no crontab for me" >&2; exit 1; }}; cat "$file" ;;
-r) rm -f "$file" ;;
-) [ ! -e "$file.full" ] || {{ echo "no space left" >&2; exit 1; }}; cat > "$file" ;;
esac
"""
_DAEMON = (
    "import signal; open('/proc/self/comm', 'w').write('cron'); print('here', flush=True);"
    " signal.pause()"
)


@dataclass(frozen=True)
class Cron:
    """The file that the test's `crontab` keeps, and the daemon. Where *full* exists, nothing can be
    written."""

    table: Path
    program: Path
    daemon: subprocess.Popen[str]

    @property
    def full(self) -> Path:
        return self.table.with_name(f"{self.table.name}.full")

    def end(self) -> None:
        self.daemon.kill()
        self.daemon.wait()


@contextlib.contextmanager
def daemon_running() -> Iterator[subprocess.Popen[str]]:
    """Let a process look like a cron daemon until the block ends."""
    daemon = subprocess.Popen([sys.executable, "-c", _DAEMON], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    try:
        assert daemon.stdout.readline() == "here\n"
        yield daemon
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()


@contextlib.contextmanager
def running(snap: CommandLine, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Cron]:
    """Let nothing but this be cron for *snap*, whatever runs on the machine."""
    table, program = folder / "table", folder / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(_CRONTAB.format(file=table))
    program.chmod(0o755)
    snap.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with daemon_running() as daemon:
        processes = folder / "processes"
        (processes / "1").mkdir(parents=True)
        (processes / str(daemon.pid)).symlink_to(f"/proc/{daemon.pid}")
        monkeypatch.setattr(daemons, "PROC", processes)
        monkeypatch.setattr(systemd, "BOOTED", folder / "no systemd")
        yield Cron(table, program, daemon)
