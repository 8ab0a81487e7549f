"""A private, throw-away PostgreSQL: its own folder, its own port, nobody else's data.

It must never touch a cluster that it did not create, and never outlive the creating process.
"""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pgsnap import interrupts
from pgsnap.cluster import keeper
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.extension import private_server
from pgsnap.cluster.serveruser import ServerUser, reachable_folder, server_user
from pgsnap.errors import SnapError
from pgsnap.runners.programs import ended, run
from pgsnap.sessions.base import ident

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_PORT_TRIES = 5
# The postmaster writes this to line 8 of postmaster.pid once it accepts clients.
_READY = "ready"

_UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ClusterError(SnapError):
    """The private cluster, or a psql run on it, failed."""

    kind = "cluster"


class Cluster:
    """A PostgreSQL server in a temporary folder, as a context manager.

    Clients connect through a socket in a folder open only to the server's user and this one,
    without a password (*auth* "trust") or with one ("scram-sha-256"). With *tcp* also on
    127.0.0.1, always with the password. As root the server runs as an unprivileged user.
    """

    superuser = "postgres"

    def __init__(
        self,
        binaries: Binaries,
        *,
        fsync: bool = True,
        auth: str = "trust",
        tcp: bool = False,
        settings: Mapping[str, str] | None = None,
        under: Path | None = None,
    ) -> None:
        self.binaries = binaries
        self.auth = auth
        self.tcp = tcp
        self.password = secrets.token_hex(16)
        self.port = 0
        self._settings = {**({} if fsync else _UNSAFE_SETTINGS), **(settings or {})}
        self._under = under
        self._user: ServerUser | None = None
        self._folder: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._program = ""

    # -- what it is ----------------------------------------------------------------------------

    @property
    def major(self) -> int:
        return self.binaries.major

    @property
    def folder(self) -> Path:
        """The folder that holds everything."""
        if self._folder is None:
            raise ClusterError("the cluster was not created", detail="`start` makes its folder.")
        return self._folder

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._server is None:
            raise ClusterError("the cluster is not running")
        return self._server.pid

    def dsn(
        self,
        database: str = "postgres",
        *,
        user: str | None = None,
        password: str | None = None,
        tcp: bool = False,
    ) -> str:
        """Return a URI for libpq; *tcp* for the address on 127.0.0.1 instead of the socket.

        It includes the superuser's password if one is needed and no other *user* was given.
        """
        if tcp and not self.tcp:
            raise ClusterError("the cluster does not listen on TCP")
        if password is None and user is None and (tcp or self.auth != "trust"):
            password = self.password
        return self._uri(database, user or self.superuser, password, tcp=tcp)

    def _uri(self, database: str, user: str, password: str | None, *, tcp: bool = False) -> str:
        login = quote(user, safe="")
        if password is not None:
            login += ":" + quote(password, safe="")
        name = quote(database, safe="")
        if tcp:
            return f"postgresql://{login}@127.0.0.1:{self.port}/{name}"
        where = urlencode({"host": str(self.folder), "port": str(self.port)}, quote_via=quote)
        return f"postgresql://{login}@/{name}?{where}"

    # -- its life ------------------------------------------------------------------------------

    def __enter__(self) -> Cluster:
        with interrupts.undone_by(self.close):
            self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, creating the cluster the first time. Raises ClusterError."""
        if self._folder is None:
            self._create()
        if self.running:
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            self.port = self.port or _free_port()
            try:
                self._start_once()
                return
            except _PortTakenError:
                self.port = 0
                if not tries_left:
                    raise

    def stop(self) -> None:
        """Shut down cleanly; sessions are ended (PostgreSQL's fast shutdown)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End without a shutdown checkpoint: the next start recovers from WAL."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Shut down cleanly and start again, on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server at once and remove the folder. May be called repeatedly."""
        atexit.unregister(self.close)
        if self._server is not None and self._server.poll() is None:
            self.crash()
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait()
        self._keeper = None
        self._folder = None

    # -- SQL -----------------------------------------------------------------------------------

    def psql(
        self,
        sql: str,
        database: str = "postgres",
        *,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a script with psql and return its output, unaligned, without its last line end.

        Raises ClusterError at the first error; earlier statements stay in effect.
        """
        argv = [
            self.binaries.program("psql"),
            "-X",
            "-w",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        for name, value in (variables or {}).items():
            argv += ["-v", f"{name}={value}"]
        # No password here, where every user of the machine could read it: it is in the environment.
        argv += ["-d", self._uri(database, user or self.superuser, None), "-f", "-"]
        return self._run(argv, input=sql).removesuffix("\n")

    def create_database(
        self, name: str, *, template: str | None = None, owner: str | None = None
    ) -> str:
        """Create a database and return its DSN. Raises ClusterError."""
        sql = f"CREATE DATABASE {ident(name)}"
        sql += f" TEMPLATE {ident(template)}" if template else ""
        sql += f" OWNER {ident(owner)}" if owner else ""
        self.psql(sql)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending its connections."""
        self.psql(f"DROP DATABASE IF EXISTS {ident(name)} WITH (FORCE)")

    def environment(self) -> dict[str, str]:
        """Return an environment for libpq programs: this one's without PG*, with the password."""
        own = {"PGPASSWORD": self.password, "PGCLIENTENCODING": "UTF8"}
        return {**_environment_without_libpq(), **own}

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of the server's log."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    # -- how -----------------------------------------------------------------------------------

    def _create(self) -> None:
        self._user = server_user()
        under = reachable_folder(self._under or Path(tempfile.gettempdir()), self._user)
        self._folder = Path(tempfile.mkdtemp(prefix="pgsnap-cluster-", dir=under)).resolve()
        # The keeper comes first: from here on nothing is left behind, however this process ends.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        atexit.register(self.close)
        self._program = private_server(self.binaries, self.folder / "installation")
        self.data_folder.mkdir(mode=0o700)
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if self._user:
            for path in (self.folder, self.data_folder, password_file):
                os.chown(path, self._user.uid, self._user.gid)
        self._initdb(password_file)
        password_file.unlink()
        rules = [f"local all all {self.auth}", "local replication all " + self.auth]
        if self.tcp:
            rules += ["host all all 127.0.0.1/32 scram-sha-256"]
        (self.data_folder / "pg_hba.conf").write_text("\n".join(rules) + "\n")

    def _initdb(self, password_file: Path) -> None:
        argv = [self.binaries.program("initdb"), "-D", str(self.data_folder), "-U", self.superuser]
        argv += ["-E", "UTF8", "--no-sync", "-A", "scram-sha-256", "--pwfile", str(password_file)]
        for locale in ("C.UTF-8", "C"):
            try:
                self._run([*argv, f"--locale={locale}", "--lc-messages=C"], as_server=True)
                return
            except ClusterError as error:
                if locale == "C" or "locale" not in error.detail:
                    raise

    def _start_once(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(self.port),
            "unix_socket_directories": f'"{self.folder}"',
            "logging_collector": "off",
            **self._settings,
        }
        argv = [self._program, "-D", str(self.data_folder)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._server = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._server_environment(),
                # The keeper identifies the server's processes by their working folder.
                cwd=self.data_folder,
                start_new_session=True,
                **self._as_server_user(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._server.poll() is None and time.monotonic() < deadline:
                interrupts.sleep(0.01)
                continue
            self._end(signal.SIGQUIT)
            log_text = self.log_path.read_bytes()[log_start:].decode("utf-8", "replace")
            taken = "Address already in use" in log_text or "could not create any" in log_text
            raise (_PortTakenError if taken else ClusterError)(
                "the private PostgreSQL server did not start", detail=log_text.strip()
            )

    def _is_ready(self) -> bool:
        try:
            lines = (self.data_folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == _READY

    def _end(self, number: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None or server.poll() is not None:
            return
        server.send_signal(number)
        with interrupts.deferred():
            if ended(server, _STOP_SECONDS) is None:
                server.kill()
                server.wait()

    def _as_server_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}

    def _server_environment(self) -> dict[str, str]:
        return {**_environment_without_libpq(), "LC_ALL": "C", "TZ": "UTC"}

    def _run(
        self, argv: Sequence[str], *, input: str | None = None, as_server: bool = False
    ) -> str:
        done = run(
            argv,
            input=None if input is None else input.encode("utf-8", "surrogateescape"),
            cwd=self.data_folder if as_server else "/",
            env=self._server_environment() if as_server else self.environment(),
            **(self._as_server_user() if as_server else {}),
        )
        if done.returncode:
            words = done.stderr.decode("utf-8", "surrogateescape").strip()
            raise ClusterError(f"{Path(argv[0]).name} failed", detail=words)
        return done.stdout.decode("utf-8", "surrogateescape")


def _environment_without_libpq() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _PortTakenError(ClusterError):
    """Another program took the port between its choice and the server's start."""
