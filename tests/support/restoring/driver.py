"""A process that restores, made to be killed: python restore_driver.py REPO DSN BINDIR SNAPSHOT.

Prints one line as each phase begins, and "done" at the end. PHASE and DELAY, where given, make it
kill itself with SIGKILL so many seconds after that phase began.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore


class Deadly:
    """Progress that kills its own process in the phase that was named."""

    def __init__(self, phase: str, delay_seconds: float) -> None:
        self._phase = phase
        self._delay_seconds = delay_seconds

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        if name == self._phase:
            kill = threading.Timer(
                self._delay_seconds, lambda: os.kill(os.getpid(), signal.SIGKILL)
            )
            kill.daemon = True
            kill.start()

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        pass

    def say(self, line: str) -> None:
        pass


def main(
    repo_path: str, dsn: str, bindir: str, snapshot: str, phase: str = "", delay: str = "0"
) -> None:
    server = Server(Endpoint.parse(dsn, {}), LocalRunner(Path(bindir)))
    chosen: SnapshotId = bytes.fromhex(snapshot)
    with Repository.open(Path(repo_path)) as repo:
        plan = plan_restore(repo, chosen, server, RestoreOptions(discard_old=True))
        restore(repo, plan, server, progress=Deadly(phase, float(delay)))
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
