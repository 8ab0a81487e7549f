"""Restore of what differs: tables that are emptied and filled, and their indexes."""

from __future__ import annotations

from functools import partial

import pytest

from pgsnap.errors import StoreFull
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore_changed import restore as restoring
from pgsnap.workflows.restore_changed.plan import ChangedOptions, plan_changed
from pgsnap.workflows.restore_changed.restore import restore_changed
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

# Each of the indexes but "plain" and "uni que" has something that CREATE INDEX alone does not make;
# those of the first two constraints have nothing that ADD CONSTRAINT does not make.
_TABLE = """
CREATE TABLE t (a int PRIMARY KEY, b text, c int NOT NULL, d int UNIQUE, e int);
INSERT INTO t SELECT i, 'x' || i, i, i, i % 7 FROM generate_series(1, 12000) i;
CREATE INDEX plain ON t (e DESC NULLS LAST, c) WITH (fillfactor = 70);
CREATE UNIQUE INDEX "uni que" ON t (b) INCLUDE (c);
CREATE UNIQUE INDEX identity ON t (c); ALTER TABLE t REPLICA IDENTITY USING INDEX identity;
CREATE INDEX ordered ON t (c); ALTER TABLE t CLUSTER ON ordered;
CREATE INDEX told ON t (c); COMMENT ON INDEX told IS 'of use';
CREATE INDEX computed ON t (lower(b)); CREATE INDEX partial ON t (c) WHERE e > 3;
CREATE UNIQUE INDEX referred ON t (e, a);
"""
_INDEXES = "SELECT indexrelid::regclass, indexrelid FROM pg_index WHERE indrelid = 't'::regclass"
_ALL = "SELECT md5(string_agg(t::text, ',' ORDER BY a)) FROM t"


def record(repo: Repository, server: Server) -> SnapshotId:
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="test").snapshot_id


def put_back(repo: Repository, snapshot: SnapshotId, server: Server) -> bool:
    recorded = partial(record, repo, server)
    plan = plan_changed(repo, snapshot, server, ChangedOptions(), lambda *_: recorded())
    # The comparison afterwards finds a definition that is not the snapshot's.
    (table,) = restore_changed(repo, plan, server, safety=recorded, proof=recorded).tables
    return table.rewritten


def indexes(database: Database) -> dict[str, str]:
    return dict(line.split("|") for line in database.psql(_INDEXES).splitlines())


def test_only_indexes_of_which_nothing_would_be_lost_are_made_again(
    repo: Repository, database: Database
) -> None:
    database.psql(_TABLE)
    server = server_of(database)
    snapshot, rows, before = record(repo, server), database.psql(_ALL), indexes(database)
    database.psql("DELETE FROM t WHERE a % 2 = 0")
    assert put_back(repo, snapshot, server)
    assert database.psql(_ALL) == rows
    after = indexes(database)
    assert after.keys() == before.keys()
    made = {name for name, number in after.items() if before[name] != number}
    assert made == {"plain", '"uni que"', "referred", "t_pkey", "t_d_key"}
    assert database.psql("SELECT bool_and(indisvalid AND indisready) FROM pg_index") == "t"


# What would be lost, or would be refused, if the constraint were dropped and added again.
_TIES = {
    "a comment": "COMMENT ON CONSTRAINT t_pkey ON t IS 'of use'",
    "a view that groups by the key": "CREATE VIEW v AS SELECT a, b FROM t GROUP BY a",
    "the table itself": "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES t",
    "parameters": "ALTER INDEX t_pkey SET (fillfactor = 50)",
    "a constraint that can wait": (
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a) DEFERRABLE INITIALLY DEFERRED"
    ),
}


@pytest.mark.parametrize("tie", _TIES)
def test_a_constraint_that_more_is_tied_to_keeps_its_index(
    repo: Repository, database: Database, tie: str
) -> None:
    database.psql(f"{_TABLE} {_TIES[tie]};")
    server = server_of(database)
    snapshot, rows, before = record(repo, server), database.psql(_ALL), indexes(database)
    database.psql("DELETE FROM t WHERE a % 2 = 0")
    assert put_back(repo, snapshot, server)
    assert database.psql(_ALL) == rows
    after = indexes(database)
    assert {name for name, number in after.items() if before[name] == number} >= {"t_pkey"}
    assert after["t_d_key"] != before["t_d_key"]


def test_an_index_that_a_foreign_key_needs_stays(repo: Repository, database: Database) -> None:
    database.psql(_TABLE + "CREATE TABLE u (e int, a int, FOREIGN KEY (e, a) REFERENCES t (e, a));")
    server = server_of(database)
    snapshot, rows, before = record(repo, server), database.psql(_ALL), indexes(database)
    database.psql("UPDATE t SET b = b || 'y'")
    assert put_back(repo, snapshot, server)
    assert database.psql(_ALL) == rows
    assert indexes(database) == before


def test_after_a_failure_the_indexes_are_those_that_were_there(
    repo: Repository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.psql(_TABLE)
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("DELETE FROM t WHERE a % 2 = 0")
    rows, before = database.psql(_ALL), indexes(database)

    def fails(*_: object, **__: object) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(restoring, "note_put_back", fails)
    with pytest.raises(StoreFull):
        put_back(repo, snapshot, server)
    assert database.psql(_ALL) == rows
    assert indexes(database) == before


def test_rows_of_a_table_that_is_filled_are_frozen(repo: Repository, database: Database) -> None:
    database.psql("CREATE EXTENSION pg_visibility; " + _TABLE)
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("DELETE FROM t WHERE a % 2 = 0")
    assert put_back(repo, snapshot, server)
    # PostgreSQL 18 leaves a few pages out.
    seen = "SELECT count(*) FILTER (WHERE all_frozen) > 0.9 * count(*) FROM pg_visibility_map('t')"
    assert database.psql(seen) == "t"
