"""SQL that pg_dump did not write: refused, or run by a role that can reach nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed, SourceError, TargetRefused
from pgsnap.format.manifest import encode_manifest, snapshot_id
from pgsnap.model import SnapshotId
from pgsnap.repository.layout import snapshot_name
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, plan_rows
from support.restoring.clients import (
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database

# The live database has another table, on purpose.
TRUST = RestoreOptions(trust_sql=True, partial=True)


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    owner = f"owns_{database.name}"
    database.psql(
        f'CREATE ROLE {owner}; ALTER DATABASE "{database.name}" OWNER TO {owner};'
        " CREATE TABLE precious (a int)"
    )
    yield database
    for name in databases_like(database, "%\\_\\_snap\\_%"):
        database.cluster.drop_database(name)
    assert database.cluster.psql("SELECT rolname FROM pg_roles WHERE rolname ~ '^snap_load_'") == ""
    database.cluster.drop_database(database.name)
    database.cluster.psql(f"DROP ROLE {owner}")


def test_foreign_sql_is_refused_without_trust(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    snapshot = commit_file(repo, tmp_path / "x.sql", "CREATE TABLE t (a int);\n")
    with pytest.raises(TargetRefused, match="pg_dump did not write") as caught:
        restore_now(repo, snapshot, server_of(shop, tcp=True), RestoreOptions(partial=True))
    assert "--trust-sql" in caught.value.hint


def claimed_to_be_pg_dumps(repo: Repository, path: Path, text: str) -> SnapshotId:
    """Commit SQL of somebody's own, and write a manifest that says that pg_dump wrote it."""
    honest = commit_file(repo, path, text)
    snapshot = repo.snapshot(honest)
    assert not snapshot.origin.is_pg_dump
    origin = replace(snapshot.origin, is_pg_dump=True, tool="pg_dump (PostgreSQL) 17.6")
    data = encode_manifest(replace(snapshot, origin=origin, message="by a stranger"))
    file = repo.path / snapshot_name(snapshot_id(data))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return snapshot_id(data)


@pytest.mark.parametrize("ends", ["", "--\n-- PostgreSQL database dump complete\n--\n\n"])
def test_a_manifest_that_claims_to_be_pg_dumps_makes_no_sql_trusted(
    repo: Repository, shop: Database, tmp_path: Path, ends: str
) -> None:
    text = (
        "CREATE TABLE who AS SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb AS may"
        f" FROM pg_roles WHERE rolname = session_user;\n{ends}"
    )
    snapshot = claimed_to_be_pg_dumps(repo, tmp_path / "x.sql", text)
    with Repository.open(repo.path) as opened:
        server = server_of(shop, tcp=True)
        with pytest.raises(TargetRefused, match="pg_dump did not write") as caught:
            restore_now(opened, snapshot, server, RestoreOptions(partial=True))
        assert "--trust-sql" in caught.value.hint
        rows = plan_rows(opened, snapshot, server, RowsOptions((("public", "precious"),)))
        assert any("pg_dump did not write" in problem.message for problem in rows.refusals)
        assert shop.psql("SELECT count(*) FROM precious") == "0"
        restore_now(opened, snapshot, server, TRUST)
        name, may = shop.psql("SELECT rolname, may FROM who").split("|")
        assert name.startswith("snap_load_")
        assert may == "f"
        assert shop.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'who'") == (
            f"owns_{shop.name}"
        )


