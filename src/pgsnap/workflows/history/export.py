"""Export: a snapshot as a file that `gunzip -c … | psql` restores, without snap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path

from pgsnap.dump.events import text_of
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.masking.masks import Masks
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import WITH_SEQUENCES, section_events, sections_of
from pgsnap.repository.repository import Repository
from pgsnap.targets.file import check_target, write_file
from pgsnap.values import dataclass
from pgsnap.workflows.commit.backup_names import backup_name


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: *plain_bytes* of dump became *file_bytes* in *path*."""

    snapshot_id: SnapshotId
    snapshot: Snapshot
    path: Path
    plain_bytes: int
    file_bytes: int
    seconds: float


def export(
    repo: Repository,
    snapshot_id: SnapshotId,
    path: Path,
    *,
    zone: tzinfo | None = None,
    force: bool = False,
    with_extension_sequences: bool = False,
    masks: Masks | None = None,
    progress: Progress = SILENT,
) -> ExportReport:
    """Write the dump of a snapshot to *path*, compressed according to its suffix, with the
    snapshot's time as its mtime. If *path* is a folder, the file is named after that time in
    *zone*. With *masks* rows are masked on the way.

    Raises UsageError, StoreFull, StoreError, CorruptionError; then there is no new file.
    """
    started = time.monotonic()
    snapshot = repo.snapshot(snapshot_id)
    if path.is_dir():
        path = path / backup_name(snapshot.time, zone)
    check_target(path, force=force)
    repo.check_present(snapshot)
    masking = None
    if masks is not None:
        # NumPy, which it needs, takes longer to import than a small snapshot to write.
        from pgsnap.workflows.masks.plan import masking_for

        masking = masking_for(repo, snapshot_id, masks)
    progress.phase("export", snapshot.plain_bytes)

    def told() -> Iterator[bytes]:
        also = WITH_SEQUENCES if with_extension_sequences else ()
        sections = sections_of(repo, snapshot, also=also)
        events = section_events(repo, snapshot, sections, fresh_restrict_key())
        if masking is not None:
            events = masking.definitions(masking.passing(events))
        for block in text_of(events):
            progress.advance(len(block))
            yield block

    written = write_file(path, told(), modified=snapshot.time, force=force)
    return ExportReport(
        snapshot_id=snapshot_id,
        snapshot=snapshot,
        path=written.path,
        plain_bytes=written.plain_bytes,
        file_bytes=written.file_bytes,
        seconds=time.monotonic() - started,
    )
