"""Rows that a dump loads by way of their partitioned table: each partition has its own all the
same."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import (
    commit_database,
    commit_file,
    plan_of_tables,
    restore_now,
    server_of,
    tables_now,
)
from support.servers.databases import Database

# PostgreSQL hashes the number of an enum's value, which another database gives again.
BY_ENUM = r"""
CREATE TYPE grade AS ENUM ('low', 'mid', 'high', 'top');
CREATE TABLE by_grade (k grade, n int, twice int GENERATED ALWAYS AS (n * 2) STORED)
    PARTITION BY HASH (k);
CREATE TABLE grade_0 PARTITION OF by_grade FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE grade_1 PARTITION OF by_grade FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO by_grade SELECT (enum_range(NULL::grade))[1 + i % 4], i FROM generate_series(1, 400) i;
"""
BY_LEVEL = r"""
CREATE TABLE top (a int, b int) PARTITION BY LIST (a);
CREATE TABLE "mid ""dle" PARTITION OF top FOR VALUES IN (1, 2) PARTITION BY LIST (b);
CREATE TABLE leaf_1 PARTITION OF "mid ""dle" FOR VALUES IN (1);
CREATE TABLE leaf_rest PARTITION OF "mid ""dle" DEFAULT;
CREATE TABLE other PARTITION OF top DEFAULT;
INSERT INTO top SELECT i % 5, i % 3 FROM generate_series(1, 300) i;
"""


@pytest.fixture
def by_root(repo: Repository, database: Database, tmp_path: Path) -> SnapshotId:
    """A dump that loads all rows by way of the topmost table."""
    database.psql(BY_LEVEL)
    text = database.dump("--load-via-partition-root").decode()
    assert text.count("COPY public.top ") == 3
    return commit_file(repo, tmp_path / "dump.sql", text)


def rows(database: Database, table: str) -> list[str]:
    return database.psql(f"SELECT * FROM {table} ORDER BY 1, 2").splitlines()


def test_a_partition_by_the_hash_of_an_enum_comes_back_with_its_rows(
    repo: Repository, database: Database
) -> None:
    database.psql(BY_ENUM)
    snapshot = commit_database(repo, server_of(database))
    loaded = 0
    for name in ("grade_0", "grade_1"):
        report = tables_now(repo, snapshot, server_of(database), name)
        assert report.rows == len(rows(database, name))
        assert rows(database, f"{name}__was") == rows(database, name)
        loaded += report.rows
    assert loaded == 400


def test_the_whole_table_gets_each_row_once(repo: Repository, database: Database) -> None:
    database.psql(BY_ENUM)
    before = rows(database, "by_grade")
    snapshot = commit_database(repo, server_of(database))
    database.psql("DELETE FROM by_grade WHERE n > 7")
    report = tables_now(repo, snapshot, server_of(database), "by_grade", replace=True)
    assert report.rows == 400
    assert rows(database, "by_grade") == before
    assert [t.rows for t in report.tables] == [
        0,
        *(len(rows(database, f"grade_{n}")) for n in "01"),
    ]


def test_partitions_of_all_levels_come_back_alone_with_their_rows(
    repo: Repository, database: Database, by_root: SnapshotId
) -> None:
    for name, made in (
        ("leaf_1", "leaf_1__was"),
        ("other", "other__was"),
        ('"mid ""dle"', '"mid ""dle__was"'),
    ):
        report = tables_now(repo, by_root, server_of(database), name)
        assert report.rows == len(rows(database, name)) > 0
        assert rows(database, made) == rows(database, name)
        if name != '"mid ""dle"':
            database.psql(f"DROP TABLE {made}")
    assert rows(database, "leaf_rest__was") == rows(database, "leaf_rest")


def test_a_new_database_gets_the_rows_of_one_partition_and_the_plan_says_by_which_way(
    repo: Repository, database: Database, by_root: SnapshotId
) -> None:
    name = f"{database.name}_part"
    options = RestoreOptions(to=name, tables=(("public", "leaf_1"),))
    plan = plan_restore(repo, by_root, server_of(database), options)
    count = len(rows(database, "leaf_1"))
    assert plan.rows == count > 0
    assert any("public.leaf_1" in told and "public.top" in told for told in plan.warnings)
    restore_now(repo, by_root, server_of(database), options)
    try:
        copy = Database(database.cluster, name)
        assert rows(copy, "leaf_1") == rows(database, "leaf_1")
        assert copy.psql("SELECT count(*) FROM top") == str(count)
    finally:
        database.cluster.drop_database(name)


def test_the_plan_counts_the_rows_of_each_partition(
    repo: Repository, database: Database, by_root: SnapshotId
) -> None:
    plan = plan_of_tables(repo, by_root, server_of(database), "top")
    found = {t.parts.table[1]: t.rows for t in plan.tables}
    assert found["top"] == 0
    for name in ("leaf_1", "leaf_rest", "other"):
        assert found[name] == len(rows(database, name))
