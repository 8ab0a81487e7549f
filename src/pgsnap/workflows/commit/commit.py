"""Commit: a dump becomes a snapshot, all or nothing."""

from __future__ import annotations

import getpass
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING

from pgsnap import __version__
from pgsnap.errors import TablesChanged, UsageError
from pgsnap.format.baseline import encode_baseline
from pgsnap.format.sections import SectionTable
from pgsnap.format.times import to_micros
from pgsnap.limits import DUMP_ATTEMPTS, MESSAGE_BYTES_MAX
from pgsnap.maintenance.publishing import publish
from pgsnap.model import (
    Origin,
    RecipeRoot,
    SectionKind,
    SectionName,
    Snapshot,
    SnapshotId,
    SourceKind,
    same_contents,
)
from pgsnap.progress import SILENT, Progress
from pgsnap.repository import layout
from pgsnap.repository.config import refuse_folder_of_server
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import CLOCK_SLACK, Chains
from pgsnap.repository.snapshots.tags import tag_exists
from pgsnap.repository.splicing.watching import SpliceWatch
from pgsnap.sources.base import Source, SourceResult, reading
from pgsnap.values import dataclass
from pgsnap.workflows.commit.former import Formers, Policy
from pgsnap.workflows.notes.missed_changes import acknowledge, missed_changes, note_missed

if TYPE_CHECKING:
    from pgsnap.repository.chunks.ingest import Ingest

# A first snapshot is compared with at most this many other databases.
_COMPARED_WITH_MAX = 4


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit did.

    *unchanged*: the contents equal the parent's; *globals_changed*: only roles or tablespaces
    differ. *recorded* is False if an unchanged database was to be skipped; then *snapshot_id* names
    the parent. *tags_refused* were taken by another process in the meantime. *other* is the newest
    snapshot of the label if it is of another server, and so of another chain; *ahead* is one of
    this chain that is dated in the future. *is_of_unknown_server*: the label has several chains,
    and the server did not identify itself. *missed* are sections of which an earlier commit had not
    seen that they changed; this one read everything. *read_in_full_because* is why it could not
    read only changes, "" if it could, or nobody wanted it to.
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
    other: Snapshot | None = None
    ahead: SnapshotId | None = None
    is_of_unknown_server: bool = False
    missed: tuple[SectionName, ...] = ()
    read_in_full_because: str = ""


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
    stems_from: SnapshotId | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    watch: SpliceWatch | None = None,
    progress: Progress = SILENT,
) -> CommitReport:
    """Store what *source* yields as a new snapshot of *database*, a label. *policy* says whether
    only what changed may be read.

    Nothing is visible to readers until `publish`. *at* dates the snapshot (default: now): its
    parent is then the newest at or before that time, and contents that a snapshot of exactly that
    time already has are not recorded again. *stems_from* was put back since the last commit;
    *watch* sees what is spliced. Raises what the source raises, UsageError, TagExists, StoreError;
    then nothing was recorded.
    """
    started = time.monotonic()
    began = datetime.now(UTC)
    tags = tuple(dict.fromkeys(tags))
    _check(repo, database, message, tags, force_tags=force_tags)
    moment = at or _after(began, Chains(repo, began).latest_of_all(database), repo)
    formers = Formers(repo, database, moment, policy)
    stored = _store(repo, source, formers, progress, database, watch)
    progress.phase("publish")
    place = _place(repo, database, stored.result.origin, moment, is_dated=at is not None)
    seconds = time.monotonic() - started
    wished = tuple("+" + tag if force_tags else tag for tag in tags)
    plain = stored.as_snapshot(database, moment, message, place.parent_id, seconds, wished)
    snapshot = replace(plain, stems_from=stems_from)
    parent = place.parent
    is_twice = at is not None and parent is not None and parent.time == at
    may_skip = ((skip_unchanged and not tags) or is_twice) and not stored.missed
    if may_skip and place.parent_id is not None and parent is not None and _same(parent, snapshot):
        return _not_recorded(place.parent_id, parent, place.ahead, snapshot.stored_bytes, seconds)
    new, given = publish(repo, snapshot)
    _note_trust(repo, new, snapshot, stored.missed, policy)
    return CommitReport(
        snapshot_id=new,
        snapshot=snapshot,
        recorded=True,
        unchanged=parent is not None and _same_contents(parent, snapshot),
        globals_changed=parent is not None and _globals_changed(parent, snapshot),
        tags=tuple(given),
        tags_refused=tuple(tag for tag in tags if tag not in given),
        stored_bytes=snapshot.stored_bytes,
        seconds=time.monotonic() - started,
        other=place.other,
        ahead=place.ahead,
        is_of_unknown_server=place.is_doubtful,
        missed=stored.missed,
        read_in_full_because=formers.why_not,
    )


