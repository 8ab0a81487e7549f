"""Kills a commit at each of its effects on the disk, and checks what is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from pgsnap.stores.local import LocalStore
from support.faults.disk import KillAt, watched
from support.repositories.histories import (
    LATER,
    PACK_BYTES,
    check,
    check_and_go_on,
    commit_state,
    play,
)
from support.repositories.made import in_child, make


def made(path: Path) -> Path:
    """Make a repository with two commits: what every kill must leave."""
    make(path, pack_bytes=PACK_BYTES)
    play(path, 0, 1, lambda label: None)
    return path


def effects_of_a_commit(path: Path) -> list[str]:
    """Return the names of the effects of one commit, which is done in a copy of *path*."""
    copy, names = path.with_name("counted"), path.with_name("names")
    shutil.copytree(path, copy)

    def counted() -> None:
        with watched(copy, KillAt(None, names=names)):
            commit_state(copy, 2)

    assert in_child(counted) == 0
    found = names.read_text().splitlines()
    names.unlink()
    shutil.rmtree(copy)
    return found


def kill_commits(path: Path, moments: Iterable[int]) -> tuple[int, int]:
    """Kill a commit into a copy of *path* at each of *moments*. Return how many were killed, and
    how many of these had passed the commit point."""
    killed = passed = 0
    for moment in moments:
        copy = path.with_name(f"killed-{moment}")
        shutil.copytree(path, copy)

        def commit(copy: Path = copy, moment: int = moment) -> None:
            with watched(copy, KillAt(moment)):
                commit_state(copy, 2)

        status = in_child(commit)
        assert status in (-signal.SIGKILL, 0), f"moment {moment}"
        killed += status != 0
        try:
            # Which effects there are differs a little from run to run: threads take turns.
            seen = check(copy, {0, 1})
            passed += 2 in seen and status != 0
            assert 2 in seen or status != 0
            check_and_go_on(copy, seen - {LATER})
        except BaseException as error:
            error.add_note(f"killed at moment {moment}: {copy}")
            raise
        shutil.rmtree(copy)
    return killed, passed


def kill_a_growing_history(path: Path, kills: int, *, seed: int, effects: int) -> set[int]:
    """Kill commit after commit in one repository, at random moments; what one leaves behind is
    what the next begins with. Return the states that are there in the end."""
    chance = random.Random(seed)
    must: set[int] = check(path, {0, 1})
    for number in range(100, 100 + kills):
        moment = chance.randrange(effects + 20)

        def commit(number: int = number, moment: int = moment) -> None:
            with watched(path, KillAt(moment)):
                commit_state(path, number)

        if in_child(commit) == 0:
            must.add(number)
        if number % 10 == 0:
            must |= check(path, must)
    return check(path, must)


def die_in_a_write(calls: int) -> None:
    """Let this process, a child of a test, end in the local store's call number *calls* (from 0)
    that writes an object or moves one."""
    left = iter(range(calls, -1, -1))
    for name in ("put", "move", "create"):
        real = getattr(LocalStore, name)

        def run(*words: object, real: object = real) -> None:
            if next(left, 0) == 0:
                os._exit(9)
            real(*words)  # type: ignore[operator]

        setattr(LocalStore, name, run)
