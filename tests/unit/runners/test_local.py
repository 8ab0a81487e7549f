"""Tools on this host: which one is taken, and that none outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contract.runner_contract import RunnerContract
from pgsnap.errors import ToolMissing
from pgsnap.runners.base import Runner
from pgsnap.runners.local import LocalRunner, parse_version

OWNER = """
import sys, threading, time
from pgsnap.runners.local import LocalRunner
started = []
thread = threading.Thread(target=lambda: started.append(LocalRunner().start(["sleep", "300"])))
thread.start()
thread.join()
time.sleep(0.3)
print(started[0].pid, started[0].poll(), flush=True)
time.sleep(300)
"""


class TestLocalRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> Runner:
        return LocalRunner()


def program(folder: Path, name: str, line: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{line}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with pg_dump 14, 15 and 17, and 16 on PATH."""
    for major in (14, 15, 17):
        program(tmp_path / f"usr/lib/postgresql/{major}/bin", "pg_dump",
                f"pg_dump (PostgreSQL) {major}.3 (Debian {major}.3-1)")  # fmt: skip
    program(tmp_path / "path", "pg_dump", "pg_dump (PostgreSQL) 16.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/bin:/usr/bin")
    return tmp_path


def test_the_asked_major_is_preferred(system: Path) -> None:
    tool = LocalRunner(root=system).find("pg_dump", 14)
    assert (tool.major, tool.version_num) == (14, 140003)
    assert tool.path == str(system / "usr/lib/postgresql/14/bin/pg_dump")


def test_the_asked_major_is_found_on_path_too(system: Path) -> None:
    assert LocalRunner(root=system).find("pg_dump", 16).path == str(system / "path/pg_dump")


def test_without_the_asked_major_the_newest_is_taken(system: Path) -> None:
    assert LocalRunner(root=system).find("pg_dump", 18).major == 17


def test_the_given_folder_comes_first(system: Path, tmp_path: Path) -> None:
    own = program(tmp_path / "own", "pg_dump", "pg_dump (PostgreSQL) 15.99")
    runner = LocalRunner(own.parent, root=system)
    assert runner.find("pg_dump", 15).path == str(own)
    assert runner.find("pg_dump").path == str(own)
    assert runner.find("pg_dump", 14).major == 14


def test_a_program_that_does_not_tell_its_version_is_passed_over(system: Path) -> None:
    program(system / "usr/lib/postgresql/15/bin", "pg_dump", "hello")
    assert LocalRunner(root=system).find("pg_dump", 15).major == 17


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'libpq.so.5: cannot open' >&2; exit 127", "ended with status 127. libpq.so.5:"),
        ("kill -9 $$", "was killed by signal 9."),
        ("echo something else", 'prints no version: "something else".'),
    ],
)
def test_a_program_that_does_not_work_is_not_said_to_be_missing(
    tmp_path: Path, script: str, why: str
) -> None:
    path = tmp_path / "psql"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(ToolMissing, match="psql does not work") as caught:
        LocalRunner(tmp_path, root=tmp_path / "none").find("psql", 15)
    assert f"{path} --version {why}" in caught.value.detail
    assert "apt install --reinstall postgresql-client-15" in caught.value.hint


def test_versions_of_every_shape_are_read() -> None:
    assert parse_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)") == 150018
    assert parse_version("psql (PostgreSQL) 18beta1") == 180000
    assert parse_version("pg_dump (EnterpriseDB) 16.4.1") == 160004
    assert parse_version("psql: error") is None


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: parent-death signals")
def test_a_child_outlives_the_thread_that_asked_for_it_but_not_the_process() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdout
    with owner:
        pid, status = owner.stdout.readline().split()
        assert status == "None"
        assert is_running(int(pid))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    deadline = time.monotonic() + 60
    while is_running(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(int(pid))


def test_a_child_gets_no_signal_from_our_terminal() -> None:
    child = LocalRunner().start(["sleep", "60"])
    try:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        assert os.getsid(child.pid) != os.getsid(0)
    finally:
        child.kill()


def test_a_stopped_wrapper_leaves_no_program_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = LocalRunner().start(["sh", "-c", f"sleep 300 & echo $! > {pid_file}; echo up; wait"])
    child.read(10)
    child.stop()
    grandchild = int(pid_file.read_text())
    deadline = time.monotonic() + 60
    while is_running(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(grandchild)


def test_a_forgotten_child_leaves_no_descriptor_open() -> None:
    runner = LocalRunner()
    runner.start(["true"]).wait()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        child = runner.start(["sh", "-c", "echo x"], stdin=True)
        child.wait()
    del child
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_many_threads_can_start_children_at_once() -> None:
    runner = LocalRunner()
    answers: list[bytes] = []

    def ask(number: int) -> None:
        answers.append(runner.start(["echo", str(number)]).read(100))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"{number}\n".encode() for number in range(10))
