"""Roles whose names have line ends, which a dump's headers show as spaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    commit_database,
    restore_now,
    server_of,
    tables_now,
)
from support.servers.databases import Database, new_name

OWNER, READER = '"odd\nowner ""x"""', '"odd\r\nreader"'


@pytest.fixture
def owned(cluster: Cluster, database: Database) -> Iterator[Database]:
    """A database with a table and a type of one, readable for the other."""
    if cluster.major >= 19:
        pytest.skip("since PostgreSQL 19 no name of a role may have a line end")
    cluster.psql(f"CREATE ROLE {OWNER}; CREATE ROLE {READER}")
    database.psql(
        f"GRANT ALL ON SCHEMA public TO {OWNER}, {READER}; SET ROLE {OWNER};"
        " CREATE TABLE t (id serial PRIMARY KEY, v int); INSERT INTO t (v) VALUES (7);"
        f" GRANT SELECT ON t TO {READER}; GRANT UPDATE (v) ON t TO {READER}"
    )
    yield database
    cluster.drop_database(database.name)
    cluster.psql(f"DROP ROLE {OWNER}, {READER}")


def test_a_database_of_such_roles_comes_back(repo: Repository, owned: Database) -> None:
    snapshot = commit_database(repo, server_of(owned))
    copy = Database(owned.cluster, new_name("copy"))
    restore_now(repo, snapshot, server_of(owned), RestoreOptions(to=copy.name))
    try:
        assert copy.dump() == owned.dump()
    finally:
        owned.cluster.drop_database(copy.name)


def test_a_table_of_such_roles_comes_back(repo: Repository, owned: Database) -> None:
    before = owned.dump()
    snapshot = commit_database(repo, server_of(owned))
    (made,) = tables_now(repo, snapshot, server_of(owned), "t", replace=True).tables
    assert made.kept is not None
    owned.psql(f'DROP TABLE "{made.kept[1]}"')
    assert owned.dump() == before
