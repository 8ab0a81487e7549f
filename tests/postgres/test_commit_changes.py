"""Commits that read only what changed record what pg_dump writes, and find out when they do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pgsnap.model import ReadMode, SectionKind, SectionName, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_block_map
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.changes.comparing import MOSTLY_CHANGED
from pgsnap.sources.changes.moment import _Beginning
from pgsnap.sources.changes.verdicts import Unchanged
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit import former as former_module
from pgsnap.workflows.commit.commit import CommitReport, commit
from pgsnap.workflows.commit.former import Policy
from pgsnap.workflows.history.cat import cat
from support.dumps.round_trips import without_volatile
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

TABLES = """
CREATE TABLE a (id int PRIMARY KEY, v int, t text);
INSERT INTO a SELECT g, g, repeat('x', g % 300) FROM generate_series(1, 40000) g;
CREATE TABLE b AS SELECT * FROM a; CREATE TABLE empty (i int); CREATE TABLE none ();
CREATE SEQUENCE numbers; SELECT lo_from_bytea(0, 'abc');
VACUUM FREEZE a; VACUUM FREEZE b;
"""
CHANGES = [
    "",
    "UPDATE a SET v = v + 1 WHERE id % 1000 = 0",
    "SELECT nextval('numbers'); INSERT INTO empty VALUES (1)",
    "DELETE FROM b WHERE id BETWEEN 100 AND 900; INSERT INTO b VALUES (0, 0, 'new')",
    "ALTER TABLE b ADD COLUMN more int DEFAULT 7",
    "CREATE TABLE later (i int); INSERT INTO later SELECT generate_series(1, 10)",
    "ALTER TABLE later RENAME TO renamed; COMMENT ON TABLE a IS 'a'",
    "TRUNCATE b; INSERT INTO b VALUES (1, 1, 'one')",
    "SELECT lo_from_bytea(0, 'def')",
    "DELETE FROM a WHERE id > 20000; VACUUM a",
    "DROP TABLE renamed; GRANT SELECT ON a TO PUBLIC",
    "",
]


@pytest.fixture
def filled(database: Database) -> Database:
    database.psql(TABLES)
    return database


@pytest.fixture(params=["psycopg", "psql"])
def server(request: pytest.FixtureRequest, filled: Database) -> Server:
    found = server_of(filled)
    client: ClientKind = request.param
    return Server(found.endpoint, found.runner, client=client)


def record(repo: Repository, server: Server, policy: Policy = Policy()) -> CommitReport:  # noqa: B008
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="m", policy=policy)


def is_dump(repo: Repository, snapshot: SnapshotId, database: Database) -> bool:
    return without_volatile(b"".join(cat(repo, snapshot))) == without_volatile(database.dump())


def mode(report: CommitReport) -> ReadMode | None:
    return report.snapshot.reading.mode if report.snapshot.reading is not None else None


def test_every_commit_is_what_pg_dump_writes(
    repo: Repository, filled: Database, server: Server
) -> None:
    first = record(repo, server)
    assert mode(first) is ReadMode.FULL
    for change in CHANGES:
        if change:
            filled.psql(change)
        report = record(repo, server)
        assert is_dump(repo, report.snapshot_id, filled), change
        assert mode(report) is ReadMode.CHANGED, change
        assert report.unchanged is (not change)
    full = record(repo, server, Policy(is_full=True))
    assert full.unchanged
    assert mode(full) is ReadMode.FULL
    assert full.missed == ()


def test_only_blocks_that_changed_are_read(repo: Repository, filled: Database) -> None:
    server = server_of(filled)
    record(repo, server)
    filled.psql("UPDATE a SET v = 0 WHERE id = 30000")
    reading = record(repo, server).snapshot.reading
    assert reading is not None
    assert 0 < reading.blocks_read < reading.blocks / 3


@pytest.mark.parametrize(("percent", "reason"), [(70, None), (90, MOSTLY_CHANGED)])
def test_a_table_is_read_as_a_whole_if_most_of_its_blocks_changed(
    repo: Repository, filled: Database, percent: int, reason: str | None
) -> None:
    server = server_of(filled)
    record(repo, server)
    # The first row of so many blocks.
    filled.psql(
        "UPDATE b SET v = v + 1 WHERE (ctid::text::point)[1] = 1"
        f" AND (ctid::text::point)[0]::int % 100 < {percent}"
    )
    report = record(repo, server)
    assert report.snapshot.reading is not None
    reasons = {full.table: full.reason for full in report.snapshot.reading.full_reads}
    assert reasons.get("b") == reason
    assert is_dump(repo, report.snapshot_id, filled)


def test_after_full_every_everything_is_read_again(repo: Repository, filled: Database) -> None:
    server = server_of(filled)
    record(repo, server)
    assert mode(record(repo, server, Policy(full_every=timedelta(days=1)))) is ReadMode.CHANGED
    assert mode(record(repo, server, Policy(full_every=timedelta(0)))) is ReadMode.FULL


def test_without_a_block_map_a_table_is_read_in_full(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(filled)
    record(repo, server)
    filled.psql("UPDATE a SET v = 0 WHERE id = 30000")
    monkeypatch.setattr("pgsnap.repository.chunks.ingest.read_block_map", lambda *_: None)
    report = record(repo, server)
    assert is_dump(repo, report.snapshot_id, filled)
    assert report.snapshot.reading is not None
    # Also of b, where the first reader had to write to pages of it.
    reasons = {full.table: full.reason for full in report.snapshot.reading.full_reads}
    assert reasons["a"] == "what is stored of it does not fit"
    assert reasons.keys() <= {"a", "b"}
    section = next(each for each in repo.sections(report.snapshot) if each.name.name == "a")
    assert read_block_map(repo.chunks, section) is not None


# -- changes that detection does not see -----------------------------------------------------------


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes change detection see again; until then it sees nothing."""
    real = _Beginning._verdicts

    def nothing(self: _Beginning, tables, checkpoint):  # type: ignore[no-untyped-def]
        way, verdicts = real(self, tables, checkpoint)
        return way, dict.fromkeys(verdicts, Unchanged())

    monkeypatch.setattr(_Beginning, "_verdicts", nothing)
    return lambda: monkeypatch.setattr(_Beginning, "_verdicts", real)


