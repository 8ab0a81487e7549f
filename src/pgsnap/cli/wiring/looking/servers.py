"""Throw-away servers for snapshots: of the snapshot's major version, and gone at the end."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pgsnap.errors import ToolMissing
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from pgsnap.cli.config.settings import Settings
    from pgsnap.cluster.binaries import Binaries
    from pgsnap.cluster.cluster import Cluster
    from pgsnap.sessions.server import Server


def programs(
    settings: Settings, major: int | None, *, install: bool, say: Callable[[str], None]
) -> Binaries:
    """Return PostgreSQL's server programs of a major version (None: the newest): from `bindir`, the
    system's packages or the cache; only with *install* they are downloaded. Raises ToolMissing."""
    from pgsnap.cluster import binaries, installing
    from pgsnap.runners.base import BINDIR

    for folder in settings.bindirs:
        # It may well hold the client programs only.
        found = binaries.examine(folder)
        if found is not None and major in (None, found.major):
            return found
    environ = {name: value for name, value in os.environ.items() if name != BINDIR}
    try:
        return binaries.find(major, environ)
    except ToolMissing as error:
        if not install:
            named = f"name the folder of its programs in {BINDIR}."
            error.hint = (
                f"Run the same command with --install, which gets it once, or {named}"
                if installing.can_download(major)
                else f"Install PostgreSQL {major}, and {named}"
            )
            raise
    return installing.ensure(major, say=say)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    cluster: Cluster
    server: Server

    def environment(self, database: str) -> Mapping[str, str]:
        """Return our environment, but leading every client to *database*; the client programs of
        its version come first on PATH."""
        cluster = self.cluster
        where = {
            "PGHOST": "127.0.0.1" if cluster.tcp else str(cluster.folder),
            "PGPORT": str(cluster.port),
            "PGUSER": cluster.superuser,
            "PGDATABASE": database,
            "DATABASE_URL": self.dsn(database),
        }
        if cluster.tcp:
            where["PGPASSWORD"] = cluster.password
        others = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        path = [str(cluster.binaries.bindir), others.get("PATH", os.defpath)]
        return {**others, **where, "PATH": os.pathsep.join(path)}

    def dsn(self, database: str) -> str:
        return self.cluster.dsn(database, tcp=self.cluster.tcp)


class Servers:
    """The throw-away server of a command: one at a time, started when it is first wanted, kept as
    long as snapshots are of its major version. A context manager."""

    def __init__(
        self, settings: Settings, *, install: bool, tcp: bool, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._install = install
        self._tcp = tcp
        self._say = say
        self._stack = ExitStack()
        self._major: int | None = None
        self._running: Running | None = None

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def of(self, major: int | None) -> Running:
        """Return the server for a snapshot of a major version. Raises ToolMissing, ClusterError."""
        from pgsnap.cluster.cluster import Cluster
        from pgsnap.runners.local import LocalRunner
        from pgsnap.sessions.endpoint import Endpoint
        from pgsnap.sessions.server import Server

        if self._running is not None and major == self._major:
            return self._running
        found = programs(self._settings, major, install=self._install, say=self._say)
        self._stack.close()
        self._running = None
        # What is in it is in the repository: it need not survive a crash.
        cluster = self._stack.enter_context(Cluster(found, fsync=False, tcp=self._tcp))
        server = Server(Endpoint.parse(cluster.dsn(), {}), LocalRunner(found.bindir))
        self._major, self._running = major, Running(cluster, server)
        return self._running
