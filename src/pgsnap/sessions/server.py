"""A PostgreSQL server: opens sessions, and starts tools that match its version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pgsnap.errors import ConnectionFailed, ToolVersion
from pgsnap.runners.base import Child, Runner, Tool
from pgsnap.sessions.base import Session, literal
from pgsnap.sessions.endpoint import LATER_PINS, PINS, Endpoint
from pgsnap.sessions.failures import is_answer, was_never_reached

ClientKind = Literal["psycopg", "psql"]


class Server:
    """Opens sessions to one endpoint and starts tools against it.

    *client* says how SQL is sent: over a connection of this process, or through psql where the
    runner runs it (a container needs no port for that).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        runner: Runner,
        *,
        client: ClientKind = "psycopg",
        lock_timeout_seconds: float | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.runner = runner
        self._client = client
        self._options = PINS
        if lock_timeout_seconds is not None:
            milliseconds = max(1, round(lock_timeout_seconds * 1000))
            self._options = (*PINS, ("lock_timeout", str(milliseconds)))
        self._version_num: int | None = None
        self._maintenance: str | None = None
        self._may_silence: bool | None = None

    def at(self, endpoint: Endpoint) -> Server:
        """Return the same server, reached the same way, with another *endpoint*."""
        made = Server(endpoint, self.runner, client=self._client)
        made._options = self._options
        if endpoint == self.endpoint:
            made._version_num, made._maintenance = self._version_num, self._maintenance
        return made

    def without_event_triggers(self) -> Server:
        """Return the same server with event triggers disabled for its connections, as far as our
        role may disable them: a login trigger may write, or refuse us. The endpoint's own database
        is queried only if no other lets us in. Raises ConnectionFailed if there is no server."""
        if self._may_silence is None:
            try:
                with self._neighbour() as session:
                    self._may_silence = _may_silence(session)
            except ConnectionFailed as error:
                if was_never_reached(error):
                    error.message = f"cannot connect to {self.endpoint.display()}"
                    raise
                quiet = self._quiet()
                self._may_silence = quiet._is_let_in()
                self._version_num = self._version_num or quiet._version_num
        return self._quiet() if self._may_silence else self

    def _quiet(self) -> Server:
        made = self.at(self.endpoint)
        made._options = (*self._options, ("event_triggers", "off"))
        made._may_silence = False
        return made

    def _neighbour(self) -> Session:
        """Return a session to a database other than the endpoint's. Raises ConnectionFailed."""
        first, second = ("postgres", "template1")
        if self.endpoint.database != first:
            try:
                session = self.connect(first)
            except ConnectionFailed as error:
                if was_never_reached(error):
                    raise
            else:
                self._maintenance = first
                return session
        return self.connect(second)

    def _is_let_in(self) -> bool:
        try:
            self.connect().close()
        except ConnectionFailed:
            return False
        return True

    @property
    def has_let_us_in(self) -> bool:
        """Whether any session of ours has been opened, in any database."""
        return self._version_num is not None

    def connect(self, database: str | None = None, application_name: str = "snap") -> Session:
        """Return a new session to *database* (None: the endpoint's). Raises ConnectionFailed."""
        endpoint = self.endpoint if database is None else self.endpoint.with_database(database)
        session: Session
        if self._client == "psql":
            from pgsnap.sessions.psql_session import PsqlSession

            session = PsqlSession(
                endpoint, self.runner, application_name=application_name, options=self._options
            )
        else:
            from pgsnap.sessions.psycopg_session import PsycopgSession

            session = PsycopgSession(
                endpoint, application_name=application_name, options=self._options
            )
        self._version_num = session.server_version_num
        return session

    @property
    def version_num(self) -> int:
        """The server's server_version_num, queried once. Raises ConnectionFailed."""
        if self._version_num is None:
            try:
                self.connect().close()
            except ConnectionFailed as error:
                if not is_answer(error):
                    raise
                # There may be no database of this name yet.
                try:
                    self.connect(self.maintenance_database()).close()
                except ConnectionFailed:
                    raise error from None
        assert self._version_num is not None
        return self._version_num

    def tool(self, name: str, *, allow_newer: bool = False) -> Tool:
        """Return the program *name* of the server's own major version.

        A newer one is accepted only with *allow_newer*; an older one never. Raises ToolMissing,
        ToolVersion, ConnectionFailed.
        """
        major = self.version_num // 10000
        tool = self.runner.find(name, major)
        if tool.major == major or (tool.major > major and allow_newer):
            return tool
        install = f"Run `apt install postgresql-client-{major}`"
        newer = tool.major > major
        raise ToolVersion(
            f"{name} is version {tool.major}, the server is version {major}",
            detail=f"Found only {tool.version_line} at {tool.path}.",
            hint=f"{install}, or go on with --allow-newer-client." if newer else f"{install}.",
        )

    def start_tool(
        self,
        tool: str | Tool,
        args: Sequence[str],
        *,
        database: str | None = None,
        stdin: bool = False,
        application_name: str = "snap",
    ) -> Child:
        """Start a program against *database* (None: the endpoint's), with our settings and
        without a password in its arguments. Raises ToolMissing, ToolVersion, ConnectionFailed."""
        if isinstance(tool, str):
            tool = self.tool(tool)
        endpoint = self.endpoint if database is None else self.endpoint.with_database(database)
        later = tuple(
            (name, value) for since, name, value in LATER_PINS if since <= self.version_num
        )
        conninfo = endpoint.conninfo(
            application_name=application_name, options=(*self._options, *later)
        )
        argv = [tool.path, f"--dbname={conninfo}", *args]
        return self.runner.start(argv, env=endpoint.environment(), stdin=stdin)

    def maintenance_database(self) -> str:
        """Return the database from which others are created and renamed: postgres, else template1.
        Raises ConnectionFailed if neither lets us in."""
        if self._maintenance is None:
            try:
                self.connect("postgres").close()
                self._maintenance = "postgres"
            except ConnectionFailed as error:
                if was_never_reached(error):
                    raise
                try:
                    self.connect("template1").close()
                except ConnectionFailed:
                    raise error from None
                self._maintenance = "template1"
        return self._maintenance

    def terminate(self, application_name: str) -> int:
        """Terminate the backends of our own role with this application_name; return their number.

        For tools that were killed: their backends continue until their next write. Raises
        ConnectionFailed, QueryFailed.
        """
        with self.connect(self.maintenance_database()) as session:
            rows = session.query(
                "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
                f" WHERE a.application_name = {literal(application_name[:63])}"
                " AND a.usename = current_user AND a.pid <> pg_catalog.pg_backend_pid()"
            )
        return len(rows)


def _may_silence(session: Session) -> bool:
    # PostgreSQL 17 added the setting, along with login triggers.
    return session.server_version_num >= 170000 and bool(
        session.query("SELECT 1 WHERE pg_catalog.has_parameter_privilege('event_triggers', 'SET')")
    )