def test_trusted_sql_is_restored_and_belongs_to_the_databases_owner(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (2);\nCREATE SCHEMA s;\n"
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert shop.psql("SELECT sum(a) FROM t") == "3"
    owners = (
        "SELECT DISTINCT o::regrole FROM (SELECT relowner FROM pg_class WHERE relname = 't'"
        " UNION SELECT nspowner FROM pg_namespace WHERE nspname = 's'"
        " UNION SELECT datdba FROM pg_database WHERE datname = current_database()) x(o)"
    )
    assert shop.psql(owners) == f"owns_{shop.name}"


def test_what_strangers_wrote_never_comes_to_belong_to_a_superuser(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    snapshot = commit_file(repo, tmp_path / "x.sql", "CREATE TABLE t (a int);\n")
    shop.psql(f'ALTER DATABASE "{shop.name}" OWNER TO postgres')
    with pytest.raises(TargetRefused, match="belong to the superuser postgres") as caught:
        restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert f'ALTER DATABASE "{shop.name}" OWNER TO' in caught.value.hint
    new = RestoreOptions(trust_sql=True, to=f"{shop.name}_new")
    with pytest.raises(TargetRefused, match="belong to the superuser postgres"):
        restore_now(repo, snapshot, server_of(shop, tcp=True), new)


@pytest.mark.parametrize(
    "attack",
    [
        'DROP DATABASE "{live}" WITH (FORCE);',
        'RESET ROLE; DROP DATABASE "{live}" WITH (FORCE);',
        'RESET SESSION AUTHORIZATION; DROP DATABASE "{live}" WITH (FORCE);',
        "SET ROLE postgres;",
        "SET SESSION AUTHORIZATION postgres;",
        "ALTER ROLE CURRENT_USER SUPERUSER;",
        "CREATE ROLE evil SUPERUSER;",
        "CREATE DATABASE evil;",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/evil';",
        'ALTER DATABASE "{live}" RENAME TO gone;',
        "ALTER SYSTEM SET port = 1;",
        "\\! touch /tmp/evil\n",
        "\\connect postgres\n",
    ],
)
def test_hostile_sql_reaches_nothing_beyond_its_scratch_database(
    repo: Repository, shop: Database, tmp_path: Path, attack: str
) -> None:
    text = "CREATE TABLE t (a int);\n" + attack.replace("{live}", shop.name) + "\n"
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    with pytest.raises(RestoreFailed):
        restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert shop.psql("SELECT count(*) FROM precious") == "0"
    assert databases_like(shop, "%\\_\\_snap\\_%") == []


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a int); COPY t FROM stdin;\n1\n2\n",
        "CREATE TABLE t (a int);\nSELECT 'open",
        "CREATE TABLE t (a int);\n/* open",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1;",
    ],
)
def test_sql_that_ends_in_the_middle_never_counts_as_restored(
    repo: Repository, shop: Database, tmp_path: Path, text: str
) -> None:
    def commit_and_restore() -> None:
        snapshot = commit_file(repo, tmp_path / "x.sql", text)
        restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)

    # The reader refuses such a file, or the restore does; nobody takes it for whole.
    with pytest.raises((SourceError, RestoreFailed)):
        commit_and_restore()
    assert shop.psql("SELECT count(*) FROM precious") == "0"


def test_statements_that_psql_leaves_out_never_count_as_run(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    """psql of some minor releases takes what follows an empty statement for rows, since 15.19,
    16.15, 17.11 and 18.6; others do not. Whichever this one is, it runs all or is found out."""
    text = (
        "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\.\n;\nINSERT INTO t VALUES (2);\n"
        "COPY t FROM stdin;\n3\n\\.\n"
    )
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    server = server_of(shop, tcp=True)
    refused = ""
    try:
        restore_now(repo, snapshot, server, TRUST)
    except RestoreFailed as error:
        refused = error.message
    if refused:
        assert refused == "psql ran 1 COPY statements of 2"
        assert shop.psql("SELECT count(*) FROM precious") == "0"
    else:
        assert shop.psql("SELECT sum(a) FROM t") == "6"


def test_a_setting_that_the_sql_left_on_its_database_does_not_go_live(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil',"
        " current_database()); END $$;\nCREATE TABLE t (a int);\n"
    )
    snapshot = commit_file(repo, tmp_path / "x.sql", text)
    restore_now(repo, snapshot, server_of(shop, tcp=True), TRUST)
    assert "evil" not in shop.psql("SHOW search_path")


def test_a_role_that_may_not_make_roles_is_told_the_grant(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    role = f"owner_{shop.name}"
    shop.psql(f'CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE "{shop.name}" OWNER TO {role}')
    snapshot = commit_file(repo, tmp_path / "x.sql", "CREATE TABLE t (a int);\n")
    try:
        with pytest.raises(TargetRefused, match="role for this SQL") as caught:
            restore_now(repo, snapshot, server_of(shop, user=role), TRUST)
        assert "CREATEROLE" in caught.value.hint
        options = RestoreOptions(trust_sql=True, as_superuser=True, partial=True)
        restore_now(repo, snapshot, server_of(shop, user=role), options)
        assert shop.psql("SELECT tableowner FROM pg_tables WHERE tablename = 't'") == role
    finally:
        for name in (shop.name, *databases_like(shop, "%\\_\\_snap\\_%")):
            shop.cluster.drop_database(name)
        shop.cluster.psql(f"DROP ROLE {role}")
