"""Table first, then time: the versions of one table, with what each changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import ChunkId, Section, SectionKind, Snapshot, SnapshotId, same_text
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.comparison import changed_rows
from pgsnap.web.pages.shown import qualified
from pgsnap.workflows.diff.report import TableName

SNAPSHOTS_AT_ONCE = 365
"""So many snapshots are looked through for a page: each lists its tables in a few chunks, which
neighbours share."""
_COUNTED_BYTES_MAX = 64_000_000
_COUNTED_SECTIONS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A table as it was from *first* on, in *snapshots* of them up to *last*. *rows* and
    *plain_bytes* are None where the snapshots lack the table. *before* is the snapshot in which it
    was otherwise, None if that is not known or there is none; what changed since then (*added*,
    *removed*, *changed*) is None where it was not counted."""

    first: SnapshotId
    first_time: datetime
    message: str
    last: SnapshotId
    last_time: datetime
    snapshots: int
    is_there: bool
    rows: int | None
    plain_bytes: int | None
    before: SnapshotId | None
    rows_before: int | None
    bytes_before: int | None
    added: int | None = None
    removed: int | None = None
    changed: int | None = None

    @property
    def is_counted(self) -> bool:
        return self.added is not None

    @property
    def is_small(self) -> bool:
        """Whether to compare it with the version before is a matter of a moment."""
        return (self.plain_bytes or 0) + (self.bytes_before or 0) <= _COUNTED_BYTES_MAX


@dataclass(frozen=True, slots=True)
class VersionsData:
    """A table's versions, newest first; *newest* is the label's newest snapshot. *older* is the
    snapshot after which the search goes on, None if it came to the end."""

    label: str
    table: TableName
    newest: SnapshotId
    versions: tuple[TableVersion, ...]
    looked_at: int
    count: int
    is_first: bool
    older: SnapshotId | None


