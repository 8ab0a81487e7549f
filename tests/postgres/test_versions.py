"""The corpus on the major version under test (make test-all-versions runs all of them)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgsnap.cluster.binaries import MAJORS, find_all
from pgsnap.cluster.cluster import Cluster
from pgsnap.dump.entries import ENTRY, entry_kind, parse_entry
from pgsnap.errors import TargetRefused
from pgsnap.model import SectionKind, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.sources.properties import read_properties
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.diff.diff import diff
from pgsnap.workflows.history.cat import cat
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.dumps.round_trips import (
    assert_fixed_point,
    assert_same_rows,
    part_names,
    round_trip,
    sections_of,
)
from support.restoring.clients import LABEL, commit_database, restore_now, server_of
from support.servers.databases import Database, is_volatile, new_name


def test_the_corpus_comes_back_in_a_new_database(
    repo: Repository, sample_database: Database
) -> None:
    with round_trip(repo, sample_database) as trip:
        assert trip.report.warnings == ()
        with server_of(sample_database).connect() as session:
            before = read_properties(session)
        with server_of(trip.copy).connect() as session:
            after = read_properties(session)
        assert replace(after, name=before.name, size_bytes=0) == replace(before, size_bytes=0)


def test_the_corpus_comes_back_in_place(repo: Repository, sample_database: Database) -> None:
    server = server_of(sample_database)
    snapshot = commit_database(repo, server)
    sample_database.psql("DROP SCHEMA shop CASCADE")
    report = restore_now(repo, snapshot, server)
    try:
        after = commit(repo, PostgresSource(server), database="after", message="after")
        assert_same_rows(repo, snapshot, after.snapshot_id)
        assert_fixed_point(repo, snapshot, after.snapshot_id, server, allow_newer=False)
    finally:
        assert report.kept is not None
        sample_database.cluster.drop_database(report.kept)


def test_every_name_of_the_corpus_has_one_section(
    repo: Repository, sample_database: Database
) -> None:
    snapshot = commit_database(repo, server_of(sample_database))
    assert part_names(repo, snapshot) == []
    kinds = [name.kind for name in sections_of(repo, snapshot)]
    order = [kind for kind in kinds if kind is not SectionKind.DATA]
    assert order == [
        SectionKind.PREAMBLE, SectionKind.PRE_DATA, SectionKind.SEQUENCES,
        SectionKind.LARGE_OBJECTS, SectionKind.POST_DATA, SectionKind.TRAILER,
    ]  # fmt: skip


def test_every_entry_type_that_this_version_writes_is_known(sample_database: Database) -> None:
    headers = [parse_entry(found) for found in ENTRY.finditer(sample_database.dump())]
    known = {entry.type for entry in headers if entry_kind(entry, SectionKind.PREAMBLE)
             is not SectionKind.PREAMBLE}  # fmt: skip
    unknown = {entry.type for entry in headers} - known
    # These belong to whatever they describe.
    assert unknown <= {b"COMMENT", b"SECURITY LABEL"}


def test_statistics_in_a_dump_are_sections_of_their_own_outside_the_root(
    repo: Repository, sample_database: Database
) -> None:
    if sample_database.cluster.major < 18:
        pytest.skip("pg_dump writes statistics since 18: run pytest with --pg-major=18")
    sample_database.psql("ANALYZE")
    server = server_of(sample_database)

    def dump() -> Snapshot:
        source = PostgresSource(server, dump_options=("--statistics",))
        return commit(repo, source, database=LABEL, message="statistics").snapshot

    first = dump()
    assert any(s.name.kind is SectionKind.STATISTICS for s in repo.sections(first))
    snapshot = repo.newest(LABEL)[0]
    text = b"".join(line for line in cat_lines(repo, snapshot) if not is_volatile(line))
    assert text == sample_database.dump("--statistics")
    sample_database.psql("SET default_statistics_target = 7; ANALYZE")
    second = dump()
    assert (second.root, second.parent) == (first.root, snapshot)
    assert second.statistics_root != first.statistics_root
    report = diff(repo, snapshot, repo.newest(LABEL)[0])
    assert not report.contents_differ
    # Those that came with the snapshot stay; ANALYZE runs where some are missing (extended ones, up
    # to 18).
    statistics = (
        # 19 also shows the numbers of table and column, which are others in a copy.
        "SELECT schemaname, tablename, attname, inherited,"
        " md5((to_jsonb(s) - 'tableid' - 'attnum')::text) FROM pg_stats s"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (SELECT"
        " FROM pg_statistic_ext WHERE stxrelid = format('%I.%I', schemaname, tablename)::regclass)"
        " ORDER BY 1, 2, 3, 4"
    )
    before = sample_database.psql(statistics)
    extended = "SELECT count(*) FROM pg_statistic_ext_data"
    name = new_name("statistics")
    try:
        restore_now(repo, repo.newest(LABEL)[0], server, RestoreOptions(to=name))
        copy = Database(sample_database.cluster, name)
        assert before
        assert set(before.splitlines()) <= set(copy.psql(statistics).splitlines())
        assert copy.psql(extended) == sample_database.psql(extended)
    finally:
        sample_database.cluster.drop_database(name)


def cat_lines(repo: Repository, snapshot: SnapshotId) -> list[bytes]:
    return b"".join(cat(repo, snapshot)).splitlines(keepends=True)


def test_a_newer_server_takes_the_snapshot_and_an_older_one_refuses_its_own(
    repo: Repository, sample_database: Database
) -> None:
    old = sample_database.cluster
    newest = max(MAJORS)
    if old.major == newest:
        pytest.skip(f"nothing is newer than {newest}: run pytest with --pg-major={MAJORS[0]}")
    if newest not in find_all():
        pytest.skip(f"needs PostgreSQL {newest}: run `make test-all-versions`")
    snapshot = commit_database(repo, server_of(sample_database))
    settings = {"shared_buffers": "32MB", "wal_level": "logical"}
    with Cluster(find_all()[newest], fsync=False, settings=settings) as cluster:
        target = server_of(Database(cluster, "postgres"))
        options = RestoreOptions(to="moved", create_roles=True)
        plan = plan_restore(repo, snapshot, target, options)
        said = f"comes from PostgreSQL {old.major}, the server is {newest}"
        assert any(said in words for words in plan.warnings), plan.warnings
        restore_now(repo, snapshot, target, options)
        source = PostgresSource(target, database="moved")
        moved = commit(repo, source, database="moved", message="moved").snapshot_id
        assert_same_rows(repo, snapshot, moved)
    with pytest.raises(TargetRefused, match=f"comes from PostgreSQL {newest}") as caught:
        restore_now(repo, moved, server_of(sample_database), RestoreOptions(to=new_name("back")))
    assert f"version {newest} or later" in caught.value.hint
