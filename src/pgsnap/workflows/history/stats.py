"""Stats: the space that a repository takes, by databases, snapshots and tables."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.errors import UnknownRevision
from pgsnap.model import ChunkKind, SectionName, SnapshotHead, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.usage import Usage
from pgsnap.repository.footprint import Footprint
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass

_NOTHING = (None, None)


@dataclass(frozen=True, slots=True)
class DatabaseUsage:
    """The space that one label takes.

    *raw_bytes* are its dumps, *unique_bytes* their distinct chunks; *stored_bytes* the frames that
    it needs, *own_bytes* those of them that no other label needs.
    """

    database: str
    snapshots: int
    raw_bytes: int
    unique_bytes: int
    stored_bytes: int
    own_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotUsage:
    """The space that one snapshot takes: *freed_bytes* are the frames that only it needs."""

    snapshot_id: SnapshotId
    snapshot: SnapshotHead
    tags: tuple[str, ...]
    is_forgotten: bool
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class StatsReport:
    """The space that everything takes.

    *data_bytes*, *list_bytes* (recipes and lists of sections) and *table_bytes* (heads and tables)
    are the packs; *unneeded_bytes* are those of their frames that no snapshot needs. *missing* are
    chunks that no pack holds.
    """

    footprint: Footprint
    packs: int
    chunks: int
    raw_bytes: int
    unique_bytes: int
    data_bytes: int
    list_bytes: int
    table_bytes: int
    unneeded_bytes: int
    databases: tuple[DatabaseUsage, ...]
    snapshots: tuple[SnapshotUsage, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class TableUsage:
    """The space that one table takes, or another section; None: the lists of sections.

    *plain_bytes* and *rows* are those in the newest snapshot, None if it has no such section;
    *stored_bytes* the frames attributed to it; *versions* the number of distinct contents it had.
    """

    name: SectionName | None
    plain_bytes: int | None
    rows: int | None
    stored_bytes: int
    versions: int


@dataclass(frozen=True, slots=True)
class TablesReport:
    """The space of each table of a database, largest first, over *snapshots* of it."""

    database: str
    newest: SnapshotId
    snapshots: int
    tables: tuple[TableUsage, ...]
    stored_bytes: int
    missing: int


def stats(repo: Repository, *, progress: Progress = SILENT) -> StatsReport:
    """Return the space that the repository takes. Forgotten snapshots count until a gc drops them.

    Reads recipes, not data. Raises CorruptionError if one cannot be read.
    """
    with repo.many_reads():
        return _stats(repo, progress)


def _stats(repo: Repository, progress: Progress) -> StatsReport:
    progress.phase("count chunks")
    usage = Usage(repo)
    order = _by_database(repo)
    totals = []
    number = 0
    for place, snapshots in enumerate(order.values()):
        roots = enumerate((snapshot.sections_recipe for _, snapshot in snapshots), number)
        usage.add(roots, place)
        number += len(snapshots)
        totals.append(usage.end_database(place))
    own = usage.only_of(len(order))
    found = [pair for snapshots in order.values() for pair in snapshots]
    kinds = usage.by_kind()
    files = repo.place.footprint()
    databases = [
        DatabaseUsage(
            database,
            len(snapshots),
            sum(snapshot.plain_bytes for _, snapshot in snapshots),
            *totals[place],
            own[place],
        )
        for place, (database, snapshots) in enumerate(order.items())
    ]
    return StatsReport(
        footprint=files,
        packs=repo.pack_count(),
        chunks=usage.chunks,
        raw_bytes=sum(snapshot.plain_bytes for _, snapshot in found),
        unique_bytes=usage.plain_bytes(),
        data_bytes=kinds[ChunkKind.DATA],
        list_bytes=kinds[ChunkKind.RECIPE] + kinds[ChunkKind.SECTIONS],
        table_bytes=files.packs - sum(kinds.values()),
        unneeded_bytes=usage.unneeded(),
        databases=tuple(databases),
        snapshots=tuple(_snapshots(repo, found, usage.freed(len(found)))),
        missing=usage.missing,
    )


def stats_by_table(
    repo: Repository,
    database: str,
    *,
    snapshot_id: SnapshotId | None = None,
    progress: Progress = SILENT,
) -> TablesReport:
    """Return the space that each table of a label takes over all its snapshots, or only in
    *snapshot_id*.

    A frame that several tables need is attributed to the first one found, newest snapshot first; a
    delta's base that none lists, to the table of the delta. So the sum is what the snapshots need.
    Raises UnknownRevision, CorruptionError.
    """
    chosen = [snapshot_id] if snapshot_id else repo.newest(database, also_forgotten=True)
    if not chosen:
        raise UnknownRevision(f'no snapshot is of a database "{database}"', hint="See: snap log")
    progress.phase("count chunks")
    usage = Usage(repo, tables=True)
    newest = repo.snapshot(chosen[0])
    sizes: dict[SectionName, tuple[int | None, int | None]] = {}
    for section in repo.sections(newest):
        name = SectionName(section.name.kind, section.name.schema, section.name.name)
        plain, rows = sizes.get(name, _NOTHING)
        both = section.rows if rows is None else rows + (section.rows or 0)
        sizes[name] = (plain or 0) + section.plain_bytes, both
    usage.add(enumerate(snapshot.sections_recipe for _, snapshot in repo.heads(chosen)), 0)
    tables = []
    for found, stored_bytes, versions in usage.by_group():
        plain, rows = sizes.get(found, _NOTHING) if found is not None else _NOTHING
        tables.append(TableUsage(found, plain, rows, stored_bytes, versions))
    tables.sort(key=lambda table: (-table.stored_bytes, _words(table.name)))
    return TablesReport(
        database,
        chosen[0],
        len(chosen),
        tuple(tables),
        sum(table.stored_bytes for table in tables),
        usage.missing,
    )


def _words(name: SectionName | None) -> tuple[str, ...]:
    return (name.schema, name.name, name.kind) if name is not None else ()


def _by_database(repo: Repository) -> dict[str, list[tuple[SnapshotId, SnapshotHead]]]:
    """Return all snapshots, including forgotten ones, newest first within their labels."""
    found: dict[str, list[tuple[SnapshotId, SnapshotHead]]] = {}
    for snapshot_id, snapshot in repo.heads(repo.newest(None, also_forgotten=True)):
        found.setdefault(snapshot.database, []).append((snapshot_id, snapshot))
    return dict(sorted(found.items()))


def _snapshots(
    repo: Repository, found: Sequence[tuple[SnapshotId, SnapshotHead]], freed: Sequence[int]
) -> list[SnapshotUsage]:
    forgotten = repo.forgotten()
    tags = repo.tags.by_snapshot(None)
    rows = [
        SnapshotUsage(
            snapshot_id,
            snapshot,
            tuple(tags.get(snapshot_id, ())),
            snapshot_id in forgotten,
            freed_bytes,
        )
        for (snapshot_id, snapshot), freed_bytes in zip(found, freed, strict=True)
    ]
    return sorted(rows, key=lambda row: row.snapshot.time, reverse=True)
