"""A psql that reads rows: statements go in, rows and marks come out.

A mark is a line that COPY never writes as a row: a backslash and a period. It follows only if the
statement succeeded, since psql exits at the first error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from pgsnap import interrupts
from pgsnap.errors import SourceError
from pgsnap.limits import CHILD_GRACE_SECONDS, KIB, READ_BYTES
from pgsnap.patterns import regex
from pgsnap.runners.base import Child
from pgsnap.sessions.base import literal
from pgsnap.sessions.server import Server
from pgsnap.sources.direct.statements import SETTINGS
from pgsnap.sources.dump_failure import dump_failed, refused_connection

Taker = Callable[[bytes], None]

_ARGUMENTS = (
    "--no-psqlrc",
    "--no-password",
    "--quiet",
    "--no-align",
    "--tuples-only",
    "--set=ON_ERROR_STOP=on",
)
_MARK = b"\n\\.\n"
_PRINT_MARK = b"\\echo '\\\\.'\n"
# As in `blocks`: psql writes 4 KiB at a time.
_CRUMB_BYTES = 32 * KIB
_NAP_SECONDS = 0.001
_SQLSTATE = regex(r"^(?:psql:[^\n]*?: )?[^\n:]+:  ([0-9A-Z]{5}): ", re.M)


class RowsPsql:
    """One psql within the snapshot *snapshot_name*. Used by one thread; `kill` from any."""

    def __init__(
        self,
        server: Server,
        database: str,
        snapshot_name: str,
        *,
        application: str,
        encoding: str,
        lock_wait_seconds: float,
    ) -> None:
        """Start it; *application* is the application_name that identifies its backend. Raises
        ToolMissing, ConnectionFailed."""
        self._server = server
        self._endpoint = server.endpoint.with_database(database)
        self._child: Child = server.start_tool(
            server.runner.find("psql"),
            _ARGUMENTS,
            database=database,
            stdin=True,
            application_name=application,
        )
        # Begins where a mark ended: the line end before the next one.
        self._rest = b"\n"
        self._buffer = bytearray(READ_BYTES)
        # How many marks are still to come.
        self._marks = 0
        wait = f"{max(1, round(lock_wait_seconds * 1000))}ms"
        settings = (*SETTINGS, ("client_encoding", encoding), ("lock_timeout", wait))
        self._begin = "".join(f"SET {name} = {literal(value)};\n" for name, value in settings) + (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
            f"SET TRANSACTION SNAPSHOT {literal(snapshot_name)};\n"
        )

    def begin(self, *statements: bytes) -> None:
        """Enter the snapshot, and run *statements*, whose locks it keeps. Raises DumpFailed (see
        `sqlstate`), ConnectionFailed."""
        script = [b"\\set VERBOSITY verbose\n", self._begin.encode()]
        script += [statement + b";\n" for statement in statements]
        script += [b"\\set VERBOSITY default\nSAVEPOINT snap;\n", _PRINT_MARK]
        self._send(b"".join(script))
        self._marks = 1
        self.take(lambda data: None)

    @property
    def sqlstate(self) -> str:
        """The SQLSTATE of the error that ended it in `begin`, "" if there is none."""
        found = _SQLSTATE.search(self._child.stderr_text())
        return found[1] if found else ""

    def ask(self, *copies: bytes, before: bytes = b"") -> None:
        """Send statements; `take` returns the rows of each, in order. The locks that they take
        besides those of `begin` (on indexes) are released after the last."""
        self._marks = len(copies)
        script = [before, *(copy + b";\n" + _PRINT_MARK for copy in copies)]
        self._send(b"".join([*script, b"ROLLBACK TO SAVEPOINT snap;\n"]))

    def take(self, put: Taker) -> None:
        """Pass on the rows of the next statement, in pieces of at most READ_BYTES. Raises
        DumpFailed, ConnectionFailed."""
        room = memoryview(self._buffer)
        filled = len(self._rest)
        room[:filled] = self._rest
        # The first byte is the line end before the answer: no part of it.
        begin, searched = 1, 0
        self._marks -= 1
        while (found := self._find_mark(searched, filled)) < 0:
            searched = max(0, filled - len(_MARK) + 1)
            if filled == len(self._buffer):
                # What is kept may be the beginning of the mark.
                put(bytes(room[begin:searched]))
                kept = filled - searched
                room[:kept] = bytes(room[searched:filled])
                begin, searched, filled = 0, 0, kept
            count = self._child.readinto(room[filled:])
            if not count:
                self._rest = b""
                raise self.failure()
            filled += count
            if count < _CRUMB_BYTES < filled:
                time.sleep(_NAP_SECONDS)
        if found + 1 > begin:
            put(bytes(room[begin : found + 1]))
        self._rest = bytes(room[found + len(_MARK) - 1 : filled])

    def _find_mark(self, start: int, end: int) -> int:
        """Return where the next mark is in the buffer, from *start* to before *end*; -1 if it is
        not there."""
        if self._marks:
            return self._buffer.find(_MARK, start, end)
        # Nothing follows the last one, so that the rows need not be searched.
        return end - len(_MARK) if self._buffer.endswith(_MARK, start, end) else -1

    def close(self) -> None:
        """End it, when nothing is left to be read."""
        self._child.close_input()
        with interrupts.deferred():
            try:
                self._child.wait(CHILD_GRACE_SECONDS)
            except TimeoutError:
                self._child.kill()

    def kill(self) -> bool:
        """End it at once; return whether it was running. Its backend may go on for a while."""
        is_running = self._child.poll() is None
        if is_running:
            self._child.kill()
        return is_running

    def failure(self) -> SourceError:
        """Return the error for its unexpected end."""
        status = self._child.wait()
        stderr = self._child.stderr_text()
        refused = refused_connection(stderr, self._endpoint)
        if refused is not None:
            return refused
        return dump_failed("psql", status, stderr, self._endpoint, self._server.version_num)

    def _send(self, script: bytes) -> None:
        try:
            self._child.write(script)
        except BrokenPipeError:
            raise self.failure() from None
