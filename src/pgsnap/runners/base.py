"""The Runner protocol: where a tool runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

BINDIR = "SNAP_PG_BINDIR"
"""The variable that names folders of PostgreSQL's programs, before all other places."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A PostgreSQL client program. *version_num* is as server_version_num: 150018."""

    name: str
    path: str
    version_num: int
    version_line: str

    @property
    def major(self) -> int:
        return self.version_num // 10000


class Child(Protocol):
    """A running tool. Its standard error is collected, its beginning and its end are kept, and it
    never blocks the tool."""

    def read(self, size: int) -> bytes:
        """Return up to *size* bytes of its standard output, b"" at its end. Blocks."""

    def has_output(self, timeout: float | None = None) -> bool:
        """Wait until `read` returns at once, and return True; False after *timeout* seconds, and
        where a signal came that `interrupts.check` raises."""

    def readinto(self, buffer: memoryview) -> int:
        """Like `read`, but fill *buffer* from its start and return how much; 0 at the end."""

    def write(self, data: bytes | memoryview) -> None:
        """Write all of *data* to its standard input. Raises BrokenPipeError when it is gone."""

    def close_input(self) -> None:
        """Give it end-of-file. Only after everything was written: psql takes it for success."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status (negative: killed by that signal).

        Raises TimeoutError."""

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after the grace period. May be called from any thread,
        twice, and after its end."""

    def kill(self) -> None:
        """End it at once with SIGKILL, where it runs. Its input is not closed before it is dead."""

    def stderr_text(self) -> str:
        """Return what it wrote to standard error so far; of a long text its beginning and end."""


class Runner(Protocol):
    """Where tools run: this host, or a container.

    Every implementation passes tests/contract/runner_contract.py. A child dies with this process.
    """

    def find(self, name: str, major: int | None = None) -> Tool:
        """Return the program *name* (pg_dump, pg_dumpall, psql): of *major* where there is one,
        else the newest. Raises ToolMissing with the command that installs it."""

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        stdout: bool = True,
    ) -> Child:
        """Start a program; *env* is added to its environment. Without *stdin* it reads nothing.

        Raises ToolMissing."""

    def free_bytes(self, path: str) -> int | None:
        """Return how many bytes may still be written where *path* lies, None where that cannot be
        known."""
