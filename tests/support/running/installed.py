"""The installed `snap`, run as a user's shell would, on a database that takes it a while."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support.restoring.clients import databases_like
from support.restoring.steps import SCRATCH_OR_KEPT, children_of, is_alive
from support.running.commandline import FOREIGN, Result
from support.servers.databases import Database, is_volatile

SNAP = Path(sys.executable).with_name("snap")
ROWS = 25_000


@dataclass
class Shop:
    """A folder with a repository, a live database, and what each of its states dumps as."""

    database: Database
    folder: Path
    old: list[bytes]
    new: list[bytes]

    @classmethod
    def made(cls, database: Database, folder: Path) -> Shop:
        database.psql(
            "CREATE TABLE orders (id int PRIMARY KEY, state text, pad text);"
            "INSERT INTO orders SELECT g, 'old', md5(g::text) || md5((g+1)::text)"
            f" FROM generate_series(1, {ROWS}) g; CREATE INDEX ON orders (pad, id)"
        )
        shop = cls(database, folder, [], [])
        shop.ok("init")
        shop.ok("commit", "-m", "old", "--tag", "old")
        shop.old = shop.live()
        shop.change()
        return shop

    def change(self) -> None:
        """Bring the live database into its new state."""
        self.database.psql("UPDATE orders SET state = 'new' WHERE id % 10 = 0")
        self.new = self.live()

    def live(self) -> list[bytes]:
        """Return the lines of a dump of the live database, sorted: an UPDATE moves rows."""
        return sorted(self.database.dump().splitlines())

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        path = f"{self.database.cluster.binaries.bindir}{os.pathsep}{clean.get('PATH', '')}"
        home = {"HOME": str(self.folder), "PATH": path, "DATABASE_URL": self.database.dsn}
        return {**clean, **home}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SNAP, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Result:
        child = self.start(*arguments)
        out, err = child.communicate(timeout=120)
        return Result(child.returncode, out, err)

    def ok(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, result.err
        return result

    def timed(self, *arguments: str) -> float:
        """Run, and return how long it took in seconds."""
        started = time.monotonic()
        self.ok(*arguments)
        return time.monotonic() - started

    def cat(self, revision: str) -> bytes:
        done = subprocess.run(
            [SNAP, "cat", revision],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        return done.stdout

    def cat_lines(self, revision: str) -> list[bytes]:
        """Return the lines of a snapshot as `live` returns those of a database."""
        lines = self.cat(revision).splitlines(keepends=True)
        return sorted(line.rstrip(b"\n") for line in lines if not is_volatile(line))

    def history(self) -> int:
        """Return how many snapshots the log shows; the one in state "old" must read back."""
        assert self.cat_lines("old") == self.old
        return len(self.ok("log", "--oneline").out.splitlines())

    def leftovers(self) -> list[str]:
        """Return scratch databases, without the kept ones."""
        found = databases_like(self.database, SCRATCH_OR_KEPT)
        return [name for name in found if "__snap_kept_" not in name]

    def temporary_files(self) -> list[Path]:
        return list((self.folder / "database" / "backups" / "tmp").iterdir())


def interrupt(
    child: subprocess.Popen[str], after_seconds: float, number: signal.Signals, *, tool: str = ""
) -> tuple[str, list[int]]:
    """Send a signal to snap, or to the *tool* that it started, after a while.

    Return what snap said on standard error, and the children that it had.
    """
    time.sleep(after_seconds)
    children = children_of(child.pid)
    if not tool:
        child.send_signal(number)
    for pid in children:
        try:
            if tool and Path(f"/proc/{pid}/comm").read_text().strip() == tool:
                os.kill(pid, number)
        except (FileNotFoundError, ProcessLookupError):
            continue
    _, err = child.communicate(timeout=60)
    return err, children


def gone(pids: list[int]) -> None:
    """Wait until the processes ended: the kernel ends children right after their parent."""
    deadline = time.monotonic() + 60
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, f"children live on: {pids}"
        time.sleep(0.02)


def wait_until_it_listens(child: subprocess.Popen[str]) -> None:
    """Return when snap takes signals: before, Python itself starts, and shows a traceback."""
    bit = 1 << (signal.SIGTERM - 1)
    while child.poll() is None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{child.pid}/status").read_text()
            caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
            if int(caught.split()[1], 16) & bit:
                return
        time.sleep(0.001)
