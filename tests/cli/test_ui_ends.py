"""`snap ui` whose terminal or tab goes away: what becomes of the job that is under way."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import pty
import signal
import socket
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.running.commandline import CommandLine
from support.running.page import Page, served
from support.servers.databases import Database

ROWS = 400


@pytest.fixture
def slow(snap: CommandLine, database: Database) -> Database:
    """A database with a snapshot that takes long to load, and one more row since."""
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql(
        "CREATE TABLE t (a int PRIMARY KEY, CHECK (a <> 7 OR pg_sleep(2) IS NOT NULL));"
        f" INSERT INTO t SELECT generate_series(1, {ROWS})"
    )
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "first")
    database.psql("INSERT INTO t VALUES (0)")
    return database


def left(database: Database) -> str:
    return database.psql(
        "SELECT string_agg(datname, ' ') FROM pg_database"
        f" WHERE starts_with(datname, '{database.name}__snap_')"
    )


def rows(database: Database) -> int:
    return int(database.psql("SELECT count(*) FROM t"))


@contextmanager
def on_terminal(snap: CommandLine) -> Iterator[tuple[Page, int]]:
    """Run `snap ui` as the program of a terminal of its own; yield it with the terminal's end."""
    master, slave = pty.openpty()
    try:
        with served(
            snap,
            "--no-browser",
            stdin=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ) as running:
            os.close(slave)
            running.begin()
            yield running, master
    finally:
        with contextlib.suppress(OSError):
            os.close(master)


def test_a_terminal_that_is_closed_ends_the_job_first(snap: CommandLine, slow: Database) -> None:
    # Before the answer, and while rows are loaded into the scratch database.
    for answered in (False, True):
        with on_terminal(snap) as (page, master):
            job = page.start("restore", snapshot="first")
            page.until(job, "waits for you")
            if answered:
                page.send(f"{job}/answer", word=slow.name)
                while "__snap_" not in left(slow):
                    time.sleep(0.05)
            os.close(master)
            assert page.process.wait(timeout=120) == 0
        assert snap.ok("audit", "--json").json[-1]["exit_code"] == 130
        assert rows(slow) == ROWS + 1
        assert left(slow) == ""
    # Nothing is locked.
    snap.ok("gc")
    snap.ok("restore", "first", "--yes")
    assert rows(slow) == ROWS


def test_a_tab_that_is_closed_stops_nothing(snap: CommandLine, slow: Database) -> None:
    with served(snap, "--no-browser") as page:
        page.begin()
        job = page.start("restore", snapshot="first")
        page.until(job, "waits for you")
        page.send(f"{job}/answer", word=slow.name)
        # Tabs that watch, and go in the middle of it.
        for _ in range(3):
            made = http.client.HTTPConnection(page.host, timeout=60)
            made.request("GET", f"{job}/events", headers=page.headers)
            answer = made.getresponse()
            assert answer.readline().startswith(b"event: job")
            made.sock.close()
            made.close()
        assert "safety" in page.until(job, "done")
    assert rows(slow) == ROWS


def is_writing(process: int) -> bool:
    try:
        return "pipe_write" in Path(f"/proc/{process}/wchan").read_text()
    except OSError:
        return False


def test_ctrl_c_while_the_address_is_written_ends_it_as_later(
    snap: CommandLine, repository: Path
) -> None:
    """Seen on busy machines: the reader has the address before the writer goes on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    # A reader that is late: there is no room for another byte.
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b" " * size)
    child = snap.popen("ui", "--no-browser", "--json", "--port", str(port), stdout=writing)
    os.close(writing)
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        assert time.monotonic() < deadline
    # It is in the middle of it; not all kernels say so.
    deadline = time.monotonic() + 3
    while not is_writing(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    with os.fdopen(reading, "rb") as late:
        late.read()
    assert child.wait(timeout=60) == 0
