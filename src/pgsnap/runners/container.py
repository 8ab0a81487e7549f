"""Runs tools inside a container, by the engine's `exec`.

The client on this host (`docker exec`) is not the tool: when it dies, the tool continues. So kills
are sent inside, and a warden process inside kills what is left when this process dies.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
from collections.abc import Mapping, Sequence

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, SnapError, ToolMissing
from pgsnap.interrupts import Stopped
from pgsnap.limits import CHILD_GRACE_SECONDS
from pgsnap.runners import inside
from pgsnap.runners.base import Tool
from pgsnap.runners.engines import ENGINE_SECONDS, Container, ask
from pgsnap.runners.local import parse_version
from pgsnap.runners.process import LocalChild, start_child

_PROGRAMS = ("psql", "pg_dump", "pg_dumpall")
# A shell, and so an engine, adds this to a signal's number.
_SIGNALLED = 128
_SIGNALS = 64
# How long a tool's exit takes to be visible outside. A client whose output is not read never exits.
_SEEN_SECONDS = 1.0


class ContainerChild:
    """A tool inside; implements `Child`. *client* is the engine's `exec` on this host."""

    def __init__(self, runner: ContainerRunner, client: LocalChild, mark: str, pid: str) -> None:
        self._runner = runner
        self._client = client
        self._mark = mark
        self._pid = pid
        self._is_settled = False

    def read(self, size: int) -> bytes:
        return self._client.read(size)

    def has_output(self, timeout: float | None = None) -> bool:
        return self._client.has_output(timeout)

    def readinto(self, buffer: memoryview) -> int:
        return self._client.readinto(buffer)

    def write(self, data: bytes | memoryview) -> None:
        self._client.write(data)

    def close_input(self) -> None:
        self._client.close_input()

    def wait(self, timeout: float | None = None) -> int:
        return self._status(self._client.wait(timeout))

    def poll(self) -> int | None:
        status = self._client.poll()
        return None if status is None else self._status(status)

    def stop(self) -> None:
        if self.poll() is not None:
            return
        tenths = str(round(CHILD_GRACE_SECONDS * 10))
        with interrupts.deferred():
            self._runner.inside(inside.ASK, self._mark, self._pid, tenths)
            try:
                self.wait(_SEEN_SECONDS)
            except TimeoutError:
                self.kill()

    def kill(self) -> None:
        if self.poll() is not None:
            return
        with interrupts.deferred():
            # First the tool: the exit of its client would close its input.
            self._runner.inside(inside.KILL, self._mark)
            try:
                self.wait(_SEEN_SECONDS)
            except TimeoutError:
                self._is_settled = True
                self._client.kill()

    def stderr_text(self) -> str:
        return self._client.stderr_text()

    def _status(self, status: int) -> int:
        """Return the tool's exit status. A client that was killed itself left its tool running."""
        if status < 0 and not self._is_settled:
            self._is_settled = True
            self._runner.inside(inside.KILL, self._mark)
        if _SIGNALLED < status <= _SIGNALLED + _SIGNALS:
            return _SIGNALLED - status
        return status


