"""Restore of what differs, where the rows were seen while the present state was recorded."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore_changed import differences as differing
from pgsnap.workflows.restore_changed import restore as restoring
from pgsnap.workflows.restore_changed.plan import ChangedOptions, ChangedPlan, plan_changed
from pgsnap.workflows.restore_changed.restore import restore_changed
from pgsnap.workflows.restore_changed.spliced_rows import SplicedRows
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

_ALL = "SELECT md5(string_agg(t::text, ',' ORDER BY a)) FROM t"


@pytest.fixture
def large(database: Database) -> Database:
    """A table of many blocks, of which most rows are not touched."""
    database.psql(
        "CREATE TABLE t (a int PRIMARY KEY, b text);"
        " INSERT INTO t SELECT i, repeat('x' || i, 20) FROM generate_series(1, 20000) i"
    )
    database.psql("VACUUM t")
    return database


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose rows are read and compared."""
    names: list[str] = []
    real = restoring.row_changes

    def noted(repo: Repository, different: Any, *more: int, **named: bool) -> Any:
        # The comparison that proves the result allows no row.
        if not more:
            names.append(different.table[1])
        return real(repo, different, *more, **named)

    monkeypatch.setattr(restoring, "row_changes", noted)
    return names


def record(repo: Repository, server: Server, rows: SplicedRows | None = None) -> SnapshotId:
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="test", watch=rows).snapshot_id


def planned(repo: Repository, snapshot: SnapshotId, server: Server) -> ChangedPlan:
    rows = SplicedRows(repo, snapshot)
    return plan_changed(
        repo, snapshot, server, ChangedOptions(), lambda *_: record(repo, server, rows), rows
    )


def carried_out(repo: Repository, plan: ChangedPlan, server: Server) -> tuple[bool, int, int]:
    recorded = partial(record, repo, server)
    report = restore_changed(repo, plan, server, safety=recorded, proof=recorded)
    (table,) = report.tables
    return table.rewritten, table.rows_deleted, table.rows_loaded


def recorded_twice(repo: Repository, database: Database) -> tuple[SnapshotId, str]:
    """Return a snapshot and the rows in it. The first commit reads everything: what is recorded
    after it is made of changed blocks."""
    server = server_of(database)
    record(repo, server)
    return record(repo, server), database.psql(_ALL)


_CHANGE = (
    "UPDATE t SET b = reverse(b) WHERE a % 400 = 7; DELETE FROM t WHERE a % 1000 = 1;"
    " INSERT INTO t VALUES (50000, 'new')"
)


def test_rows_that_were_seen_are_not_read_again(
    repo: Repository, large: Database, compared: list[str]
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql(_CHANGE)
    done = carried_out(repo, planned(repo, snapshot, server), server)
    assert done == (False, 51, 70)
    assert large.psql(_ALL) == before
    assert compared == []


def test_what_is_written_after_the_plan_goes_too(
    repo: Repository, large: Database, compared: list[str]
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql(_CHANGE)
    plan = planned(repo, snapshot, server)
    large.psql("UPDATE t SET b = 'later' WHERE a = 3; UPDATE t SET b = reverse(b) WHERE a = 7")
    assert carried_out(repo, plan, server) == (False, 51, 70)
    assert large.psql(_ALL) == before
    assert compared == ["t"]


def test_an_older_snapshot_is_compared(
    repo: Repository, large: Database, compared: list[str]
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql("DELETE FROM t WHERE a = 5")
    record(repo, server)
    large.psql(_CHANGE)
    assert carried_out(repo, planned(repo, snapshot, server), server) == (False, 51, 71)
    assert large.psql(_ALL) == before
    assert compared == ["t"]


def test_of_a_table_of_which_much_changed_nothing_is_held(
    repo: Repository, large: Database, compared: list[str]
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql("UPDATE t SET b = reverse(b)")
    assert carried_out(repo, planned(repo, snapshot, server), server) == (True, 20000, 20000)
    assert large.psql(_ALL) == before
    assert compared == ["t"]


def test_a_table_of_which_most_changed_is_not_read_once_more_for_the_safety_snapshot(
    repo: Repository, large: Database
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql("DELETE FROM t WHERE a % 2 = 0")
    plan = planned(repo, snapshot, server)
    recorded = partial(record, repo, server)
    report = restore_changed(repo, plan, server, safety=recorded)
    assert report.safety is not None
    reading = repo.snapshot(report.safety).reading
    assert reading is not None
    # The places that are read again at random are of at most 64 blocks each.
    assert reading.blocks_read <= 3 * 64 < reading.blocks
    assert large.psql(_ALL) == before


_MUCH = {
    "deleted": ("DELETE FROM t WHERE a % 12 = 0", (False, 0, 1666)),
    "updated": ("UPDATE t SET b = reverse(b) WHERE a % 12 = 0", (False, 1666, 1666)),
    "inserted": ("INSERT INTO t SELECT -a, b FROM t WHERE a % 12 = 0", (False, 1666, 0)),
    "deleted, too much": ("DELETE FROM t WHERE a % 2 = 0", (True, 10000, 20000)),
    "updated, too much": ("UPDATE t SET b = 'x' || b WHERE a % 2 = 0", (True, 20000, 20000)),
}


@pytest.mark.parametrize("change", _MUCH)
def test_a_twelfth_of_the_rows_is_put_back_without_the_others(
    repo: Repository, large: Database, change: str
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    sql, expected = _MUCH[change]
    large.psql(sql)
    assert carried_out(repo, planned(repo, snapshot, server), server) == expected
    assert large.psql(_ALL) == before


def test_rows_that_take_too_much_memory_are_not_held(
    repo: Repository, large: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(large)
    snapshot, before = recorded_twice(repo, large)
    large.psql("DELETE FROM t WHERE a % 50 = 0")
    # Those 400 rows have 45 kB.
    monkeypatch.setattr(differing, "_BYTES_MAX", 30_000)
    assert carried_out(repo, planned(repo, snapshot, server), server) == (True, 19600, 20000)
    assert large.psql(_ALL) == before
