"""Rows in partitions that a hash chooses, where it is of numbers that another database gives again:
pg_dump loads them by way of the partitioned table only where the key itself is an enum."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    commit_database,
    restore_now,
    server_of,
    tables_now,
)
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database, new_name

LABELS = ", ".join(f"'v{number}'" for number in range(24))
# What is hashed: a type, made of the enum e, and the value of it that the enum's value v gives.
KEYS = {
    "an array": ("e[]", "ARRAY[v, 'v0']"),
    "a row": ("pair", "ROW(1, v)::pair"),
    "an array of rows": ("pair[]", "ARRAY[ROW(1, v)::pair]"),
    "a range": ("span", "span(v, NULL)"),
    "a domain of arrays": ("several", "ARRAY[v]::several"),
    "the name of a type": ("regtype", "('t' || substr(v::text, 2))::regtype"),
}
TYPES = f"""
CREATE TYPE e AS ENUM ({LABELS});
CREATE TYPE pair AS (n int, v e);
CREATE TYPE span AS RANGE (subtype = e);
CREATE DOMAIN several AS e[];
{"".join(f"CREATE TYPE t{number} AS (n int);" for number in range(24))}
"""


def table_of(key: str) -> str:
    """A partitioned table whose partitions are partitioned once more, and rows in all of them."""
    kind, value = KEYS[key]
    parts = "".join(
        f"CREATE TABLE part_{m} PARTITION OF rows_of FOR VALUES WITH (MODULUS 2, REMAINDER {m})"
        f" PARTITION BY LIST (n); CREATE TABLE leaf_{m} PARTITION OF part_{m} DEFAULT;"
        for m in range(2)
    )
    return (
        f"{TYPES} CREATE TABLE rows_of (k {kind}, n int, v text) PARTITION BY HASH (k); {parts}"
        f" INSERT INTO rows_of SELECT {value}, i, repeat('x', 500) FROM"
        " generate_series(1, 4) i, unnest(enum_range(NULL::e)) v"
    )


def rows(database: Database, table: str = "rows_of") -> list[str]:
    return sorted(database.psql(f"SELECT k, n, v FROM {table}").splitlines())


@pytest.mark.parametrize("key", KEYS)
def test_rows_come_back_whichever_partition_the_new_numbers_choose(
    repo: Repository, database: Database, key: str, tmp_path: Path
) -> None:
    database.psql(table_of(key))
    before = rows(database)
    snapshot = commit_database(repo, server_of(database))
    copy = Database(database.cluster, new_name("copy"))
    try:
        report = restore_now(repo, snapshot, server_of(database), RestoreOptions(to=copy.name))
        assert report.rows == len(before) == 96
        assert rows(copy) == before
        assert rows(copy, "leaf_0") != rows(database, "leaf_0")
    finally:
        database.cluster.drop_database(copy.name)
    assert failures(drill_now(repo, snapshot, server_of(database), tmp_path)) == {}


@pytest.mark.parametrize("replace", [False, True])
def test_a_table_comes_back_where_its_types_were_made_anew(
    repo: Repository, database: Database, *, replace: bool
) -> None:
    database.psql(table_of("an array"))
    before = rows(database)
    snapshot = commit_database(repo, server_of(database))
    database.psql(
        f"DROP TABLE rows_of; DROP TYPE e CASCADE; DROP TYPE pair, t1, t2; {TYPES.splitlines()[1]}"
    )
    tables_now(repo, snapshot, server_of(database), "rows_of", replace=replace)
    assert rows(database, "rows_of" if replace else "rows_of__was") == before
