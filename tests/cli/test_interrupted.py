"""Ctrl-C where a command waits for others, and a second one where its clean-up does."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.restoring.steps import children_of, is_alive
from support.running.commandline import SOURCE, CommandLine
from support.running.installed import wait_until_it_listens
from support.servers.databases import Database

pytestmark = pytest.mark.timeout(120)
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def filled(snap: CommandLine, database: Database) -> CommandLine:
    database.psql(
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS pad FROM generate_series(1, 9000) g"
    )
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "one")
    return snap


def end_of(child: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """Interrupt a command, which must end with 130; return what it wrote to standard error."""
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("client", ["psycopg", "psql"])
def test_a_server_that_never_answers_is_not_waited_for(
    filled: CommandLine, client: str, number: signal.Signals
) -> None:
    filled.setenv("SNAP_CLIENT", client)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dsn = f"postgresql://nobody@127.0.0.1:{deaf.getsockname()[1]}/shop"
        child = filled.popen("commit", "-m", "x", "--dsn", dsn)
        connection, _ = deaf.accept()
        with connection:
            assert "error: interrupted" in end_of(child) or number != signal.SIGINT


def test_a_repository_that_another_process_holds_is_not_waited_for(filled: CommandLine) -> None:
    with filled.popen("gc", stdin=subprocess.PIPE) as first:
        first.communicate(timeout=60)
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import fcntl, sys, time\n"
            "file = open(sys.argv[1], 'r+')\n"
            "fcntl.flock(file, fcntl.LOCK_EX)\n"
            "print('held', flush=True)\n"
            "time.sleep(60)\n",
            str(next((filled.work / "database" / "backups").glob("*lock*"))),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        child = filled.popen("gc", "--lock-timeout", "60s")
        wait_until_it_listens(child)
        time.sleep(1)
        assert child.poll() is None
        assert end_of(child) == "snap: error: interrupted\n"
    finally:
        holder.kill()
        holder.communicate()


def test_a_reader_who_takes_nothing_is_not_waited_for(filled: CommandLine) -> None:
    child = filled.popen("cat", "latest")
    assert child.stdout is not None
    # The pipe holds less than the snapshot, so it is in the middle of a write by then.
    assert child.stdout.read(1)
    time.sleep(0.5)
    assert child.poll() is None
    assert end_of(child) == "snap: error: interrupted\n"


def test_a_question_is_answered_by_ctrl_c(filled: CommandLine) -> None:
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "pgsnap.cli", "restore", "latest"],
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(SOURCE)},
        cwd=filled.work,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while b"Type its name to go on:" not in shown:
        shown += os.read(master, 65536)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130
    os.close(master)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_prints_the_passphrase_is_not_waited_for(
    snap: CommandLine, number: signal.Signals
) -> None:
    key, began = snap.folder / "key", snap.folder / "began"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    snap.ok("init", "--encrypt", "--key-file", str(key))
    slow = f"echo $$ > {began}.new; mv {began}.new {began}; exec sleep 100"
    child = snap.popen("log", "--passphrase-command", slow)
    while not began.exists():
        time.sleep(0.02)
    # Not the whole group, as a terminal would.
    end_of(child, number)
    assert not is_alive(int(began.read_text()))


def stubborn_pg_dump(folder: Path, database: Database) -> str:
    """Make a pg_dump that neither writes nor ends when it is asked to; return its folder."""
    bindir = folder / "bin"
    bindir.mkdir()
    for name in ("psql", "pg_dumpall"):
        (bindir / name).symlink_to(database.cluster.binaries.bindir / name)
    real = database.cluster.binaries.bindir / "pg_dump"
    script = bindir / "pg_dump"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\ntrap "" TERM\nexec sleep 60\n'
    )
    script.chmod(0o755)
    return str(bindir)


def is_asleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_second_ctrl_c_ends_a_command_at_once_with_its_children(
    filled: CommandLine, database: Database, tmp_path: Path, arguments: list[str]
) -> None:
    # Else the definitions are those of the last snapshot, and pg_dump is not run.
    database.psql("CREATE TABLE more (i int)")
    filled.setenv("SNAP_PG_BINDIR", stubborn_pg_dump(tmp_path, database))
    child = filled.popen("commit", "-m", "x", *arguments)
    deadline = time.monotonic() + 60
    children: list[int] = []
    while not any(map(is_asleep, children)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        children = children_of(child.pid)
    child.send_signal(signal.SIGINT)
    time.sleep(1)
    # Its clean-up waits for pg_dump.
    assert child.poll() is None
    err = end_of(child)
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if arguments:
        assert json.loads(err)["error"]["kind"] == "interrupted"
    else:
        assert "error: interrupted at once, by a second Ctrl-C" in err
    filled.setenv("SNAP_PG_BINDIR", "")
    assert len(filled.ok("log", "--json").json) == 1
    filled.ok("verify", "--data")


@pytest.mark.parametrize("where", ["COPY public.large", "CREATE INDEX %slow"])
def test_a_restore_with_jobs_ends_all_of_them(
    filled: CommandLine, database: Database, where: str
) -> None:
    database.psql(
        "CREATE TABLE large AS SELECT repeat('x', 500) AS x FROM generate_series(1, 100000);"
        "CREATE TABLE other AS SELECT * FROM large LIMIT 5000;"
        "CREATE TABLE few AS SELECT generate_series(1, 3) AS i;"
        "CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$BEGIN IF current_database() LIKE '%snap%' THEN PERFORM pg_sleep(30); END IF;"
        " RETURN i; END$$;"
        "CREATE INDEX slow ON few (slow(i)); CREATE INDEX slow_too ON few (slow(i), i)"
    )
    filled.ok("commit", "-m", "two")
    child = filled.popen("restore", "latest", "--yes", "--jobs", "3", "--no-safety-snapshot")
    scratch = f"datname LIKE '{database.name}%snap%'"
    ours = f"FROM pg_stat_activity WHERE application_name LIKE 'snap%' AND {scratch}"
    deadline = time.monotonic() + 60
    while database.cluster.psql(f"SELECT count(*) {ours} AND query LIKE '%{where}%'") == "0":
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
    assert f"The database {database.name} was not touched." in end_of(child)
    assert children_of(child.pid) == []
    assert database.cluster.psql(f"SELECT count(*) {ours}") == "0"
    left = f"SELECT count(*) FROM pg_database WHERE {scratch}"
    assert database.cluster.psql(left) == "0"
