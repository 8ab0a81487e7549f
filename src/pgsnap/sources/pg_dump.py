"""One run of pg_dump: its child process, its output as events, and the reason if it fails."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence

from pgsnap.errors import DumpIncomplete, Interrupted, SnapError, SourceError, TablesChanged
from pgsnap.limits import READ_BYTES
from pgsnap.model import DumpEvent, SectionKind, SectionStart
from pgsnap.patterns import regex
from pgsnap.runners.base import Child, Tool
from pgsnap.sessions.server import Server
from pgsnap.sources.blockers import blockers
from pgsnap.sources.blocks import blocks
from pgsnap.sources.dump_failure import (
    LOCKED_HINT,
    dump_failed,
    failed_to_lock,
    lock_timed_out,
    refused_connection,
)

# Between the end of its session and its exit.
_END_SECONDS = 2.0
# The server's functions that word the definitions of these see what is there now. Of one that was
# dropped after pg_dump's snapshot they say nothing, and pg_dump writes that.
_EMPTY = regex(
    rb"^--\n-- Name: ([^\n]*); Type: (?:INDEX|TRIGGER|STATISTICS);[^\n]*\n--\n\n;\n", re.M
)
_ENTRY_BYTES_MAX = 4096
_NAMED_MAX = 10


class PgDump:
    """A pg_dump of *database* of *server*. `stop` may be called from any thread, and twice.

    *application* is the application_name that identifies its backend. *warnings* is what it wrote
    to standard error although it succeeded. *was_refused*: it could not connect. *empty*: names of
    what it wrote without a definition.
    """

    def __init__(
        self,
        server: Server,
        database: str,
        tool: Tool,
        arguments: Sequence[str],
        *,
        lock_wait_seconds: float,
    ) -> None:
        """Start it. Raises ToolMissing, ConnectionFailed."""
        self.application = f"snap pg_dump {os.urandom(8).hex()}"
        self.warnings: tuple[str, ...] = ()
        self.was_refused = False
        self.empty: list[str] = []
        self._server = server
        self._database = database
        self._lock = threading.Lock()
        self._is_stopped = False
        self._lock_wait_seconds = lock_wait_seconds
        self._started = time.monotonic()
        self.child: Child = server.start_tool(
            tool, arguments, database=database, application_name=self.application
        )
        # Late: a commit that reads only changes mostly does without, and it takes time to import.
        from pgsnap.dump.reader import DumpReader

        self.reader = DumpReader(blocks(self.child))

    @property
    def waited_for_locks(self) -> bool:
        """Whether it has been running for as long as it may wait for a lock."""
        return time.monotonic() - self._started >= self._lock_wait_seconds

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections. Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput,
        Interrupted."""
        try:
            yield from self._looked_through(self.reader.events())
        except DumpIncomplete:
            # The stream ended too early: only pg_dump can say why.
            self._expect_success()
            raise
        self._expect_success()

    def _looked_through(self, events: Iterator[DumpEvent]) -> Iterator[DumpEvent]:
        is_post_data, rest = False, b""
        for event in events:
            if isinstance(event, SectionStart):
                is_post_data, rest = event.name.kind is SectionKind.POST_DATA, b""
            elif is_post_data and isinstance(event, bytes):
                rest += event
                found = list(_EMPTY.finditer(rest))
                self.empty += [one[1].decode("utf-8", "surrogateescape") for one in found]
                begin = found[-1].end() if found else 0
                rest = rest[max(begin, len(rest) - _ENTRY_BYTES_MAX) :]
            yield event

    def ends_soon(self) -> bool:
        """Return whether it is about to exit, even if nothing more of its output is read."""
        try:
            self.child.wait(_END_SECONDS)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
        if self.child.poll() is None:
            self.child.stop()
            # It may have been cut off from its backend, which must not continue reading. If the
            # server is no longer reachable, there is nothing left to terminate.
            with contextlib.suppress(SnapError):
                self._server.terminate(self.application)

    def _expect_success(self) -> None:
        """Wait for its exit. Raises DumpFailed, ConnectionFailed, Interrupted."""
        while self.child.read(READ_BYTES):
            # Read any further output, or pg_dump would block on it.
            continue
        status = self.child.wait()
        with self._lock:
            if self._is_stopped:
                raise Interrupted("the dump was stopped")
        stderr = self.child.stderr_text()
        if status == 0:
            self.warnings = tuple(line for line in stderr.splitlines() if line.strip())
            return
        raise self._failure(status, stderr)

    def _failure(self, status: int, stderr: str) -> SourceError:
        endpoint = self._server.endpoint.with_database(self._database)
        refused = refused_connection(stderr, endpoint)
        if refused is not None:
            self.was_refused = True
            return refused
        failure = dump_failed("pg_dump", status, stderr, endpoint, self._server.version_num)
        if lock_timed_out(stderr) or failed_to_lock(failure):
            blockers = self._blockers()
            failure.detail = "\n".join([*blockers, failure.detail])
            failure.hint = failure.hint or (LOCKED_HINT if blockers else "")
        return failure

    def _blockers(self) -> list[str]:
        """Return one sentence for each table that another session has locked right now."""
        try:
            with self._server.connect(self._database) as session:
                return blockers(session)
        except SourceError:
            return []


def expect_definitions(run: PgDump | None) -> None:
    """Raise TablesChanged if *run*, read to its end, wrote something without its definition."""
    if run is None or not run.empty:
        return
    words = ", ".join(run.empty[:_NAMED_MAX])
    if len(run.empty) > _NAMED_MAX:
        words += f" and {len(run.empty) - _NAMED_MAX} more"
    raise TablesChanged(
        f"indexes, triggers or statistics were dropped while pg_dump began to read: {words}",
        detail="pg_dump wrote them without their definitions.",
        hint="Run it again when the migration is over.",
    )
