"""A connection pooler in front of the server: the real pgbouncer, in each of its modes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PACKAGES = ("pgbouncer", "libevent-2.1-7", "libc-ares2")
PORT = 6432

Start = Callable[[str, str], str]
"""Starts a pooler of a mode that passes over some startup parameters; returns the DSN."""


@pytest.fixture(scope="session")
def pgbouncer(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """The program, installed or unpacked from Debian's packages, and what it needs set."""
    if (found := shutil.which("pgbouncer")) is not None:
        return found, {}
    folder = tmp_path_factory.mktemp("pgbouncer")
    for _ in range(2):
        # Not installed: its package would bring another libpq with it.
        subprocess.run(
            ["apt-get", "-q", "download", *PACKAGES], cwd=folder, capture_output=True, check=False
        )
        if len(found_debs := list(folder.glob("*.deb"))) == len(PACKAGES):
            break
        subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=False)
    else:
        pytest.skip("needs pgbouncer: apt-get install pgbouncer")
    for deb in found_debs:
        subprocess.run(["dpkg", "-x", deb, folder / "unpacked"], check=True)
    libraries = sorted({str(path.parent) for path in (folder / "unpacked").rglob("*.so.*")})
    program = folder / "unpacked" / "usr" / "sbin" / "pgbouncer"
    return str(program), {"LD_LIBRARY_PATH": ":".join(libraries)}


@pytest.fixture
def pooler(pgbouncer: tuple[str, dict[str, str]], database: Database) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []
    program, environment = pgbouncer
    server = psycopg.conninfo.conninfo_to_dict(database.tcp_dsn)
    # It refuses to be root, and whom it becomes must get there.
    top = Path(tempfile.mkdtemp(prefix="snap-pooler-", dir="/tmp"))
    top.chmod(0o755)

    def start(mode: str, passed_over: str) -> str:
        folder = top / str(len(running))
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "pooler.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server['port']} user={server['user']}"
            f" password={server.get('password', '')}\n"
            f"[pgbouncer]\nlisten_port = {PORT}\nunix_socket_dir = {folder}\n"
            f"auth_type = any\npool_mode = {mode}\nignore_startup_parameters = {passed_over}\n"
            f"logfile = {folder}/log\n"
        )
        running.append(
            subprocess.Popen(
                [program, "-q", "-u", "nobody", folder / "pooler.ini"],
                env={**os.environ, **environment},
            )
        )
        dsn = f"postgresql:///{database.name}?host={folder}&port={PORT}&user=any"
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(dsn).close()
                return dsn
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)

    yield start
    for each in running:
        each.terminate()
        each.wait(60)
    shutil.rmtree(top)


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
@pytest.mark.parametrize("passed_over", ["", "options, extra_float_digits"])
def test_a_pooler_is_refused_by_name_and_a_direct_connection_is_not(
    snap: CommandLine, pooler: Start, database: Database, mode: str, passed_over: str
) -> None:
    database.psql("CREATE TABLE t AS SELECT 1 AS a")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "direct", "--database", "app")
    before = snap.ok("log", "--json").json
    snap.setenv("DATABASE_URL", pooler(mode, passed_over))
    for words in (
        ("commit", "-m", "x", "--database", "app"),
        ("diff", "latest", "--database", "app"),
        ("restore", "latest", "--yes", "--database", "app"),
        ("restore", "latest", "--table", "t", "--replace", "--yes", "--database", "app"),
        ("undo", "--yes", "--database", "app"),
    ):
        error = snap(*words, "--json").error
        assert "to the pooler" in error["hint"], (words, error)
        assert error["exit_code"] == 30
    assert snap.ok("log", "--json").json == before
    assert database.psql("SELECT a FROM t") == "1"
    assert snap("doctor", "--json").json["healthy"] is False
