"""What the tours are shown with: a server with the sample on it, and the commands of one user.

Every command is the real one, run as a user would run it, with its real output.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgsnap import interrupts
from pgsnap.cluster.cluster import Cluster
from pgsnap.demo import sample
from pgsnap.errors import SnapError
from pgsnap.patterns import regex
from pgsnap.runners.programs import ended, output
from pgsnap.values import dataclass

DATABASE = "shop"

# Lines that differ between two dumps of the same database: pg_dump's random key.
_RANDOM_LINE = regex(rb"^\\(?:un)?restrict [A-Za-z0-9]+$", re.MULTILINE)

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


class Narrator:
    """Writes the lines of a tour; its steps are numbered. *pause* is the block around commands that
    write to the terminal themselves."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        show_output: bool,
        pause: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.say = say
        self.pause = pause
        self.show_output = show_output
        self._number = 0

    def step(self, words: str) -> None:
        self._number += 1
        self.say("")
        self.say(f"{self._number}. {words}")


class Stage:
    """A machine: its server, and the *folder* with the home and the work of its user, whose
    commands get *environment* beside what this process has that is nobody's settings."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        narrator: Narrator,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.work = folder / "work"
        self._home = folder / "home"
        for made in (self.work, self._home):
            made.mkdir(parents=True)
        self._cluster = cluster
        self._narrator = narrator
        self._given = dict(environment or {})

    def show_counts(self) -> None:
        """Show what is in the database."""
        self._narrator.say(f"  {self._cluster.psql(_COUNTS, DATABASE)}")

    def server_version(self) -> str:
        # Without Debian's addition in parentheses.
        return self._cluster.psql("SHOW server_version").partition(" (")[0]

    def compare(self, before: str) -> str:
        """Show the digest of the database beside the one *before*, and return it. Raises
        DemoFailed if they differ."""
        after, _ = self.digest()
        self._narrator.say("  SHA-256 of pg_dump, before and after:")
        self._narrator.say(f"  {before}")
        self._narrator.say(f"  {after}")
        if after != before:
            raise DemoFailed("the database after the restore is not the one before")
        self._narrator.say("  The same, byte for byte.")
        return after

    def load_and_show(self, scale: float) -> tuple[str, int]:
        """Make the database, and show and return the digest and the size of its dump."""
        self._narrator.say(f"  Making the sample, about {100 * scale:.0f} MB …")
        self._load(scale)
        digest, dump_bytes = self.digest()
        self.show_counts()
        self._narrator.say(f"  pg_dump of it: {dump_bytes / 1e6:.0f} MB, SHA-256 {digest[:16]}…")
        return digest, dump_bytes

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

    def digest(self) -> tuple[str, int]:
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

    def write_program(self, name: str, sql: str) -> None:
        """Put a program into the folder that runs *sql* on the database, as a migration does."""
        (self.work / f"{name}.sql").write_text(sql, "utf-8")
        program = self.work / name
        program.write_text(
            f'#!/bin/sh\nexec psql -X -q -v ON_ERROR_STOP=1 -f {name}.sql "$DATABASE_URL"\n',
            "utf-8",
        )
        program.chmod(0o755)

    def snap(self, *words: str, code: int = 0) -> None:
        """Show a command, then run it. Raises DemoFailed unless it ends with this exit code."""
        shown = " ".join(f'"{word}"' if " " in word else word for word in words)
        self._narrator.say(f"  $ snap {shown}")
        with (
            self._narrator.pause(),
            self._started(
                [sys.executable, "-m", "pgsnap.cli", *words],
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=None if self._narrator.show_output else subprocess.DEVNULL,
                # An error is part of the show where it is expected.
                stderr=None if self._narrator.show_output or not code else subprocess.DEVNULL,
            ) as snap,
        ):
            ended_with = ended(snap)
        interrupts.check()
        if ended_with != code:
            raise DemoFailed(f"snap {words[0]} ended with exit code {ended_with}")

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
        """Return this process's environment, pointed at the demo and nowhere else. HOME stays: the
        Python that runs snap may have packages there."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "SNAP_", "AWS_"))
            and not name.lower().endswith("_proxy")
            and name != "DATABASE_URL"
        }
        for kind in ("CACHE", "CONFIG", "STATE"):
            environment[f"XDG_{kind}_HOME"] = str(self._home / kind.lower())
        environment["DATABASE_URL"] = self._cluster.dsn(DATABASE)
        # Nobody is asked for a key in the middle of the tour.
        environment["SNAP_PAGER"] = ""
        environment["PATH"] = os.pathsep.join(
            [str(self._cluster.binaries.bindir), os.environ.get("PATH", "")]
        )
        return {**environment, **self._given}
