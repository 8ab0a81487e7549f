"""Rows come back in the order of the dump, also where PostgreSQL would fill gaps with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from support.restoring.clients import commit_database, new_repository, restore_now, server_of
from support.servers.databases import Database

# Rows of very different lengths: short ones fit into room that long ones left on earlier pages.
# CREATE TABLE AS fills no gaps, so these tables begin in order.
_AS = (
    "AS SELECT i AS id, repeat('x', (hashint4(i) & 2047)) AS words FROM generate_series(1, 4000) i"
)

_PARTITIONED = f"""
CREATE TABLE p0 {_AS};
CREATE TABLE p1 {_AS};
UPDATE p1 SET id = id + 4000;
VACUUM FULL p1;
CREATE TABLE p (id int, words text) PARTITION BY RANGE (id);
ALTER TABLE p ATTACH PARTITION p0 FOR VALUES FROM (1) TO (4001);
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (4001) TO (8001);
"""


def _dumped_rows(database: Database) -> bytes:
    return database.dump("--data-only")


def _restored_in_place(database: Database, tmp_path: Path) -> bytes:
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_database(repo, server_of(database))
        restore_now(repo, snapshot, server_of(database))
    return _dumped_rows(database)


def test_psql_alone_would_change_the_order(database: Database, cluster: Cluster) -> None:
    """Else the tests below prove nothing."""
    database.psql(f"CREATE TABLE t {_AS}")
    before = _dumped_rows(database)
    cluster.create_database(f"{database.name}_other")
    copy = Database(cluster, f"{database.name}_other")
    try:
        copy.restore(database.dump())
        assert _dumped_rows(copy) != before
    finally:
        cluster.drop_database(copy.name)


@pytest.mark.parametrize("name", ["t", '"Zähler; \'odd\' ""name"""'])
def test_rows_come_back_in_the_order_of_the_dump(
    database: Database, tmp_path: Path, name: str
) -> None:
    database.psql(f"CREATE TABLE {name} {_AS}")
    before = _dumped_rows(database)
    assert _restored_in_place(database, tmp_path) == before


def test_a_restored_database_is_known_as_unchanged(database: Database, tmp_path: Path) -> None:
    database.psql(f"CREATE TABLE t {_AS}")
    with new_repository(tmp_path / "repo") as repo:
        first = commit_database(repo, server_of(database))
        restore_now(repo, first, server_of(database))
        second = commit_database(repo, server_of(database))
        assert repo.snapshot(second).root == repo.snapshot(first).root


def test_partitions_and_children_keep_their_rows_and_their_order(
    database: Database, tmp_path: Path
) -> None:
    database.psql(
        f"{_PARTITIONED} CREATE TABLE parent {_AS}; CREATE TABLE child {_AS};"
        "ALTER TABLE child INHERIT parent;"
    )
    before = _dumped_rows(database)
    assert _restored_in_place(database, tmp_path) == before


def test_a_dump_loaded_through_the_partition_root_keeps_all_its_rows(
    database: Database, tmp_path: Path
) -> None:
    database.psql(_PARTITIONED)
    server = server_of(database)
    with new_repository(tmp_path / "repo") as repo:
        source = PostgresSource(server, dump_options=("--load-via-partition-root",))
        snapshot = commit(repo, source, database="app", message="by the root").snapshot_id
        restore_now(repo, snapshot, server)
    assert database.psql("SELECT count(*), count(DISTINCT id) FROM p") == "8000|8000"
