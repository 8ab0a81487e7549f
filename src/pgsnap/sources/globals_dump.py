"""The roles and tablespaces of a server, read by pg_dumpall while pg_dump is running."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from pgsnap import interrupts
from pgsnap.errors import Interrupted, SourceError
from pgsnap.limits import GLOBALS_BYTES_MAX
from pgsnap.runners.base import Child
from pgsnap.sessions.server import Server
from pgsnap.sources.blocks import blocks


class GlobalsDump:
    """Runs ``pg_dumpall --globals-only``. A failure is not an error: the database is worth more
    than the list of its roles.

    *status* is "full", "without-passwords", or "none: " and the reason; it is valid after `text`.
    """

    def __init__(
        self, server: Server, application_name: str, *, is_superuser: bool, allow_newer: bool
    ) -> None:
        self._server = server
        self._application = application_name
        self._is_superuser = is_superuser
        self._allow_newer = allow_newer
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._abandoned = False
        self._early: Future[bytes | None] | None = None
        self.status = "none"

    def begin(self) -> None:
        """Start it in parallel to other work. `text` starts it if this was not called."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="snap-globals")
        self._early = thread.submit(self._read)
        thread.shutdown(wait=False)

    def text(self) -> bytes | None:
        """Return pg_dumpall's complete output, or None. Raises Interrupted."""
        found = interrupts.result(self._early) if self._early is not None else None
        # While pg_dump runs, a role may lack the connections that it has otherwise.
        return self._read() if found is None else found

    def abandon(self) -> bool:
        """Stop it, from any thread; return whether it was running."""
        with self._lock:
            self._abandoned = True
            child, self._child = self._child, None
        if child is None or child.poll() is not None:
            return False
        child.stop()
        return True

    def _read(self) -> bytes | None:
        arguments = ["--globals-only", "--no-password"]
        if not self._is_superuser:
            arguments.append("--no-role-passwords")
        try:
            tool = self._server.tool("pg_dumpall", allow_newer=self._allow_newer)
            database = self._server.maintenance_database()
            with self._lock:
                self._check()
                child = self._child = self._server.start_tool(
                    tool,
                    [*arguments, "--database=" + database],
                    database=database,
                    application_name=self._application,
                )
        except SourceError as error:
            self.status = f"none: {error.message}"
            return None
        parts: list[bytes] = []
        size = 0
        for block in blocks(child):
            parts.append(block)
            size += len(block)
            if size > GLOBALS_BYTES_MAX:
                child.stop()
                break
        status = child.wait()
        with self._lock:
            self._child = None
            self._check()
        if size > GLOBALS_BYTES_MAX:
            self.status = "none: the list of roles is too large"
            return None
        if status != 0:
            words = " ".join(child.stderr_text().split())
            self.status = f"none: pg_dumpall failed: {words[:300]}"
            return None
        self.status = "full" if self._is_superuser else "without-passwords"
        return b"".join(parts)

    def _check(self) -> None:
        if self._abandoned:
            raise Interrupted("the dump was stopped")