def page(asked: Asked) -> Page:
    # The page asks for the counts of each version that comes into view.
    return versions_page(
        asked.repo,
        asked.value("label"),
        asked.table("table"),
        before=asked.snapshot_or_none("before"),
        counted=False,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    snapshot_id: SnapshotId
    snapshot: Snapshot
    sections: list[Section]


def versions_page(
    repo: Repository,
    label: str,
    table: TableName,
    *,
    before: SnapshotId | None = None,
    limit: int = SNAPSHOTS_AT_ONCE,
    counted: bool = True,
    progress: Progress = SILENT,
) -> Page:
    """Return the versions of *table* in *limit* snapshots of *label* older than *before*. Of large
    tables it is not counted which rows changed, and of none unless *counted*.

    Raises UnknownRevision, UsageError if no snapshot has the table, CorruptionError.
    """
    found = repo.newest(label, None)
    if not found:
        raise UnknownRevision(f'no snapshot is of a database "{label}"')
    start = found.index(before) + 1 if before in found else 0
    looked_at = found[start : start + limit]
    # One more: it may be what the last version is compared with.
    end = start + len(looked_at) + 1
    seen = list(_seen(repo, found[start:end], table, {}))
    versions = list(_versions(seen, len(looked_at)))
    if not any(one.is_there for one in versions) and start == 0 and end >= len(found):
        raise UsageError(
            f'no snapshot of "{label}" has a table "{qualified(table)}"',
            hint="See the tables: snap show latest",
        )
    if counted and seen[0].snapshot.section_count <= _COUNTED_SECTIONS_MAX:
        versions = [_counted(repo, table, one, progress) for one in versions]
    data = VersionsData(
        label=label,
        table=table,
        newest=found[0],
        versions=tuple(versions),
        looked_at=len(looked_at),
        count=len(found),
        is_first=start == 0,
        older=looked_at[-1] if end <= len(found) and looked_at else None,
    )
    return Page("versions.html", qualified(table), data, "databases")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The versions of a table beside that of a snapshot, as far as was looked: the snapshot before
    the *first* that has the same, and the one after the last that has; None where it is not
    known, or there is none."""

    earlier: SnapshotId | None
    first: SnapshotId
    later: SnapshotId | None


def neighbours(repo: Repository, snapshot_id: SnapshotId, table: TableName) -> Neighbours:
    """Return the versions of *table* beside that in a snapshot. Raises UnknownRevision,
    CorruptionError."""
    found = repo.newest(repo.snapshot(snapshot_id).database, None)
    place = found.index(snapshot_id) if snapshot_id in found else len(found)
    known: dict[ChunkId, list[Section]] = {}
    [own] = _seen(repo, [snapshot_id], table, known)
    earlier, first = None, snapshot_id
    for one in _seen(repo, found[place + 1 : place + 1 + SNAPSHOTS_AT_ONCE], table, known):
        if not _same(one, own):
            earlier = one.snapshot_id if one.sections else None
            break
        first = one.snapshot_id
    newer = found[max(place - SNAPSHOTS_AT_ONCE, 0) : place][::-1]
    others = (one for one in _seen(repo, newer, table, known) if not _same(one, own))
    later = next(others, None)
    return Neighbours(
        earlier, first, later.snapshot_id if later is not None and later.sections else None
    )


def _seen(
    repo: Repository,
    snapshots: Sequence[SnapshotId],
    table: TableName,
    known: dict[ChunkId, list[Section]],
) -> Iterator[_Seen]:
    """Yield each of *snapshots* with the sections of *table*; *known* are those in pieces of the
    lists of sections that were read before."""
    for found, load in repo.snapshots(snapshots):
        snapshot = load()
        sections: list[Section] = []
        for piece, listed in repo.section_pieces(snapshot):
            # Neighbours share nearly all pieces.
            if piece not in known:
                known[piece] = [one for one in listed if _is_of(one, table)]
            sections += known[piece]
        yield _Seen(found, snapshot, sections)


def _is_of(section: Section, table: TableName) -> bool:
    name = section.name
    return name.kind is SectionKind.DATA and (name.schema, name.name) == table


def _versions(seen: Sequence[_Seen], count: int) -> Iterator[TableVersion]:
    """Yield the versions in the first *count* of *seen*, which are newest first."""
    newest = 0
    for place in range(count):
        older = seen[place + 1] if place + 1 < len(seen) else None
        if older is not None and place + 1 < count and _same(older, seen[place]):
            continue
        first, last = seen[place], seen[newest]
        is_changed = older is not None and not _same(older, first)
        rows, plain_bytes = _sizes(first.sections)
        rows_before, bytes_before = _sizes(older.sections) if older is not None else (None, None)
        yield TableVersion(
            first=first.snapshot_id,
            first_time=first.snapshot.time,
            message=first.snapshot.message,
            last=last.snapshot_id,
            last_time=last.snapshot.time,
            snapshots=place - newest + 1,
            is_there=bool(first.sections),
            rows=rows,
            plain_bytes=plain_bytes,
            before=older.snapshot_id if older is not None and is_changed else None,
            rows_before=rows_before,
            bytes_before=bytes_before,
        )
        newest = place + 1


def _same(one: _Seen, other: _Seen) -> bool:
    """Return whether both have the same text of the table; where that is not known, not."""
    if len(one.sections) != len(other.sections):
        return False
    return all(same_text(*pair) for pair in zip(one.sections, other.sections, strict=True))


def _sizes(sections: Sequence[Section]) -> tuple[int | None, int | None]:
    if not sections:
        return None, None
    rows = [section.rows for section in sections]
    total = None if None in rows else sum(count or 0 for count in rows)
    return total, sum(section.plain_bytes for section in sections)


def _counted(
    repo: Repository, table: TableName, one: TableVersion, progress: Progress
) -> TableVersion:
    """Return *one* with how many rows changed, if the table is small enough for that."""
    if one.before is None or not one.is_small:
        return one
    found = changed_rows(repo, one.before, one.first, qualified(table), 0, progress)
    return replace(one, added=found.added, removed=found.removed, changed=found.changed)
