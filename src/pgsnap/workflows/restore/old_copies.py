"""The databases that earlier restores replaced: how many stay, and which go when a restore is done.

One that has what no snapshot has never goes unasked: it is read, and compared with the safety
snapshot that was made of it before it was replaced.
"""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.errors import SnapError
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.swap.kept import KeptDatabase
from pgsnap.workflows.notes.kept_databases import drop_kept
from pgsnap.workflows.restore.plan import RestorePlan

_DROP = "drop it: snap undo --discard, or with the next restore: --discard-old"


def drop_old(
    repo: Repository,
    plan: RestorePlan,
    server: Server,
    connect: Callable[[], Session],
    progress: Progress = SILENT,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Drop those of `plan.kept` that may go, now that the restore is done. Returns the dropped
    names, and why others stay."""
    stayed: list[str] = []
    going = []
    for kept in plan.kept:
        why = "" if plan.options.discard_old else _why_it_stays(repo, plan, server, kept, progress)
        if why:
            stayed.append(f"{kept.name} stays: {why}; {_DROP}")
        else:
            going.append(kept)
    quiet = server.without_event_triggers()
    gone, failed = drop_kept(repo, connect, quiet.connect, plan.label, going, progress)
    return gone, (*stayed, *failed)


def _why_it_stays(
    repo: Repository, plan: RestorePlan, server: Server, kept: KeptDatabase, progress: Progress
) -> str:
    """Return why *kept* may have what its safety snapshot lacks, "" if it has not."""
    if kept.safety is None:
        return "no safety snapshot was made of it"
    # Imported here, since most restores compare nothing.
    from pgsnap.workflows.diff.diff import diff

    source = PostgresSource(
        server,
        database=kept.name,
        allow_newer_client=plan.options.allow_newer_client,
        with_globals=False,
    )
    try:
        report = diff(repo, kept.safety, source, progress=progress)
    except SnapError as error:
        return f"it cannot be compared with its safety snapshot: {error.message}"
    if report.contents_differ:
        return f"it has what its safety snapshot, {kept.safety.hex()[:12]}, lacks"
    return ""
