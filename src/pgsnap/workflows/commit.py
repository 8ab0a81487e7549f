"""Commit: a dump becomes a snapshot, or nothing does."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pgsnap import __version__
from pgsnap.errors import UsageError
from pgsnap.format.sections import outside_roots, root_hash
from pgsnap.format.times import to_micros
from pgsnap.limits import MESSAGE_BYTES_MAX
from pgsnap.model import Origin, SectionKind, Snapshot, SnapshotId, SourceKind
from pgsnap.progress import SILENT, Progress
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.tags import tag_exists
from pgsnap.sources.base import Source

# A first snapshot is compared with so many other databases.
_COMPARED_WITH_MAX = 4


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit did.

    *unchanged*: the contents equal the parent's; *globals_changed*: only roles or tablespaces
    differ. *recorded* is false where an unchanged database was to be skipped; then *snapshot_id*
    names the parent. *tags_refused* were taken by another process meanwhile.
    """

    snapshot_id: SnapshotId
    snapshot: Snapshot
    recorded: bool
    unchanged: bool
    globals_changed: bool
    tags: tuple[str, ...]
    tags_refused: tuple[str, ...]
    stored_bytes: int
    seconds: float


def commit(
    repo: Repository,
    source: Source,
    *,
    database: str,
    message: str,
    tags: Sequence[str] = (),
    force_tags: bool = False,
    skip_unchanged: bool = False,
    at: datetime | None = None,
    progress: Progress = SILENT,
) -> CommitReport:
    """Store what *source* yields as a new snapshot of *database*, a label.

    Nothing is visible to readers until `publish`. *at* dates the snapshot (default: now): its
    parent is then the newest at or before that time, and contents that a snapshot of that very
    time has are not recorded again.
    Raises what the source raises, UsageError, TagExists, StoreError; then nothing was recorded.
    """
    started = time.monotonic()
    began = datetime.now(UTC)
    tags = tuple(dict.fromkeys(tags))
    _check(repo, database, message, tags, force_tags=force_tags)
    moment = at or _after(began, next(iter(repo.newest(database, 1)), None), repo)
    try:
        origin = source.open()
        # NumPy takes a while to import: pg_dump is under way meanwhile.
        from pgsnap.repository.ingest import Ingest

        repo.catch_up_packs()
        earlier = _to_compare_with(repo, database, moment)
        live = origin.kind is SourceKind.POSTGRES
        ingest = Ingest(repo, earlier, progress, beside_server=live)
        try:
            progress.phase(f"commit {database}")
            sections = ingest.store(source.events())
            # Raises unless every sign says that the dump is whole.
            result = source.finish()
            table = ingest.store_table(sections)
            ingest.flush()
        except BaseException:
            ingest.abandon()
            raise
    except BaseException:
        source.abandon()
        raise
    # Another commit may have begun later and ended sooner: it is newer than this one.
    parent_id = repo.at_or_before(database, to_micros(moment) - (at is None))
    parent = repo.snapshot(parent_id) if parent_id is not None else None
    root, outside = root_hash(sections), outside_roots(sections)
    globals_root = outside.get(SectionKind.GLOBALS)
    sequences_root = outside.get(SectionKind.EXTENSION_SEQUENCES)
    statistics_root = outside.get(SectionKind.STATISTICS)
    unchanged = (
        parent is not None
        and parent.root == root
        and parent.extension_sequences_root == sequences_root
    )
    globals_changed = parent is not None and parent.globals_root != globals_root
    seconds = time.monotonic() - started
    is_twice = at is not None and parent is not None and parent.time == at
    same = (
        unchanged
        and not globals_changed
        and parent is not None
        and parent.statistics_root == statistics_root
        and _same_properties(parent, result.origin)
    )
    skip = ((skip_unchanged and not tags) or is_twice) and same
    if skip and parent is not None and parent_id is not None:
        return CommitReport(
            parent_id, parent, False, True, False, (), (), ingest.stored_bytes, seconds
        )
    snapshot = Snapshot(
        database=database,
        time=moment,
        message=message,
        parent=parent_id,
        root=root,
        globals_root=globals_root,
        sections_recipe=table,
        section_count=len(sections),
        table_count=len(
            {
                (section.name.schema, section.name.name)
                for section in sections
                if section.name.kind is SectionKind.DATA
            }
        ),
        plain_bytes=sum(section.plain_bytes for section in sections),
        rows=sum(section.rows or 0 for section in sections),
        stored_bytes=ingest.stored_bytes,
        duration_ms=round(seconds * 1000),
        origin=result.origin,
        volatile=result.volatile,
        wished_tags=tuple("+" + tag if force_tags else tag for tag in tags),
        creator=_creator(),
        extension_sequences_root=sequences_root,
        statistics_root=statistics_root,
    )
    new, given = repo.publish(snapshot)
    return CommitReport(
        snapshot_id=new,
        snapshot=snapshot,
        recorded=True,
        unchanged=unchanged,
        globals_changed=globals_changed,
        tags=tuple(given),
        tags_refused=tuple(tag for tag in tags if tag not in given),
        stored_bytes=ingest.stored_bytes,
        seconds=time.monotonic() - started,
    )


def _check(
    repo: Repository, database: str, message: str, tags: Sequence[str], *, force_tags: bool
) -> None:
    """Raise before the dump starts what would otherwise be found after it."""
    layout.check_label(database)
    if len(message.encode("utf-8", "surrogateescape")) > MESSAGE_BYTES_MAX:
        raise UsageError(
            "the message is too long", detail=f"It may have {MESSAGE_BYTES_MAX} bytes."
        )
    for tag in tags:
        layout.check_tag(tag)
        found = repo.tags.get(database, tag)
        if found is not None and not force_tags:
            raise tag_exists(found)


def _to_compare_with(repo: Repository, database: str, moment: datetime) -> list[Snapshot]:
    """Return the snapshots whose chunks new ones may be like, best first: the one before, else any
    of the label, else the newest of other databases (this one may be a copy of one of them)."""
    before = repo.at_or_before(database, to_micros(moment))
    ids = [before] if before is not None else repo.newest(database, 1)
    if not ids:
        others = [repo.newest(other, 1)[0] for other in repo.databases()]
        ids = sorted(others, key=lambda other: repo.snapshot(other).time, reverse=True)
    return [repo.snapshot(snapshot) for snapshot in ids[:_COMPARED_WITH_MAX]]


def _same_properties(parent: Snapshot | None, origin: Origin) -> bool:
    """Tell whether owner, rights, settings and the like, which no dump holds, are as they were."""
    before = parent.origin.properties if parent is not None else None
    if before is None or origin.properties is None:
        return before is origin.properties
    return replace(before, size_bytes=0) == replace(origin.properties, size_bytes=0)


def _after(began: datetime, newest: SnapshotId | None, repo: Repository) -> datetime:
    """Return the time of a commit: when it began, yet after the *newest* snapshot of that moment,
    also where the clock was set back; else ``latest`` would go on meaning that one."""
    if newest is None:
        return began
    return max(began, repo.snapshot(newest).time + timedelta(milliseconds=1))


def _creator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()} snap {__version__}"
