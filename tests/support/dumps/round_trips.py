"""The whole way of a database: commit twice, cat, restore to a new one, compare."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pgsnap.model import Section, SectionKind, SectionName, SnapshotId
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.history.cat import cat
from pgsnap.workflows.restore.plan import RestoreOptions
from pgsnap.workflows.restore.report import RestoreReport
from support.restoring.clients import LABEL, restore_now, server_of
from support.servers.databases import Database, is_volatile, new_name

UNCHANGED_BYTES_MAX = 10_000
# PostgreSQL 19 writes pg_lsn with leading zeros.
_LSN = re.compile(rb"(?<=\t)([0-9A-F]+)/0*([0-9A-F]+)(?=\t)")


@dataclass(frozen=True)
class RoundTrip:
    """A committed database and the new one that its snapshot was restored to."""

    snapshot: SnapshotId
    copy: Database
    report: RestoreReport


@contextlib.contextmanager
def round_trip(
    repo: Repository,
    database: Database,
    *,
    server: Server | None = None,
    allow_newer: bool = False,
) -> Iterator[RoundTrip]:
    """Assert that *database* comes back from a snapshot as it was; drop the copy afterwards."""
    server = server or server_of(database)
    sources = (PostgresSource(server, allow_newer_client=allow_newer) for _ in range(2))
    first, second = (commit(repo, each, database=LABEL, message="m") for each in sources)
    assert second.unchanged
    assert second.snapshot.root == first.snapshot.root
    assert second.stored_bytes < UNCHANGED_BYTES_MAX
    if not allow_newer:
        assert without_volatile(b"".join(cat(repo, first.snapshot_id))) == database.dump()
    copy = Database(database.cluster, new_name("copy"))
    options = RestoreOptions(to=copy.name, allow_newer_client=allow_newer)
    try:
        report = restore_now(repo, first.snapshot_id, server, options)
        assert report.rows == first.snapshot.rows
        again = PostgresSource(server, database=copy.name, allow_newer_client=allow_newer)
        came_back = commit(repo, again, database="copy", message="copy").snapshot_id
        assert_same_rows(repo, first.snapshot_id, came_back)
        assert_fixed_point(repo, first.snapshot_id, came_back, server, allow_newer=allow_newer)
        yield RoundTrip(first.snapshot_id, copy, report)
    finally:
        database.cluster.drop_database(copy.name)


def without_volatile(dump: bytes) -> bytes:
    """Return *dump* without the lines that differ between dumps of an unchanged database."""
    return b"".join(line for line in dump.splitlines(keepends=True) if not is_volatile(line))


def sections_of(repo: Repository, snapshot: SnapshotId) -> dict[SectionName, Section]:
    """Return the sections of a snapshot by name, all but the globals."""
    found = [s for s in repo.sections(repo.snapshot(snapshot)) if not _is(s, SectionKind.GLOBALS)]
    assert len({s.name for s in found}) == len(found)
    return {section.name: section for section in found}


def assert_same_rows(repo: Repository, before: SnapshotId, after: SnapshotId) -> None:
    """Every table has equal bytes, or at least the same rows, as often as before.

    Rows that are loaded by way of a partitioned table may move between its parts.
    """
    old, new = sections_of(repo, before), sections_of(repo, after)
    names = [name for name in old if name.kind is SectionKind.DATA]
    assert names == [name for name in new if name.kind is SectionKind.DATA]
    moved: dict[tuple[str, str], list[SectionName]] = defaultdict(list)
    for name in names:
        if old[name].digest != new[name].digest:
            moved[name.schema, name.name].append(name)
    for table, parts in moved.items():
        rows = [
            sum((_lines(repo, snapshot, part) for part in parts), Counter[bytes]())
            for snapshot in (before, after)
        ]
        # The comment before the rows names the partition, whichever it was.
        assert rows[0] == rows[1], table


def assert_fixed_point(
    repo: Repository, before: SnapshotId, after: SnapshotId, server: Server, *, allow_newer: bool
) -> None:
    """The definitions are equal, or equal once they have been restored (decisions, 14)."""
    kinds = lambda name: name.kind is not SectionKind.DATA  # noqa: E731
    if _digests(repo, before, kinds) == _digests(repo, after, kinds):
        return
    twice = new_name("twice")
    options = RestoreOptions(to=twice, allow_newer_client=allow_newer)
    try:
        restore_now(repo, after, server, options)
        source = PostgresSource(server, database=twice, allow_newer_client=allow_newer)
        last = commit(repo, source, database="twice", message="twice").snapshot_id
        assert _digests(repo, last, kinds) == _digests(repo, after, kinds)
    finally:
        with server.connect(server.maintenance_database()) as session:
            session.execute(f"DROP DATABASE IF EXISTS {ident(twice)} WITH (FORCE)")


def part_names(repo: Repository, snapshot: SnapshotId) -> list[str]:
    """Return the names that are in a snapshot more than once, told apart by their part only."""
    names = sections_of(repo, snapshot)
    counts = Counter((name.kind, name.schema, name.name) for name in names)
    grouped = itertools.filterfalse(lambda item: item[1] == 1, counts.items())
    return sorted(f"{kind} {schema}.{name}" for (kind, schema, name), _ in grouped)


def _digests(
    repo: Repository, snapshot: SnapshotId, wanted: Callable[[SectionName], bool]
) -> dict[SectionName, bytes]:
    found = sections_of(repo, snapshot)
    return {name: section.digest for name, section in found.items() if wanted(name)}


def _lines(repo: Repository, snapshot: SnapshotId, name: SectionName) -> Counter[bytes]:
    stream = snapshot_stream(repo, repo.snapshot(snapshot), restrict_key=None, sections=[name])
    return Counter(_LSN.sub(rb"\1/\2", b"".join(stream)).splitlines())


def _is(section: Section, kind: SectionKind) -> bool:
    return section.name.kind is kind
