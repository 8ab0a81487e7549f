"""Repositories for tests: made, filled, killed at a chosen moment, and read by another user."""

from __future__ import annotations

import os
import stat
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pgsnap.errors import SnapError
from pgsnap.limits import PACK_BYTES
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.commit import CommitReport, commit
from support.dumps.scripted import Dump, ScriptedSource, shop

# Any user but root: root may write everywhere.
UNPRIVILEGED = 65534


def make(path: Path, *, pack_bytes: int = PACK_BYTES) -> Path:
    """Create a repository; with small packs a commit makes several."""
    Repository.create(path, pack_bytes=pack_bytes)
    return path


def record(
    repo: Repository,
    dump: Dump | None = None,
    *,
    database: str = "shop",
    message: str = "a snapshot",
    tags: Sequence[str] = (),
    force_tags: bool = False,
    skip_unchanged: bool = False,
    at: datetime | None = None,
) -> CommitReport:
    """Commit a scripted dump."""
    return commit(
        repo,
        ScriptedSource(dump or shop(200)),
        database=database,
        message=message,
        tags=tags,
        force_tags=force_tags,
        skip_unchanged=skip_unchanged,
        at=at,
    )


def day(number: int) -> datetime:
    """Return noon of the n-th day of a month."""
    return datetime(2026, 1, number, 12, tzinfo=UTC)


def kill_after_the_manifest(
    path: Path, *, tags: Sequence[str] = (), force: bool = False
) -> SnapshotId:
    """Commit, and die between the commit point and the index. Return the snapshot's id."""
    before = {file.name for file in (path / "snapshots").glob("*")}
    status = in_child(lambda: _die_after_the_manifest(path, tags, force))
    assert status == 9
    (made,) = {file.name for file in (path / "snapshots").glob("*")} - before
    return bytes.fromhex(made)


def _die_after_the_manifest(path: Path, tags: Sequence[str], force: bool) -> None:
    with Repository.open(path) as repo:
        write = repo.store.put

        def put_and_die(name: str, data: bytes | list[bytes]) -> None:
            write(name, data)
            if name.startswith("snapshots/"):
                os._exit(9)

        repo.store.put = put_and_die  # type: ignore[method-assign]
        record(repo, shop(300), message="killed", tags=tags, force_tags=force)


def in_child(task: Callable[[], None], *, user: int | None = None) -> int:
    """Run *task* in a child process, as *user* if that is given; return its exit status: 0 where
    it returned, a SnapError's exit code, 99 for any other exception (its trace goes to stderr)."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            if user is not None and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            task()
            status = 0
        except SnapError as error:
            print(type(error).__name__, error.message, error.detail, file=sys.stderr)
            status = error.exit_code
        except BaseException:  # noqa: BLE001 - a child of fork must never return into pytest
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make_read_only(folder: Path) -> None:
    """Let *folder* be like read-only media to UNPRIVILEGED: it may read all and write nothing."""
    for parent in folder.parents:
        # pytest's own folders are closed to other users.
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def make_writable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
