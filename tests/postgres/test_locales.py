"""A snapshot's locale is asked of the server's machine, whatever the encoding of the database is
that databases are made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.locales import has_locale
from pgsnap.targets.naming import new_token
from pgsnap.targets.swap.scratch import create_scratch
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import commit_database, restore_now, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database

LOCALE = "C.UTF-8"


def made_from(cluster: Cluster, encoding: str) -> Database:
    """Give *cluster* a maintenance database of *encoding*, and return a database of UTF8, with a
    role `keeper` that may restore it."""
    cluster.psql(
        "DROP DATABASE postgres;"
        f" CREATE DATABASE postgres TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C'"
        " LC_CTYPE 'C'".replace(";", ";\n"),
        "template1",
    )
    cluster.psql(
        "CREATE ROLE keeper LOGIN CREATEDB; CREATE DATABASE app OWNER keeper TEMPLATE template0"
        f" ENCODING 'UTF8' LC_COLLATE '{LOCALE}' LC_CTYPE '{LOCALE}'".replace(";", ";\n")
    )
    database = Database(cluster, "app")
    database.psql("CREATE TABLE t AS SELECT 'grün 日本' AS word", user="keeper")
    return database


@pytest.mark.parametrize("role", ["postgres", "keeper"])
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_is_restored_on_its_own_server_whatever_its_maintenance_database_is(
    repo: Repository, own_cluster: Cluster, tmp_path: Path, encoding: str, role: str
) -> None:
    database = made_from(own_cluster, encoding)
    server = server_of(database, user=role)
    snapshot = commit_database(repo, server)
    assert plan_restore(repo, snapshot, server, RestoreOptions()).refusals == ()
    assert failures(drill_now(repo, snapshot, server, tmp_path)) == {}
    restore_now(repo, snapshot, server)
    assert database.psql("SELECT word FROM t") == "grün 日本"


def test_a_locale_that_the_machine_lacks_is_refused_before_anything_is_made(
    repo: Repository, database: Database
) -> None:
    server = server_of(database)
    known = repo.snapshot(commit_database(repo, server))
    assert known.origin.properties is not None
    properties = replace(known.origin.properties, lc_collate="xx_YY.UTF-8")
    strange, _ = repo.publish(replace(known, origin=replace(known.origin, properties=properties)))
    (problem,) = plan_restore(repo, strange, server, RestoreOptions()).refusals
    assert problem.message == "the server's machine does not have the locale xx_YY.UTF-8"
    with server.connect("postgres") as session:
        assert not has_locale(session, "xx_YY.UTF-8")
        assert has_locale(session, LOCALE)
        with pytest.raises(TargetRefused) as caught:
            create_scratch(session, "app", new_token(), properties, snapshot="00")
    assert "xx_YY.UTF-8 on the server's machine" in caught.value.hint


def test_a_locale_that_only_a_superuser_may_give_to_sql_ascii_is_not_called_missing(
    own_cluster: Cluster, repo: Repository
) -> None:
    database = made_from(own_cluster, "UTF8")
    known = repo.snapshot(commit_database(repo, server_of(database)))
    assert known.origin.properties is not None
    properties = replace(known.origin.properties, encoding="SQL_ASCII")
    with (
        server_of(database, user="keeper").connect("postgres") as session,
        pytest.raises(TargetRefused) as caught,
    ):
        create_scratch(session, "app", new_token(), properties, snapshot="00")
    assert caught.value.hint == (
        f"Connect as a superuser: only one may give a database of SQL_ASCII the locale {LOCALE}."
    )
