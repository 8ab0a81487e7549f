"""A database without the schema public or the language plpgsql comes back without them, or the plan
says that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import LABEL, commit_database, restore_now, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database
from support.servers.extensions import add_extension

LEFT = (
    "SELECT nspname FROM pg_namespace WHERE nspname = 'public'"
    " UNION ALL SELECT extname FROM pg_extension ORDER BY 1"
)


@pytest.mark.parametrize(
    ("drops", "left"),
    [
        ("DROP SCHEMA public", "plpgsql"),
        ("DROP EXTENSION plpgsql", "public"),
        ("DROP SCHEMA public; DROP EXTENSION plpgsql", ""),
    ],
)
def test_what_had_been_dropped_does_not_come_back(
    repo: Repository, database: Database, tmp_path: Path, drops: str, left: str
) -> None:
    database.psql(f"{drops}; CREATE SCHEMA x; CREATE TABLE x.t AS SELECT 1 AS a")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    assert failures(drill_now(repo, snapshot, server, tmp_path)) == {}
    assert plan_restore(repo, snapshot, server, RestoreOptions()).warnings == ()
    assert restore_now(repo, snapshot, server).warnings == ()
    assert database.psql(LEFT) == left
    # A part of a database says nothing of the rest.
    part = commit(repo, PostgresSource(server, only_schemas=("x",)), database=LABEL, message="x")
    options = RestoreOptions(to=f"{database.name}_part")
    restore_now(repo, part.snapshot_id, server, options)
    copy = Database(database.cluster, f"{database.name}_part")
    assert copy.psql(LEFT) == "plpgsql\npublic"
    database.cluster.drop_database(copy.name)


def test_with_an_extension_a_database_without_plpgsql_comes_back(
    repo: Repository, database: Database
) -> None:
    name = add_extension(database.cluster, "CREATE TABLE kept_by_it (a int);")
    database.psql(
        f'DROP EXTENSION plpgsql; CREATE EXTENSION "{name}";'
        " CREATE TABLE t AS SELECT 1 AS a; CREATE INDEX ON t (a)"
    )
    server = server_of(database)
    assert restore_now(repo, commit_database(repo, server), server).warnings == ()
    assert database.psql(LEFT) == f"{name}\npublic"


def test_who_may_not_drop_them_is_told_so_in_the_plan(
    repo: Repository, own_cluster: Cluster
) -> None:
    own_cluster.psql("CREATE ROLE keeper LOGIN CREATEDB;\nCREATE DATABASE app OWNER keeper")
    database = Database(own_cluster, "app")
    database.psql("DROP SCHEMA public; DROP EXTENSION plpgsql; CREATE SCHEMA x; DROP SCHEMA x")
    server = server_of(database, user="keeper")
    snapshot = commit_database(repo, server)
    told = plan_restore(repo, snapshot, server, RestoreOptions()).warnings
    assert any("the language plpgsql comes back" in warning for warning in told)
    stays = any("the schema public comes back" in warning for warning in told)
    assert stays == (own_cluster.major < 15)
    assert not any("comes back" in text for text in restore_now(repo, snapshot, server).warnings)
    assert database.psql(LEFT) == ("plpgsql\npublic" if stays else "plpgsql")
