"""The Runner protocol: where a tool runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pgsnap.values import dataclass

BINDIR = "SNAP_PG_BINDIR"
"""The variable that names folders of PostgreSQL's programs, searched before all others."""


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
    """A running tool. The beginning and the end of its standard error are kept; it never blocks on
    it."""

    def read(self, size: int) -> bytes:
        """Return up to *size* bytes of its standard output, b"" at its end. Blocks."""

    def has_output(self, timeout: float | None = None) -> bool:
        """Wait until `read` would not block, and return True; False after *timeout* seconds, or if
        a signal arrived that `interrupts.check` raises."""

    def readinto(self, buffer: memoryview) -> int:
        """Like `read`, but fill *buffer* from its start and return the number of bytes; 0 at the
        end."""

    def write(self, data: bytes | memoryview) -> None:
        """Write all of *data* to its standard input. Raises BrokenPipeError if it has exited."""

    def close_input(self) -> None:
        """Close its standard input. Only after everything was written: psql takes this for
        success."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit and return its exit status (negative: killed by that signal).

        Raises TimeoutError.
        """

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""

    def stop(self) -> None:
        """Stop it: SIGTERM, then SIGKILL after the grace period. May be called from any thread,
        twice, and after its exit."""

    def kill(self) -> None:
        """Kill it at once with SIGKILL, where it runs. Its input is not closed before it is
        dead."""

    def stderr_text(self) -> str:
        """Return what it has written to standard error; of a long text the beginning and the
        end."""


class Runner(Protocol):
    """Where tools run: this host, or a container.

    Every implementation passes tests/contract/runner_contract.py. A child dies with this process.
    """

    def find(self, name: str, major: int | None = None) -> Tool:
        """Return the program *name* (pg_dump, pg_dumpall, psql): of version *major* if there is
        one, else the newest. Raises ToolMissing with the command that installs it."""

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        stdout: bool = True,
    ) -> Child:
        """Start a program; *env* is added to its environment. Without *stdin* its input is empty.

        Raises ToolMissing.
        """

    def free_bytes(self, path: str) -> int | None:
        """Return the free bytes on the file system of *path*, None if unknown."""
