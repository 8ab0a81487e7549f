"""What a benchmark runs on: a private PostgreSQL (or a given one), a scratch folder, the tools."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from data import SEED, Loaded, load, load_large_row
from measure import Command

if TYPE_CHECKING:
    from pgsnap.cluster.cluster import Cluster

SERVER_TOOLS = ("pg_dump", "psql", "createdb", "dropdb")


class SettingError(Exception):
    """The benchmark cannot be set up; the message says which command helps."""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server as its clients see it: keywords without a password, tools, processes."""

    keywords: dict[str, str]
    environment: dict[str, str]
    bindir: Path | None
    postmaster_pid: int | None

    def dsn(self, database: str) -> str:
        """Return a keyword string, without a password: that is in the environment."""
        return make_conninfo("", **{**self.keywords, "dbname": database})

    def tool(self, name: str) -> str:
        return str(self.bindir / name) if self.bindir else name

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        password = self.environment.get("PGPASSWORD")
        return psycopg.connect(self.dsn(database), password=password, autocommit=True)

    def loading_dsn(self, database: str) -> str:
        """Return a keyword string for our own connections only: it may hold the password."""
        password = self.environment.get("PGPASSWORD", "")
        return make_conninfo(self.dsn(database), **({"password": password} if password else {}))

    def pg_dump(self, database: str) -> tuple[str, ...]:
        return (self.tool("pg_dump"), "--no-password", "-d", self.dsn(database))

    def psql(self, database: str, *more: str) -> tuple[str, ...]:
        quiet = ("-X", "-w", "-q", "-v", "ON_ERROR_STOP=1")
        return (self.tool("psql"), *quiet, "-d", self.dsn(database), *more)

    def create(self, database: str) -> None:
        self.drop(database)
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE template0'.encode())

    def drop(self, database: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())

    def checkpoint(self) -> None:
        with self.connect() as connection:
            connection.execute("CHECKPOINT")


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a benchmark needs. *scratch* is removed at the end."""

    server: Server
    scratch: Path
    snap_argv: tuple[str, ...] | None
    rounds: int
    megabytes: float
    seed: int
    say: Callable[[str], None]

    def folder(self, name: str) -> Path:
        """Return a new, empty folder of this name."""
        path = self.scratch / name
        remove(path)
        path.mkdir(parents=True)
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of every measured command: no user's own settings in it."""
        unwanted = ("PG", "SNAP_", "RESTIC_", "BORG_", "DATABASE_URL", "ZSTD_", "GZIP", "PYTHON")
        own = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        if self.server.bindir:  # so that snap finds the same pg_dump and psql as its peers
            own["PATH"] = f"{self.server.bindir}{os.pathsep}{own.get('PATH', os.defpath)}"
        return {**own, "NO_COLOR": "1", "LC_ALL": "C.UTF-8", **self.server.environment, **more}

    def command(self, *stages: tuple[str, ...], **more: object) -> Command:
        more.setdefault("environment", self.environment())
        more.setdefault("folder", self.scratch)
        return Command(stages, **more)  # type: ignore[arg-type]

    def snap(self, repository: Path, *arguments: str) -> tuple[str, ...]:
        assert self.snap_argv
        return (*self.snap_argv, "--repo", str(repository), "--no-progress", *arguments)

    def anonymous(self, text: str) -> str:
        """Return a command's text without what is only of this host: folders, socket, port."""
        text = text.replace(str(self.scratch), "SCRATCH")
        for name in ("host", "port"):
            if name in self.server.keywords:
                text = text.replace(f"{name}={self.server.keywords[name]}", f"{name}=...")
        return text

    def check_space(self, needed_bytes: float) -> None:
        free = shutil.disk_usage(self.scratch).free
        if free < needed_bytes:
            raise SettingError(
                f"{self.scratch} has {free / 1e9:.1f} GB free and about "
                f"{needed_bytes / 1e9:.1f} GB are needed: "
                "run again with --scratch FOLDER or a smaller --megabytes"
            )

    def load(self, database: str, megabytes: float) -> Loaded:
        """Make *database* again and fill it with application data."""
        self.server.create(database)
        loaded = load(self.server.loading_dsn(database), megabytes, self.seed)
        self._said(database, loaded)
        return loaded

    def load_large_row(self, database: str, megabytes: float, kind: str) -> Loaded:
        """Make *database* again and fill it with one large row."""
        self.server.create(database)
        dsn = self.server.loading_dsn(database)
        loaded = load_large_row(dsn, megabytes, kind, self.seed)
        self._said(database, loaded)
        return loaded

    def _said(self, database: str, loaded: Loaded) -> None:
        mb = loaded.total_bytes / 1e6
        self.say(f"loaded {database}: {mb:.0f} MB of COPY text in {loaded.seconds:.1f} s")


