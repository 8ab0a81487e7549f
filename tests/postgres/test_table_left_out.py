"""Tables whose rows a dump left out: none of them takes the place of one that has rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from support.restoring.clients import (
    LABEL,
    commit_file,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.servers.databases import Database

TABLES = """
CREATE TABLE log (line text); INSERT INTO log VALUES ('kept');
CREATE TABLE empty (n int);
CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES;
CREATE TABLE by_year (y int, note text DEFAULT 'PARTITION BY') PARTITION BY LIST (y);
CREATE TABLE year_1 PARTITION OF by_year FOR VALUES IN (1);
CREATE TABLE year_2 PARTITION OF by_year FOR VALUES IN (2);
INSERT INTO by_year VALUES (1), (2);
"""


def commit_without(repo: Repository, database: Database, *patterns: str) -> SnapshotId:
    source = PostgresSource(server_of(database), exclude_table_data=patterns)
    return commit(repo, source, database=LABEL, message="a part").snapshot_id


@pytest.mark.parametrize(
    ("named", "empty"), [("log", "public.log"), ("by_year", "public.year_1"), ("bare", None)]
)
def test_a_table_without_its_rows_replaces_none(
    repo: Repository, database: Database, named: str, empty: str | None
) -> None:
    database.psql(TABLES)
    before = database.dump()
    snapshot = commit_without(repo, database, "log", "year_1")
    plan = plan_of_tables(repo, snapshot, server_of(database), named, replace=True)
    if empty is None:
        plan.check()
        return
    with pytest.raises(TargetRefused) as refused:
        plan.check()
    assert refused.value.message == f"the snapshot was made without the rows of {empty}"
    assert database.dump() == before


def test_a_partition_that_is_gone_does_not_come_back_empty_either(
    repo: Repository, database: Database
) -> None:
    database.psql(TABLES)
    snapshot = commit_without(repo, database, "year_1")
    database.psql("DROP TABLE year_1")
    plan = plan_of_tables(repo, snapshot, server_of(database), "by_year", replace=True)
    with pytest.raises(TargetRefused, match=r"without the rows of public\.year_1"):
        plan.check()


def test_a_dump_of_definitions_replaces_no_table(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    database.psql(TABLES)
    text = database.dump("--schema-only").decode()
    snapshot = commit_file(repo, tmp_path / "dump.sql", text)
    plan = plan_of_tables(repo, snapshot, server_of(database), "log", "by_year", replace=True)
    assert [problem.message for problem in plan.refusals] == [
        f"the snapshot was made without the rows of public.{name}"
        for name in ("log", "year_1", "year_2")
    ]


def test_a_table_that_has_no_rows_is_no_table_without_its_rows(
    repo: Repository, database: Database
) -> None:
    database.psql(TABLES)
    snapshot = commit_without(repo, database, "log", "year_1")
    database.psql("INSERT INTO empty VALUES (1)")
    tables_now(repo, snapshot, server_of(database), "empty", replace=True)
    assert database.psql("SELECT count(*) FROM empty").strip() == "0"


def test_beside_it_is_made_empty_and_the_plan_says_so(repo: Repository, database: Database) -> None:
    database.psql(TABLES)
    snapshot = commit_without(repo, database, "log", "year_1")
    server = server_of(database)
    told = plan_of_tables(repo, snapshot, server, "log", "by_year", "empty").warnings
    without = [words for words in told if "without the rows" in words]
    assert without == [
        f"the snapshot was made without the rows of public.{name}: it is made empty"
        for name in ("log", "year_1")
    ]
