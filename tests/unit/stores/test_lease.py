"""Leases: who waits for whom where there is no flock, and whose lease is nobody's any more."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryLocked
from pgsnap.files.folder import Folder
from pgsnap.repository import lock
from pgsnap.repository.repository import Repository
from pgsnap.stores import lease
from support.dumps.scripted import shop, texts
from support.repositories.made import in_child, make, record


def try_to_hold(folder: Path, *, alone: bool) -> int:
    """Return 0 if another process gets the lock now, 7 if it does not."""

    def task() -> None:
        try:
            with lease.hold(Folder(folder), alone=alone, timeout_seconds=0):
                pass
        except lease.LeaseTaken:
            os._exit(7)

    return in_child(task)


def test_leases_are_shared_or_held_alone(tmp_path: Path) -> None:
    with lease.hold(Folder(tmp_path), alone=False, timeout_seconds=0):
        assert try_to_hold(tmp_path, alone=False) == 0
        assert try_to_hold(tmp_path, alone=True) == 7
    with lease.hold(Folder(tmp_path), alone=True, timeout_seconds=0):
        assert try_to_hold(tmp_path, alone=False) == 7
        assert try_to_hold(tmp_path, alone=True) == 7
    assert try_to_hold(tmp_path, alone=True) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_lease_of_a_dead_process_of_this_host_is_free_at_once(tmp_path: Path) -> None:
    def die() -> None:
        with lease.hold(Folder(tmp_path), alone=True, timeout_seconds=0):
            os._exit(0)

    in_child(die)
    assert len(list(tmp_path.iterdir())) == 1
    with lease.hold(Folder(tmp_path), alone=True, timeout_seconds=0) as held:
        assert held.is_held()


def foreign(folder: Path, *, age_seconds: float) -> Path:
    """Make a lease as another host would have made it."""
    path = folder / "alone-0123456789abcdef"
    holder = {"host": "other", "place": "other boot pid", "pid": 1, "started": "1", "since": "now"}
    path.write_text(json.dumps(holder))
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_the_lease_of_another_host_counts_until_its_heartbeat_is_old(tmp_path: Path) -> None:
    path = foreign(tmp_path, age_seconds=lease.STALE_SECONDS - 60)
    assert try_to_hold(tmp_path, alone=False) == 7
    os.utime(path, (time.time() - lease.STALE_SECONDS - 60,) * 2)
    assert try_to_hold(tmp_path, alone=False) == 0
    assert not path.exists()


def test_a_lease_from_a_time_when_the_clock_was_wrong_holds_nobody_up(tmp_path: Path) -> None:
    path = foreign(tmp_path, age_seconds=-10 * 365 * 86400)
    assert try_to_hold(tmp_path, alone=True) == 0
    assert not path.exists()
    # A clock that is a little behind is no reason.
    foreign(tmp_path, age_seconds=-60)
    assert try_to_hold(tmp_path, alone=True) == 7


def test_a_holder_keeps_its_lease_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.02)
    with lease.hold(Folder(tmp_path), alone=False, timeout_seconds=0):
        (path,) = tmp_path.iterdir()
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 60
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_many_who_want_it_alone_never_have_it_together(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    folder = Folder(tmp_path).below("leases")

    def work() -> None:
        for _ in range(5):
            with lease.hold(folder, alone=True, timeout_seconds=60):
                inside.mkdir()
                time.sleep(0.005)
                inside.rmdir()

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_flock")
def test_a_repository_without_flock_works_and_is_held(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        made = record(repo, shop(50), tags=("one", "two")).snapshot_id
        assert texts(repo, made) == shop(50).texts
        assert record(repo, shop(60), tags=("one",), force_tags=True).tags == ("one",)
        with pytest.raises(RepositoryLocked) as caught, lock.exclusive(Folder(path), 0.0):
            pass
        assert f"Process {os.getpid()} on " in caught.value.detail
    with lock.exclusive(Folder(path), 0.0), pytest.raises(RepositoryLocked):
        Repository.open(path, lock_timeout_seconds=0)


@pytest.mark.usefixtures("no_flock")
def test_a_commit_whose_lease_was_taken_away_is_no_snapshot(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        for taken in (path / lock.LEASES).iterdir():
            taken.unlink()
        with pytest.raises(RepositoryLocked):
            record(repo, shop(50))
    with Repository.open(path) as repo:
        assert repo.newest(None) == []


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_either_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*paths: object, **folders: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = record(repo, shop(50), tags=("one",)).snapshot_id
        assert repo.tags.get("shop", "one") is not None
        assert texts(repo, made) == shop(50).texts


def test_an_anonymous_lease_names_no_host_and_is_found_dead_all_the_same(tmp_path: Path) -> None:
    def die() -> None:
        with lease.hold(Folder(tmp_path), alone=True, timeout_seconds=0, anonymous=True):
            os._exit(0)

    with lease.hold(Folder(tmp_path), alone=True, timeout_seconds=0, anonymous=True):
        (file,) = tmp_path.iterdir()
        assert socket.gethostname() not in file.read_text()
        assert try_to_hold(tmp_path, alone=False) == 7
    in_child(die)
    assert try_to_hold(tmp_path, alone=True) == 0
