"""The repository's lock: who waits for whom, how long, and what the loser is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryLocked, StoreError, UntrustedPath
from pgsnap.files.folder import Folder
from pgsnap.repository import lock
from pgsnap.repository.repository import Repository
from support.repositories.made import record

HOLD = """
import sys
from pathlib import Path
from pgsnap.files.folder import Folder
from pgsnap.repository import lock
with getattr(lock, sys.argv[1])(Folder(Path(sys.argv[2])), 5.0):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(how: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock meanwhile."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, how, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_readers_and_writers_share_the_repository(path: Path) -> None:
    with held("shared", path), Repository.open(path, lock_timeout_seconds=0) as repo:
        assert record(repo).recorded


def test_who_deletes_is_alone_and_the_holder_is_named(path: Path) -> None:
    with held("exclusive", path) as holder:
        started = time.monotonic()
        with pytest.raises(RepositoryLocked) as caught:
            Repository.open(path, lock_timeout_seconds=0.3)
        assert time.monotonic() - started >= 0.3
        assert caught.value.exit_code == 11
        assert f"Process {holder.pid} on " in caught.value.detail
        assert "--lock-timeout" in caught.value.hint


def test_who_deletes_waits_for_readers(path: Path) -> None:
    with held("shared", path):
        with pytest.raises(RepositoryLocked) as caught, lock.exclusive(Folder(path), 0.0):
            pass
        assert caught.value.detail == "Commits or readers hold it."


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    with held("exclusive", path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        Repository.open(path, lock_timeout_seconds=1).close()


def test_a_lock_that_is_given_back_in_time_is_taken(path: Path) -> None:
    with held("exclusive", path) as holder:
        pid = os.fork()
        if pid == 0:
            time.sleep(0.3)
            os.kill(holder.pid, signal.SIGKILL)
            os._exit(0)
        Repository.open(path, lock_timeout_seconds=20).close()
        os.waitpid(pid, 0)


def test_the_holder_is_forgotten_when_the_lock_is_given_back(path: Path) -> None:
    with lock.exclusive(Folder(path), 0.0):
        assert str(os.getpid()) in (path / "lock").read_text()
    assert (path / "lock").read_text() == ""


def test_a_closed_repository_holds_no_lock(path: Path) -> None:
    repo = Repository.open(path)
    repo.close()
    with lock.exclusive(Folder(path), 0.0):
        pass


def test_a_lock_in_no_folder_is_unusable_for_who_deletes(tmp_path: Path) -> None:
    with pytest.raises(StoreError), lock.exclusive(Folder(tmp_path / "none"), 0.0):
        pass


def test_an_open_that_fails_gives_the_lock_back(path: Path) -> None:
    (path / "snapshots").mkdir()
    (path / "snapshots" / "00").symlink_to("00")
    with pytest.raises(UntrustedPath):
        Repository.open(path)
    with lock.exclusive(Folder(path), 0.0):
        pass


def test_an_anonymous_lock_names_no_host(tmp_path: Path) -> None:
    with lock.exclusive(Folder(tmp_path), 0.0, anonymous=True):
        assert socket.gethostname() not in (tmp_path / "lock").read_text()
        with pytest.raises(RepositoryLocked) as caught, lock.shared(Folder(tmp_path), 0.0):
            pass
    assert f"Process {os.getpid()} on a host holds it since" in caught.value.detail