class ContainerRunner:
    """Runs tools in a container; implements `Runner`.

    *user* is the user to run them as (None: the container's default user).
    """

    def __init__(self, container: Container, *, user: str | None = None) -> None:
        self.container = container
        self._user = ["--user", user] if user is not None else []
        # Everything that this runner starts has this mark, followed by a serial number.
        self._mark = f"{secrets.token_hex(12)}."
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._warden: LocalChild | None = None
        self._tools: dict[str, list[Tool]] = {}

    def find(self, name: str, major: int | None = None) -> Tool:
        if name not in self._tools:
            self._look_for({name, *_PROGRAMS})
        tools = self._tools[name]
        fitting = [tool for tool in tools if tool.major == major]
        if fitting:
            return fitting[0]
        if not tools:
            raise self._tool_missing(name, major)
        return max(tools, key=lambda tool: tool.version_num)

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        stdout: bool = True,
    ) -> ContainerChild:
        """Raises also ConnectionFailed, if the container is gone."""
        with self._lock:
            if self._warden is None or self._warden.poll() is not None:
                self._warden, _ = self._exec(
                    ["sh", "-c", inside.WARDEN, "snap", self._mark], secrets.token_hex(12), {},
                    stdin=True, stdout=False,
                )  # fmt: skip
        mark = f"{self._mark}{next(self._serial)};"
        client, word = self._exec(
            ["sh", "-c", inside.START, "snap", *argv], mark, env or {}, stdin=stdin, stdout=stdout
        )
        if word == inside.MISSING:
            client.wait()
            raise self._tool_missing(argv[0], None)
        return ContainerChild(self, client, mark, word)

    def free_bytes(self, path: str) -> int | None:
        with contextlib.suppress(SnapError, ValueError, IndexError):
            status, out, _ = ask(self._command(["df", "-Pk", path]))
            if status == 0:
                return int(out.splitlines()[-1].split()[3]) * 1024
        return None

    def inside(self, script: str, *arguments: str) -> None:
        """Run a short script in the container. If that fails there is nothing left to kill, or no
        way to do it."""
        with contextlib.suppress(SnapError):
            ask(self._command(["sh", "-c", script, "snap", *arguments]))

    # -- the engine ----------------------------------------------------------------------------

    def _command(self, argv: Sequence[str], *options: str) -> list[str]:
        here = self.container
        return [here.engine, "exec", *options, *self._user, here.id, *argv]

    def _exec(
        self,
        argv: Sequence[str],
        mark: str,
        env: Mapping[str, str],
        *,
        stdin: bool,
        stdout: bool,
    ) -> tuple[LocalChild, str]:
        """Start *argv* and return it with what it wrote after its mark. Raises ToolMissing,
        ConnectionFailed."""
        variables = {**env, inside.MARK_VARIABLE: mark}
        # The engine reads their values from its own environment, so they are not in the process
        # list.
        options = [word for name in variables for word in ("--env", name)]
        command = self._command(argv, *(["--interactive"] if stdin else []), *options)
        try:
            client = start_child(
                command,
                env={**os.environ, **variables},
                stdin=stdin,
                stdout=stdout,
                mark=f"{mark} ".encode(),
            )
        except (FileNotFoundError, PermissionError) as error:
            raise ToolMissing(
                f"{self.container.engine} is not installed", hint="Put it into PATH."
            ) from error
        try:
            word = client.marked(ENGINE_SECONDS)
        except (TimeoutError, Stopped) as error:
            self.inside(inside.KILL, mark)
            client.kill()
            if isinstance(error, TimeoutError):
                raise self._unreachable("It does not answer.") from None
            raise
        if word is None:
            status = client.wait()
            words = client.stderr_text().strip().splitlines()[-4:]
            raise self._unreachable("\n".join(words) or f"It ended with status {status}.")
        return client, word

    def _unreachable(self, detail: str) -> ConnectionFailed:
        here = self.container
        return ConnectionFailed(
            f"nothing can be run in the container {here.name}",
            detail=detail,
            hint=f"Look whether it runs: {here.engine} ps --all. It needs a shell:"
            f" {here.engine} exec {here.id[:12]} sh -c true",
        )

    # -- tools ---------------------------------------------------------------------------------

    def _look_for(self, names: set[str]) -> None:
        status, out, words = ask(self._command(["sh", "-c", inside.FIND, "snap", *sorted(names)]))
        if status != 0:
            raise self._unreachable(words or f"It ended with status {status}.")
        found: dict[str, list[Tool]] = {name: [] for name in names}
        for line in out.splitlines():
            path, _, version_line = line.partition("\t")
            name = path.rpartition("/")[2]
            version_num = parse_version(version_line)
            if version_num is not None and name in found:
                found[name].append(Tool(name, path, version_num, version_line))
        self._tools.update(found)

    def _tool_missing(self, name: str, major: int | None) -> ToolMissing:
        package = "postgresql-client" if major is None else f"postgresql-client-{major}"
        return ToolMissing(
            f"{name.rpartition('/')[2]} is not in the container {self.container.name}",
            hint="Use an image that holds PostgreSQL's client programs, or install them there:"
            f" `apt install {package}`.",
        )
