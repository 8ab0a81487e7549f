"""The tour: snap's main job, step by step, on a throw-away PostgreSQL.

Every command is the real one, run as a user would run it, with its real output.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsnap import interrupts
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.demo import sample
from pgsnap.errors import SnapError
from pgsnap.runners.programs import ended, output

DATABASE = "shop"
_BLOCK_BYTES = 1 << 20

# Lines that differ between two dumps of the same database: pg_dump's random key.
_RANDOM_LINE = re.compile(rb"^\\(?:un)?restrict [A-Za-z0-9]+$", re.MULTILINE)

_COUNTS = """
SELECT format('%s users (%s columns), %s orders, %s messages, average price %s',
    (SELECT count(*) FROM shop.users),
    (SELECT count(*) FROM information_schema.columns
      WHERE table_schema = 'shop' AND table_name = 'users'),
    (SELECT count(*) FROM shop.orders),
    (SELECT count(*) FROM shop.chat_messages),
    (SELECT round(avg(price), 2) FROM shop.products))
"""


class DemoFailed(SnapError):
    """A step of the tour did not have the expected result."""

    kind = "demo"


@dataclass(frozen=True, slots=True)
class TourReport:
    """What the tour proved. The digests are SHA-256 of pg_dump's output without its random key."""

    server_version: str
    dump_bytes: int
    digest_before: str
    digest_after: str
    repository_bytes: int
    seconds: float


def run(
    binaries: Binaries,
    *,
    say: Callable[[str], None],
    scale: float = 1.0,
    show_output: bool = True,
) -> TourReport:
    """Run the tour: *say* gets its lines, the commands write to this process's output.

    Everything that it creates is removed afterwards. Raises DemoFailed, ClusterError.
    """
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="snap-demo-"))
    try:
        with Cluster(binaries) as cluster:
            tour = _Tour(cluster, folder, say, show_output=show_output)
            return tour.take(scale, started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Tour:
    def __init__(
        self, cluster: Cluster, folder: Path, say: Callable[[str], None], *, show_output: bool
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._say = say
        self._show_output = show_output
        self._number = 0

    def take(self, scale: float, started: float) -> TourReport:
        # Without Debian's addition in parentheses.
        version = self._cluster.psql("SHOW server_version").partition(" (")[0]
        self._step(f"A private PostgreSQL {version} is running. An application's database goes in.")
        self._load(scale)
        before, dump_bytes = self._digest()
        self._say(f"  {self._counts()}")
        self._say(f"  pg_dump of it: {dump_bytes / 1e6:.0f} MB, SHA-256 {before[:16]}…")

        self._step("A repository, and a snapshot before the risky change.")
        self._snap("init")
        self._snap("commit", "-m", "before the migration", "--tag", "pre-migration")

        self._step("Committed again, the unchanged database costs next to nothing.")
        self._snap("commit", "-m", "nothing happened")

        self._step("The migration. It is not a good one.")
        sample.migrate_badly(self._cluster, DATABASE)
        self._say(f"  {self._counts()}")

        self._step("The damage is committed too: nobody noticed yet.")
        self._snap("commit", "-m", "after the migration")
        self._snap("log")

        self._step("Somebody noticed. Back to before, into the live database, in one step.")
        self._snap("restore", "pre-migration", "--yes")
        self._say(f"  {self._counts()}")
        after, _ = self._digest()
        self._say("  SHA-256 of pg_dump, before and after:")
        self._say(f"  {before}")
        self._say(f"  {after}")
        if after != before:
            raise DemoFailed("the database after the restore is not the one before")
        self._say("  The same, byte for byte.")

        self._step("Even the restore can be taken back, and so can that.")
        self._snap("undo", "--yes")
        self._say(f"  {self._counts()}")
        self._snap("undo", "--yes")
        self._say(f"  {self._counts()}")
        if self._digest()[0] != before:
            raise DemoFailed("the database after two undos is not the one before")

        repository_bytes = sum(
            file.stat().st_size for file in self._repository.rglob("*") if file.is_file()
        )
        self._say("")
        self._say("That was all on a throw-away server; it is gone now. The repository with all")
        self._say(f"its snapshots took {repository_bytes / 1e6:.0f} MB.")
        self._say('On your own database: export DATABASE_URL=…, snap init, snap commit -m "first"')
        seconds = time.monotonic() - started
        return TourReport(version, dump_bytes, before, after, repository_bytes, seconds)

    @property
    def _repository(self) -> Path:
        return self._folder / "database" / "backups"

    def _step(self, words: str) -> None:
        self._number += 1
        self._say("")
        self._say(f"{self._number}. {words}")

    def _counts(self) -> str:
        return self._cluster.psql(_COUNTS, DATABASE)

    def _load(self, scale: float) -> None:
        """Load the sample through a dump: PostgreSQL prints some CHECK constraints with other casts
        after the first reload, and never changes them again."""
        seed = "shop_seed"
        self._cluster.create_database(seed)
        sample.load(self._cluster, seed, scale)
        self._cluster.create_database(DATABASE)
        restore = [self._program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        with self._started(
            [self._program("pg_dump"), "-d", self._cluster.dsn(seed)], stdout=subprocess.PIPE
        ) as dump:
            with self._started(
                [*restore, "-d", self._cluster.dsn(DATABASE)],
                stdin=dump.stdout,
                stdout=subprocess.DEVNULL,
            ) as psql:
                loaded = ended(psql)
            dumped = ended(dump)
        interrupts.check()
        if loaded or dumped:
            raise DemoFailed("the sample could not be dumped and loaded")
        sample.apply_properties(self._cluster, DATABASE)
        self._cluster.drop_database(seed)

    def _digest(self) -> tuple[str, int]:
        """Return the SHA-256 of pg_dump's output without its random key, and its size in bytes."""
        hasher = hashlib.sha256()
        size = 0
        rest = b""
        with self._started(
            [self._program("pg_dump"), "-d", self._cluster.dsn(DATABASE)], stdout=subprocess.PIPE
        ) as dump:
            for block in output(dump):
                size += len(block)
                whole, line_end, rest = (rest + block).rpartition(b"\n")
                hasher.update(_RANDOM_LINE.sub(b"", whole) + line_end)
            hasher.update(rest)
            dumped = ended(dump)
        interrupts.check()
        if dumped:
            raise DemoFailed("pg_dump failed")
        return hasher.hexdigest(), size

    def _snap(self, *words: str) -> None:
        shown = " ".join(f'"{word}"' if " " in word else word for word in words)
        self._say(f"  $ snap {shown}")
        with self._started(
            [sys.executable, "-m", "pgsnap.cli", *words],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=None if self._show_output else subprocess.DEVNULL,
        ) as snap:
            code = ended(snap)
        interrupts.check()
        if code:
            raise DemoFailed(f"snap {words[0]} ended with exit code {code}")

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program during the block; if it is still running afterwards, it is asked to end."""
        with subprocess.Popen(argv, env=self._environment(), **options) as child:
            try:
                with interrupts.killed_too(child.kill):
                    yield child
            finally:
                if child.poll() is None:
                    child.terminate()

    def _program(self, name: str) -> str:
        return self._cluster.binaries.program(name)

    def _environment(self) -> Mapping[str, str]:
        """Return this process's environment, pointed at the demo and nowhere else."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "SNAP_")) and name != "DATABASE_URL"
        }
        environment["DATABASE_URL"] = self._cluster.dsn(DATABASE)
        environment["PATH"] = os.pathsep.join(
            [str(self._cluster.binaries.bindir), os.environ.get("PATH", "")]
        )
        return environment