def arguments(description: str, *, with_dsn: bool = True) -> argparse.ArgumentParser:
    """Return the options that every benchmark program has; some need a server of their own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--megabytes", type=float, default=1000, help="MB (10^6) of dump text")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scratch", type=Path, help="folder for all files (default: TMPDIR)")
    parser.add_argument("--snap", help="the command that is measured (default: the installed snap)")
    parser.add_argument("--without-snap", action="store_true", help="measure only the peers")
    if with_dsn:
        what = "a server of your own; databases named bench_* are replaced"
        parser.add_argument("--dsn", help=what)
    else:
        parser.set_defaults(dsn=None)
    return parser


@contextlib.contextmanager
def setting(
    options: argparse.Namespace,
    server_settings: Mapping[str, str] | None = None,
    *,
    major: int | None = None,
    fsync: bool | None = None,
) -> Iterator[Setting]:
    """Find the tools, start the server, make the scratch folder; end and remove all of it.

    With *server_settings* a private server has these instead of the default ones, and unless
    *fsync* asks for it no fsync: for one that only makes data and is not measured.
    """
    snap_argv = None if options.without_snap else find_snap(options.snap)
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="snap-bench-", dir=options.scratch)
        scratch = Path(stack.enter_context(folder)).resolve()
        server = stack.enter_context(
            given(options.dsn)
            if options.dsn
            else private(scratch.parent, server_settings, major=major, fsync=fsync)
        )
        yield Setting(
            server=server,
            scratch=scratch,
            snap_argv=snap_argv,
            rounds=options.rounds,
            megabytes=options.megabytes,
            seed=options.seed,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )


@contextlib.contextmanager
def private(
    under: Path,
    settings: Mapping[str, str] | None = None,
    *,
    major: int | None = None,
    fsync: bool | None = None,
) -> Iterator[Server]:
    """Start a PostgreSQL of our own (*major*, else the newest), with PostgreSQL's default settings,
    fsync included.

    With *settings*: with these, and without fsync, unless that is given.
    """
    from pgsnap.cluster import binaries
    from pgsnap.cluster.cluster import Cluster

    found = binaries.find(major)
    is_safe = settings is None if fsync is None else fsync
    with Cluster(found, fsync=is_safe, settings=settings, under=under) as cluster:
        yield server_of(cluster)


def server_of(cluster: Cluster) -> Server:
    """Return a private cluster as the benchmarks see it."""
    keywords = conninfo_to_dict(cluster.dsn("postgres"))
    keywords.pop("password", None)
    keywords.pop("dbname", None)
    return Server(
        keywords={name: str(value) for name, value in keywords.items()},
        environment={},
        bindir=cluster.binaries.bindir,
        postmaster_pid=cluster.pid,
    )


@contextlib.contextmanager
def given(dsn: str) -> Iterator[Server]:
    """Use a server that is there already, with the client tools on PATH."""
    keywords = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    password = keywords.pop("password", "")
    keywords.pop("dbname", None)
    for name in SERVER_TOOLS:
        if not shutil.which(name):
            raise SettingError(f"{name} is not on PATH: install PostgreSQL's client programs")
    environment = {"PGPASSWORD": password} if password else {}
    yield Server(keywords, environment, None, None)


def find_snap(wanted: str | None) -> tuple[str, ...]:
    """Return the argv that starts snap: as asked, else beside this Python, else on PATH.

    On PATH only `pgsnap` is looked for: on Ubuntu `snap` is the package manager.
    """
    if wanted:
        return tuple(shlex.split(wanted))
    beside = Path(sys.executable).with_name("snap")
    if os.access(beside, os.X_OK):
        return (str(beside),)
    on_path = shutil.which("pgsnap")
    if on_path:
        return (on_path,)
    raise SettingError(
        f"no snap beside {sys.executable} and no pgsnap on PATH: run "
        f"`{sys.executable} -m pip install -e .`, or name it with --snap, or use --without-snap"
    )


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def stored_bytes(path: Path) -> int:
    """Return the bytes of all files under *path* (of one file: its size)."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def machine(server: Server) -> dict[str, str]:
    """Return what the figures depend on: the processor, memory, kernel and versions."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    facts = {
        "processor": f"{os.cpu_count()} x {cpu[0] if cpu else platform.machine()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
    }
    with server.connect() as connection:
        for name in ("server_version", "shared_buffers", "fsync", "max_wal_size"):
            row = connection.execute(f"SHOW {name}".encode()).fetchone()
            facts[f"postgresql {name}"] = row[0] if row else ""
    for tool in ("gzip", "zstd", "restic", "borg"):
        facts[tool] = version(tool)
    return facts


def version(tool: str) -> str:
    """Return the first line of what a tool says about its version."""
    if not shutil.which(tool):
        return "not installed"
    question = "version" if tool == "restic" else "--version"
    done = subprocess.run([tool, question], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
