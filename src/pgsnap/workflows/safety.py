"""The safety snapshot: what a restore or an undo is about to replace, recorded first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.read_only import ReadOnly
from pgsnap.workflows.commit import commit


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
    progress: Progress = SILENT,
) -> Callable[[], SnapshotId]:
    """Return what records *database* under *label*, tagged ``before-<verb>/<time>``.

    *read_only* is in force only meanwhile, and so is not recorded.
    """

    def record() -> SnapshotId:
        source = PostgresSource(
            server,
            database=database,
            lock_wait_timeout_seconds=lock_wait_timeout_seconds,
            allow_newer_client=allow_newer_client,
            adjust=read_only.left_out if read_only is not None else None,
        )
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        report = commit(
            repo,
            source,
            database=label,
            message=f"before snap {verb}",
            tags=(f"before-{verb}/{stamp}",),
            progress=progress,
        )
        return report.snapshot_id

    return record