def first_of(repo: Repository, server: Server) -> CommitReport:
    """Commit before anything is overlooked: there is nothing to compare with."""
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="first")


def test_a_change_that_went_unnoticed_is_found_by_reading_again(
    repo: Repository, filled: Database, blind: Callable[[], None]
) -> None:
    server = server_of(filled)
    first_of(repo, server)
    filled.psql("UPDATE a SET v = v + 1; VACUUM a; UPDATE b SET v = v + 1")
    report = record(repo, server)
    blind()
    assert report.missed
    assert {name.kind for name in report.missed} == {SectionKind.DATA}
    # What was recorded is sound all the same.
    assert is_dump(repo, report.snapshot_id, filled)
    later = record(repo, server)
    assert "went unnoticed" in later.read_in_full_because
    assert mode(later) is ReadMode.FULL
    acknowledged = record(repo, server, Policy(is_full=True, acknowledges=True))
    assert acknowledged.missed == ()
    assert mode(record(repo, server)) is ReadMode.CHANGED


def test_a_change_that_went_unnoticed_is_found_by_a_full_commit(
    repo: Repository,
    filled: Database,
    blind: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(former_module, "PROBES", 0)
    server = server_of(filled)
    first_of(repo, server)
    filled.psql("UPDATE a SET v = 0 WHERE id = 30000")
    wrong = record(repo, server)
    # Else the test proves nothing.
    assert not is_dump(repo, wrong.snapshot_id, filled)
    full = record(repo, server, Policy(is_full=True))
    assert full.missed == (SectionName(SectionKind.DATA, "public", "a"),)
    assert is_dump(repo, full.snapshot_id, filled)
    blind()
    later = record(repo, server)
    assert "went unnoticed" in later.read_in_full_because


def test_a_snapshot_that_cannot_be_read_is_compared_with_nothing(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(filled)
    record(repo, server)
    monkeypatch.setattr(former_module, "decode_baseline", _damaged)
    report = record(repo, server)
    assert "cannot be compared with" in report.read_in_full_because
    assert mode(report) is ReadMode.FULL


def _damaged(data: bytes) -> None:
    from pgsnap.errors import CorruptionError

    raise CorruptionError("a baseline is damaged")


def test_a_moment_ends_with_the_commit(repo: Repository, filled: Database) -> None:
    server = server_of(filled)
    record(repo, server)
    record(repo, server)
    # Autovacuum may be there at any time.
    left = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    others = f"{left} AND datname = current_database() AND pid <> pg_backend_pid()"
    assert filled.psql(others).strip() == "0"
