"""The folder for everything temporary of a test run, in memory where there is room for it.

The tests make and delete files by the ten thousand and have most of them synced; on a disk this
takes more time than all that is tested. It is also a program, `python temporary.py FOLDER`: it
waits for the end of its standard input, which comes however the test run ends, and removes FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MEMORY = Path("/dev/shm")
# Twice what a run was seen to need at most; with the numbers of `make test-long` it is more.
ROOM_BYTES = (8 if os.environ.get("SNAP_SHARE") == "1" else 2) << 30
_REMOVE_SECONDS = 60.0


def in_memory(folder: Path = MEMORY, memory: Path = Path("/proc/meminfo")) -> bool:
    """Tell whether *folder* is one in memory that can hold a test run, and run programs."""
    try:
        found = os.statvfs(folder)
        free = dict(line.split(":") for line in memory.read_text().splitlines())["MemAvailable"]
    except (OSError, KeyError, ValueError):
        return False
    return (
        os.access(folder, os.W_OK | os.X_OK)
        and not found.f_flag & os.ST_NOEXEC
        and found.f_bavail * found.f_frsize >= ROOM_BYTES
        and int(free.split()[0]) * 1024 >= 2 * ROOM_BYTES
    )


def use_temporary_folder() -> Callable[[], None]:
    """Let this process and its children put temporary files in a folder of their own, in memory
    where that has room; return what removes it. A folder that SNAP_TEST_FOLDER names is taken
    instead and kept, with all that failing tests leave."""
    before = os.environ.get("TMPDIR")
    remover = None
    folder = Path(os.environ.get("SNAP_TEST_FOLDER", ""))
    if not folder.is_absolute():
        under = MEMORY if in_memory() else None
        folder = Path(tempfile.mkdtemp(prefix="snap-tests-", dir=under))
        # It removes the folder also after a SIGKILL.
        remover = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        # The user that PostgreSQL runs as must come through.
        folder.chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)

    def remove() -> None:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        if remover is not None:
            remover.communicate()

    return remove


def main(folder: str) -> None:
    """Wait for the end of the test run, then remove *folder*, which others may still write to."""
    while os.read(0, 4096):
        pass
    deadline = time.monotonic() + _REMOVE_SECONDS
    while time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        # A test may have left folders that are closed to their owner.
        for parent, names, _ in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    (Path(parent) / name).chmod(0o700)
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
