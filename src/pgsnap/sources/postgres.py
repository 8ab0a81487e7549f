"""A live database as a source, through pg_dump and pg_dumpall."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from pgsnap.dump.globals import GlobalsReader
from pgsnap.dump.reader import DumpReader
from pgsnap.errors import DumpIncomplete, Interrupted, SnapError, SourceError
from pgsnap.limits import LOCK_WAIT_TIMEOUT_SECONDS, READ_BYTES
from pgsnap.model import DatabaseProperties, DumpEvent, Origin, SourceKind, VolatileLine
from pgsnap.runners.base import Child, Tool
from pgsnap.sessions.server import Server
from pgsnap.sources.base import SourceResult
from pgsnap.sources.blocks import blocks
from pgsnap.sources.dump_failure import dump_failed, lock_timed_out, refused_connection
from pgsnap.sources.globals_dump import GlobalsDump
from pgsnap.sources.parts import part_options
from pgsnap.sources.properties import read_properties, read_server

_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
# ACCESS SHARE, which pg_dump takes, waits for this mode only.
_BLOCKERS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), l.pid, a.application_name
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'm', 'S', 'f', 'v')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1 LIMIT 5
"""


class PostgresSource:
    """Dumps one database of *server* (None: the endpoint's). `Source` is its contract.

    *adjust*, where given, makes of the database's properties what is recorded of them.
    *exclude_table_data* and *only_schemas* are patterns as pg_dump takes them; they are recorded.
    *warnings* holds what pg_dump wrote to standard error although it succeeded.
    """

    def __init__(
        self,
        server: Server,
        *,
        database: str | None = None,
        lock_wait_timeout_seconds: float = LOCK_WAIT_TIMEOUT_SECONDS,
        allow_newer_client: bool = False,
        with_globals: bool = True,
        dump_options: tuple[str, ...] = (),
        exclude_table_data: tuple[str, ...] = (),
        only_schemas: tuple[str, ...] = (),
        adjust: Callable[[DatabaseProperties], DatabaseProperties] | None = None,
    ) -> None:
        self._server = server
        self._endpoint = (
            server.endpoint if database is None else server.endpoint.with_database(database)
        )
        self._database = self._endpoint.database
        self._lock_wait_seconds = lock_wait_timeout_seconds
        self._allow_newer = allow_newer_client
        self._with_globals = with_globals
        self._dump_options = (*dump_options, *part_options(exclude_table_data, only_schemas))
        self._excluded = exclude_table_data
        self._schemas = only_schemas
        self._adjust = adjust
        # The names by which our backends are found again when their client was killed.
        self._application = f"snap pg_dump {secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._abandoned = False
        self._origin: Origin | None = None
        self._dump: Child | None = None
        self._reader: DumpReader | None = None
        self._globals_dump: GlobalsDump | None = None
        self._globals: GlobalsReader | None = None
        self._globals_status = "none"
        self._complete = False
        self.warnings: tuple[str, ...] = ()

    def open(self) -> Origin:
        """Raises ConnectionFailed, ToolMissing, ToolVersion, QueryFailed."""
        with self._server.connect(self._database) as session:
            info = read_server(session)
            properties = read_properties(session)
            if self._adjust is not None:
                properties = self._adjust(properties)
            is_superuser = session.query(_IS_SUPERUSER)[0][0] == "t"
        tool = self._server.tool("pg_dump", allow_newer=self._allow_newer)
        host = self._endpoint.host
        self._origin = Origin(
            kind=SourceKind.POSTGRES,
            tool=tool.version_line,
            server=info,
            properties=properties,
            host=self._place(host),
            excluded_table_data=self._excluded,
            only_schemas=self._schemas,
        )
        if self._with_globals:
            self._globals_dump = GlobalsDump(
                self._server,
                self._application,
                is_superuser=is_superuser,
                allow_newer=self._allow_newer,
            )
        # It locks and asks for a while before its first byte: time for the caller to get ready.
        self._dump = self._start_dump(tool, properties.encoding)
        return self._origin

    def events(self) -> Iterator[DumpEvent]:
        """Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput, Interrupted."""
        assert self._dump is not None, "open comes first"
        events = self._dump_events(self._dump)
        # pg_dump has its connection by then, where a role may have only one.
        yield from islice(events, 1)
        if self._globals_dump is not None:
            self._globals_dump.begin()
        yield from events
        if self._globals_dump is not None:
            yield from self._globals_events(self._globals_dump)
        self._complete = True

    def finish(self) -> SourceResult:
        if self._abandoned:
            raise Interrupted("the dump was stopped")
        if not self._complete or self._reader is None or self._origin is None:
            raise DumpIncomplete("the dump was not read to its end")
        summary = self._reader.summary
        if not summary.is_pg_dump:
            # Then no end mark was asked for, and a wrapper's exit status alone proves nothing.
            raise DumpIncomplete(
                "what pg_dump wrote does not begin as a dump",
                detail="Its first lines should say: PostgreSQL database dump.",
                hint="If pg_dump is a script of your own, let it write nothing else to its output.",
            )
        volatile: tuple[VolatileLine, ...] = summary.volatile
        if self._globals is not None:
            volatile += self._globals.volatile
        origin = replace(
            self._origin,
            is_pg_dump=summary.is_pg_dump,
            dump_version=summary.dump_version,
            dumped_from=summary.dumped_from,
            owners=summary.owners,
            client_encoding=summary.client_encoding,
            has_meta_commands=summary.has_meta_commands,
            globals_status=self._globals_status,
        )
        return SourceResult(origin=origin, volatile=volatile)

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            child, self._child = self._child, None
        was_at_work = self._globals_dump is not None and self._globals_dump.abandon()
        if child is not None and child.poll() is None:
            child.stop()
            was_at_work = True
        if was_at_work:
            # They may have been cut off from their backends, which must not go on reading. Where
            # the server cannot be reached any more, there is nothing left to end.
            with contextlib.suppress(SnapError):
                self._server.terminate(self._application)

    def _place(self, host: str) -> str:
        """Return where the database was, for whoever reads the snapshot later."""
        if host and not host.startswith("/"):
            return host
        inside = f"{self._endpoint.place} on " if self._endpoint.place else ""
        return inside + socket.gethostname()

    # -- pg_dump -------------------------------------------------------------------------------

    def _start_dump(self, tool: Tool, encoding: str) -> Child:
        arguments = [
            "--format=plain",
            "--no-password",
            # Its own encoding, also where the role or the database sets another for clients.
            f"--encoding={encoding}",
            f"--lock-wait-timeout={max(1, round(self._lock_wait_seconds * 1000))}",
            *self._dump_options,
        ]
        return self._start(tool, arguments, database=self._database)

    def _dump_events(self, child: Child) -> Iterator[DumpEvent]:
        reader = self._reader = DumpReader(blocks(child))
        try:
            yield from reader.events()
        except DumpIncomplete:
            # The stream ended too early: why, only pg_dump can tell.
            self._expect_success(child)
            raise
        self._expect_success(child)

    def _expect_success(self, child: Child) -> None:
        """Wait for pg_dump. Raises DumpFailed, ConnectionFailed, Interrupted."""
        while child.read(READ_BYTES):
            # Nothing may follow that pg_dump would wait to get rid of.
            continue
        status = child.wait()
        self._forget(child)
        stderr = child.stderr_tail()
        if status == 0:
            self.warnings = tuple(line for line in stderr.splitlines() if line.strip())
            return
        raise self._failure(status, stderr)

    def _failure(self, status: int, stderr: str) -> SourceError:
        refused = refused_connection(stderr, self._endpoint)
        if refused is not None:
            return refused
        failure = dump_failed("pg_dump", status, stderr, self._endpoint)
        if lock_timed_out(stderr):
            failure.detail = "\n".join([*self._blockers(), failure.detail])
        return failure

    def _blockers(self) -> list[str]:
        """Return one sentence for each table that somebody holds right now."""
        try:
            with self._server.connect(self._database) as session:
                rows = session.query(_BLOCKERS)
        except SourceError:
            return []
        return [f"Process {pid} ({name or 'unnamed'}) holds {table}." for table, pid, name in rows]

    # -- pg_dumpall ----------------------------------------------------------------------------

    def _globals_events(self, globals_dump: GlobalsDump) -> Iterator[DumpEvent]:
        """Yield the globals section, or none: the database is worth more than its roles' list."""
        text = globals_dump.text()
        self._globals_status = globals_dump.status
        if text is None:
            return
        reader = GlobalsReader((text,))
        try:
            events = list(reader.events())
        except SourceError as error:
            self._globals_status = f"none: {error.message}"
            return
        self._globals = reader
        yield from events

    # -- children ------------------------------------------------------------------------------

    def _start(self, tool: Tool, arguments: list[str], *, database: str) -> Child:
        with self._lock:
            if self._abandoned:
                raise Interrupted("the dump was stopped")
            self._child = self._server.start_tool(
                tool, arguments, database=database, application_name=self._application
            )
            return self._child

    def _forget(self, child: Child) -> None:
        with self._lock:
            if self._child is child:
                self._child = None
            abandoned = self._abandoned
        if abandoned:
            raise Interrupted("the dump was stopped")