def _note_trust(
    repo: Repository,
    new: SnapshotId,
    snapshot: Snapshot,
    missed: Sequence[SectionName],
    policy: Policy,
) -> None:
    """Record whether changes can be relied on, which a commit that read everything has found."""
    label, server = snapshot.database, snapshot.origin.system_identifier
    if missed:
        note_missed(repo, label, server, new, missed)
    elif policy.acknowledges and server and missed_changes(repo, label, server) is not None:
        acknowledge(repo, label, server, new)


def _not_recorded(
    parent_id: SnapshotId,
    parent: Snapshot,
    ahead: SnapshotId | None,
    stored_bytes: int,
    seconds: float,
) -> CommitReport:
    return CommitReport(
        snapshot_id=parent_id,
        snapshot=parent,
        recorded=False,
        unchanged=True,
        globals_changed=False,
        tags=(),
        tags_refused=(),
        stored_bytes=stored_bytes,
        seconds=seconds,
        ahead=ahead,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a new snapshot: its predecessors, and what to report about them."""

    parent_id: SnapshotId | None
    parent: Snapshot | None
    other: Snapshot | None
    ahead: SnapshotId | None
    is_doubtful: bool


def _place(
    repo: Repository,
    database: str,
    origin: Origin,
    moment: datetime,
    *,
    is_dated: bool,
) -> _Place:
    """Return the position of a snapshot of *moment* in its server's chain, which it starts if there
    is none."""
    chains = Chains(repo)
    own, another = chains.before_commit(database, origin.system_identifier)
    if own is None and (former := chains.former_name(database)) is not None:
        # It was renamed since, and continues its former chain.
        own = chains.of_server(former, origin.system_identifier)
    parent_id = ahead = None
    if own is not None:
        # Another commit may have begun later and ended sooner: it is newer than this one.
        parent_id = chains.at_or_before(own, to_micros(moment) - (not is_dated))
        if not is_dated:
            ahead = next(filter(chains.is_ahead, chains.snapshots(own, 1)), None)
            # All are dated in the future: the order of their creation still holds.
            parent_id = parent_id or ahead
    other_id = chains.latest(another) if another is not None else None
    return _Place(
        parent_id,
        repo.snapshot(parent_id) if parent_id is not None else None,
        repo.snapshot(other_id) if other_id is not None else None,
        ahead,
        origin.kind is SourceKind.POSTGRES
        and not origin.system_identifier
        and len(chains.of_label(database)) > 1,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A dump that is stored, but not a snapshot yet."""

    sections: SectionTable
    table: RecipeRoot
    result: SourceResult
    stored_bytes: int
    missed: tuple[SectionName, ...]

    def as_snapshot(
        self,
        database: str,
        moment: datetime,
        message: str,
        parent: SnapshotId | None,
        seconds: float,
        wished_tags: tuple[str, ...],
    ) -> Snapshot:
        roots = self.sections.roots
        return Snapshot(
            database=database,
            time=moment,
            message=message,
            parent=parent,
            duration_ms=round(seconds * 1000),
            wished_tags=wished_tags,
            creator=_creator(),
            root=roots.root,
            leaf_root=roots.leaf_root,
            globals_root=roots.outside(SectionKind.GLOBALS),
            extension_sequences_root=roots.outside(SectionKind.EXTENSION_SEQUENCES),
            statistics_root=roots.outside(SectionKind.STATISTICS),
            sections_recipe=self.table,
            section_count=self.sections.section_count,
            table_count=self.sections.table_count,
            plain_bytes=self.sections.plain_bytes,
            rows=self.sections.rows,
            stored_bytes=self.stored_bytes,
            origin=self.result.origin,
            volatile=self.result.volatile,
            reading=self.result.reading,
        )


def _store(
    repo: Repository,
    source: Source,
    formers: Formers,
    progress: Progress,
    database: str,
    watch: SpliceWatch | None,
) -> _Stored:
    progress.phase("look at the source")
    with reading(source, formers.of) as origin:
        if not formers.found:
            # NumPy is slow to import, and pg_dump or the server has much to do in the meantime.
            threading.Thread(target=import_module, args=("numpy",), daemon=True).start()
        from pgsnap.repository.chunks.ingest import Ingest

        repo.catch_up_packs()
        earlier = _to_compare_with(repo, database, formers.moment)
        live = origin.kind is SourceKind.POSTGRES
        with (
            # A chunk of a table that many commits changed has frames in as many packs.
            repo.many_reads(),
            Ingest(repo.chunk_store, earlier, progress, beside_server=live, watch=watch) as ingest,
        ):
            progress.phase(f"commit {database}")
            sections, result = _read(source, ingest)
            missed = tuple(ingest.missed)
            if missed and not formers.is_full:
                # Nothing that was taken for unchanged counts now.
                source.distrust()
                sections, result = _read(source, ingest)
            if result.baseline is not None:
                ingest.store_baseline(sections, encode_baseline(result.baseline))
            table = ingest.store_table(sections)
    return _Stored(sections, table, result, ingest.stored_bytes, missed)


def _read(source: Source, ingest: Ingest) -> tuple[SectionTable, SourceResult]:
    """Store a dump, accepting it only if every sign says that it is complete. Raises what the
    source raises."""
    for left in reversed(range(DUMP_ATTEMPTS)):
        ingest.missed.clear()
        sections = ingest.store(source.events())
        try:
            return sections, source.finish()
        except TablesChanged:
            # Its sections are discarded; their chunks stay, as the next dump largely consists of
            # them.
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _check(
    repo: Repository, database: str, message: str, tags: Sequence[str], *, force_tags: bool
) -> None:
    """Raise before the dump starts for what would otherwise be found only after it."""
    refuse_folder_of_server(repo.place, repo.config)
    layout.check_label(database)
    if len(message.encode("utf-8", "surrogateescape")) > MESSAGE_BYTES_MAX:
        raise UsageError(
            "the message is too long", detail=f"It may have {MESSAGE_BYTES_MAX} bytes."
        )
    for tag in tags:
        layout.check_tag(tag)
        repo.tags.check_case(database, tag)
        found = repo.tags.get(database, tag)
        if found is not None and not force_tags:
            raise tag_exists(found)


def _to_compare_with(repo: Repository, database: str, moment: datetime) -> list[Snapshot]:
    """Return the snapshots whose chunks new ones may resemble, best first: the previous one, else
    any of the label, else the newest of other databases (this one may be a copy of one of them)."""
    ids = Chains(repo).newest_until(database, moment) or repo.newest(database, 1)
    if not ids:
        others = [repo.newest(other, 1)[0] for other in repo.databases()]
        ids = sorted(others, key=lambda other: repo.snapshot(other).time, reverse=True)
        if (former := Chains(repo).former_name(database)) is not None:
            ids = [*repo.newest(former, 1), *ids]
    return [repo.snapshot(snapshot) for snapshot in ids[:_COMPARED_WITH_MAX]]


def _globals_changed(parent: Snapshot, snapshot: Snapshot) -> bool:
    """Return whether roles or tablespaces differ, if both know them: dumps of a database do not."""
    a, b = parent.globals_root, snapshot.globals_root
    return a is not None and b is not None and a != b


def _same_contents(before: Snapshot, after: Snapshot) -> bool:
    return (
        same_contents(before, after) is True
        and before.extension_sequences_root == after.extension_sequences_root
    )


def _same(before: Snapshot, after: Snapshot) -> bool:
    """Return whether all that a snapshot holds is unchanged, including owner, privileges, settings
    and the like, which no dump holds."""
    old, new = before.origin.properties, after.origin.properties
    return (
        _same_contents(before, after)
        and before.globals_root == after.globals_root
        and before.statistics_root == after.statistics_root
        and (old and replace(old, size_bytes=0)) == (new and replace(new, size_bytes=0))
    )


def _after(began: datetime, newest: SnapshotId | None, repo: Repository) -> datetime:
    """Return the time of a commit: its start, but after the *newest* snapshot of that moment even
    if the clock was set back a little; else ``latest`` would still mean that one. A clock that was
    far ahead for a while does not affect the dates of later snapshots."""
    if newest is None or (time := repo.snapshot(newest).time) > began + CLOCK_SLACK:
        return began
    return max(began, time + timedelta(milliseconds=1))


def _creator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()} snap {__version__}"
