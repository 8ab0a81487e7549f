"""Reindex: the whole index rebuilt from packs, manifests and notes alone."""

from __future__ import annotations

import time
from pathlib import Path

from pgsnap import limits
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.maintenance.rebuild import rebuild_index
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.places.opening import Where
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """The contents of the new index. *left_out* names unsound objects, with the reason."""

    packs: int
    chunks: int
    snapshots: int
    left_out: tuple[tuple[str, str], ...]
    seconds: float


def reindex(
    where: Where,
    *,
    lock_timeout_seconds: float = limits.LOCK_TIMEOUT_SECONDS,
    index_folder: Path | None = None,
    progress: Progress = SILENT,
    trust: Trust = ONLY_OURS,
    unlock: Unlock | None = None,
) -> ReindexReport:
    """Rebuild the index of the repository in *where*. No other process may have it open meanwhile.

    Tags are not in it, since they are always read from the store. Raises RepositoryLocked,
    RepositoryError, StoreError.
    """
    started = time.monotonic()
    made = rebuild_index(
        where,
        lock_timeout_seconds=lock_timeout_seconds,
        index_folder=index_folder,
        progress=progress,
        trust=trust,
        unlock=unlock,
    )
    return ReindexReport(
        made.packs, made.chunks, made.snapshots, made.left_out, time.monotonic() - started
    )
