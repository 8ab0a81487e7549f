"""The safety snapshot: records what a restore or an undo is about to replace."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.repository.splicing.watching import SpliceWatch
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.swap.read_only import ReadOnly
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.commit.former import Policy
from pgsnap.workflows.notes.bases import put_back_last


def safety_commit(
    repo: Repository,
    server: Server,
    *,
    label: str,
    database: str,
    verb: str,
    lock_wait_timeout_seconds: float,
    allow_newer_client: bool = False,
    read_only: ReadOnly | None = None,
    jobs: int | None = None,
    may_checkpoint: bool = True,
    is_proof: bool = False,
    is_full: bool = False,
    watch: SpliceWatch | None = None,
    progress: Progress = SILENT,
) -> Callable[[], SnapshotId]:
    """Return a callable that records *database* under *label*, tagged
    ``before-<verb>/<time>-<count>``.

    *read_only* is in force only during the commit, and so is not recorded. With *jobs* only what
    changed since the last snapshot is read, over so many connections; everything if *is_full*.
    *watch* sees what changed. With *is_proof* it is what the restore made: its tag is
    ``after-<verb>/…``.
    """

    when = "after" if is_proof else "before"

    def record() -> SnapshotId:
        source = PostgresSource(
            server,
            database=database,
            lock_wait_timeout_seconds=lock_wait_timeout_seconds,
            allow_newer_client=allow_newer_client,
            adjust=read_only.left_out if read_only is not None else None,
            jobs=jobs,
            may_checkpoint=may_checkpoint,
        )
        report = commit(
            repo,
            source,
            database=label,
            message=f"{when} snap {verb}",
            tags=(_free_tag(repo, label, f"{when}-{verb}"),),
            stems_from=put_back_last(repo, server, label, database),
            policy=Policy(is_full=is_full),
            watch=watch,
            progress=progress,
        )
        return report.snapshot_id

    return record


def _free_tag(repo: Repository, label: str, stem: str) -> str:
    """Return a tag of this second, with a count of the tags created in it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{stem}/{stamp}-{count}" for count in itertools.count(1))
    return next(name for name in names if repo.tags.get(label, name) is None)
