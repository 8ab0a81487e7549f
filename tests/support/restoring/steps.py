"""Kills a restore at each of its steps: every effect on the disk, every statement, every block.

The steps are found, not listed: a session's statements and what goes into psql's pipe are watched
where they leave the process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.psycopg_session import PsycopgSession
from pgsnap.workflows.restore.plan import RestoreOptions
from support.faults.disk import KillAt, watched
from support.repositories.made import in_child
from support.restoring.clients import databases_like, restore_now, server_of
from support.servers.databases import Database

SCRATCH_OR_KEPT = "%\\_\\_snap\\_%"


class KillAfterSwap(KillAt):
    """Kills its process at the n-th step (from 0) from the server's answer to the swap on."""

    def __init__(self, kill_at: int) -> None:
        super().__init__(kill_at)
        self._has_swapped = False

    def before(self, effect: str, path: str) -> None:
        step = f"{effect} {path}"
        self._has_swapped |= step.startswith("statement is done BEGIN; SET LOCAL lock_timeout")
        if self._has_swapped:
            super().before(effect, path)


@contextmanager
def watched_restore(base: Path, watcher: KillAt) -> Iterator[None]:
    """Let *watcher* also hear of each statement, before it is sent and when its answer is there,
    and of each block that psql is given."""

    def around(whole: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watching(self: Any, what: Any, *more: Any) -> Any:
            text = what[:40] if isinstance(what, str) else f"{len(what)} bytes"
            watcher.before(name, " ".join(text.split()))
            answer = whole(self, what, *more)
            watcher.before(f"{name} is done", " ".join(text.split()))
            return answer

        return watching

    with (
        watched(base, watcher),
        mock.patch.object(PsycopgSession, "query", around(PsycopgSession.query, "statement")),
        mock.patch.object(LocalChild, "write", around(LocalChild.write, "block")),
    ):
        yield


def restore_in_child(path: Path, database: Database, snapshot: SnapshotId, watcher: KillAt) -> int:
    """Restore in a process of its own, watched; return its exit status."""

    def task() -> None:
        with watched_restore(path, watcher), Repository.open(path) as repo:
            options = RestoreOptions(discard_old=True)
            restore_now(repo, snapshot, server_of(database), options)

    return in_child(task)


def steps_of_a_restore(path: Path, database: Database, snapshot: SnapshotId) -> list[str]:
    names = path.with_name("steps")
    assert restore_in_child(path, database, snapshot, KillAt(None, names=names)) == 0
    found = names.read_text().splitlines()
    names.unlink()
    return found


def kill_restore(path: Path, database: Database, snapshot: SnapshotId, moment: int) -> bool:
    """Kill a restore at *moment*. Return whether it was killed."""
    status = restore_in_child(path, database, snapshot, KillAt(moment))
    assert status in (-signal.SIGKILL, 0), f"moment {moment}"
    backends_gone(database)
    return status != 0


def backends_gone(database: Database) -> None:
    """Wait until the server noticed that the clients are dead."""
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'snap %'"
    deadline = time.monotonic() + 30
    while database.cluster.psql(alive) != "0":
        assert time.monotonic() < deadline, "a dead process's backend goes on"
        time.sleep(0.02)


def heal(path: Path, database: Database, snapshot: SnapshotId) -> None:
    """Restore once more: it works, and nothing of a dead restore is left."""
    with Repository.open(path) as repo:
        report = restore_now(repo, snapshot, server_of(database), RestoreOptions(discard_old=True))
    assert databases_like(database, SCRATCH_OR_KEPT) == [report.kept]


def children_of(pid: int) -> list[int]:
    """Return the processes that *pid* started and that live."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest[1]) == pid and rest[0] not in "ZX":
            found.append(int(status.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
