"""A small program that cleans up after a private cluster when its owner is gone.

It runs standalone, with the standard library only: `python keeper.py FOLDER`. It waits for the
end of its standard input, that is until the owner closes it or dies in any way; then it ends
every process whose working folder is FOLDER/data, and removes FOLDER.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

_QUIT_SECONDS = 5.0
_KILL_SECONDS = 5.0


def processes_in(folder: str) -> list[int]:
    """Return the processes whose working folder is *folder*: the postmaster and its children."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                where = (process / "cwd").readlink()
            except OSError:
                continue
            if str(where) == folder:
                found.append(int(process.name))
    return found


def end_processes(folder: str) -> None:
    """End the processes in *folder* like PostgreSQL's immediate shutdown, if need be by force."""
    for number, seconds in ((signal.SIGQUIT, _QUIT_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        for pid in processes_in(folder):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        while processes_in(folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def main(folder: str) -> None:
    """Wait for the owner's end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end_processes(str(Path(folder) / "data"))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
