"""The snapshot that a restore or undo makes of what it is about to replace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pgsnap.cli.settings import Settings

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server


def safety_commit(
    repo: Repository,
    server: Server,
    settings: Settings,
    *,
    label: str,
    database: str,
    verb: str,
    allow_newer_client: bool,
    progress: Progress,
) -> Callable[[], SnapshotId]:
    """Return what records *database* under *label*, tagged ``before-<verb>/<time>``."""

    def record() -> SnapshotId:
        from pgsnap.sources.postgres import PostgresSource
        from pgsnap.workflows.commit import commit

        source = PostgresSource(
            server,
            database=database,
            lock_wait_timeout_seconds=settings.lock_wait_timeout,
            allow_newer_client=allow_newer_client,
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
