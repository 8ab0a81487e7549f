"""docs/roles.md: its SQL is what these tests run, and what it promises is what they see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import ConnectionFailed, DumpFailed, RestoreFailed, TargetRefused
from pgsnap.model import SectionKind
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from pgsnap.workflows.undo.undo import discard, plan_undo, undo
from support.documents.pages import sql_blocks
from support.restoring.clients import (
    LABEL,
    commit_database,
    commit_file,
    databases_like,
    new_repository,
    restore_now,
    server_of,
)
from support.servers.databases import Database

BLOCKS = sql_blocks("roles.md")
ROLES = ("snap_backup", "snap_restore", "shop_app", "shop_owner")


def follow(database: Database, title: str) -> None:
    """Run a block of the page, for *database* instead of ``shop``."""
    database.psql(re.sub(r"\bshop\b", f'"{database.name}"', BLOCKS[title]))


def follow_but(database: Database, title: str, left_out: str) -> None:
    """Run a block without the part that *left_out* names."""
    assert left_out in BLOCKS[title]
    text = BLOCKS[title].replace(left_out, "" if left_out.endswith(" ") else "SELECT 1;")
    database.psql(re.sub(r"\bshop\b", f'"{database.name}"', text))


def drop_roles(database: Database) -> None:
    """Drop the database with its copies, then the roles of the page."""
    for name in (database.name, *databases_like(database, f"{database.name}\\_\\_snap%")):
        database.cluster.drop_database(name)
    for role in ROLES:
        database.cluster.psql(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def sample(sample_database: Database) -> Iterator[Database]:
    """The sample, without the one thing in it that the backup role cannot read."""
    sample_database.psql(
        "ALTER USER MAPPING FOR snap_demo_app SERVER elsewhere OPTIONS (DROP login)"
    )
    yield sample_database
    drop_roles(sample_database)


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A database whose owner is no superuser, with some of what belongs to a database itself."""
    name = f'"{database.name}"'
    database.cluster.psql(
        f"CREATE ROLE shop_owner; CREATE ROLE shop_app LOGIN; ALTER DATABASE {name} OWNER TO"
        f" shop_owner; ALTER DATABASE {name} SET work_mem = '6MB'; COMMENT ON DATABASE {name} IS"
        f" 'the shop'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE"
        f" {name} TO shop_app"
    )
    database.psql(
        "SET ROLE shop_owner; CREATE SCHEMA s; CREATE TABLE s.t (a int PRIMARY KEY);"
        " INSERT INTO s.t VALUES (1), (2); CREATE TABLE notes (a int REFERENCES s.t);"
        " ALTER TABLE notes ENABLE ROW LEVEL SECURITY; CREATE POLICY x ON notes USING (true);"
        " GRANT USAGE ON SCHEMA s TO shop_app; GRANT SELECT ON s.t TO shop_app;"
        " CREATE MATERIALIZED VIEW m AS SELECT * FROM s.t; SELECT lo_create(77);"
        " CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    yield database
    drop_roles(database)


# -- the backup role -------------------------------------------------------------------------------


def test_the_backup_role_reads_what_a_superuser_reads(repo: Repository, sample: Database) -> None:
    for title in ("backup", "row-level security", "large objects"):
        follow(sample, title)
    by_superuser = repo.snapshot(commit_database(repo, server_of(sample)))
    by_role = repo.snapshot(commit_database(repo, server_of(sample, user="snap_backup")))
    assert by_role.root == by_superuser.root
    # An autovacuum in between changes the size.
    size = by_superuser.origin.properties.size_bytes
    assert replace(by_role.origin.properties, size_bytes=size) == by_superuser.origin.properties
    assert by_role.origin.globals_status == "without-passwords"
    assert by_superuser.origin.globals_status == "full"


def test_the_backup_role_may_change_nothing(sample: Database) -> None:
    for title in ("backup", "row-level security", "large objects"):
        follow(sample, title)
    with psycopg.connect(
        sample.cluster.dsn(sample.name, user="snap_backup"), autocommit=True
    ) as session:
        for statement in (
            b"DELETE FROM shop.users",
            b"UPDATE corners.secrets SET secret = ''",
            b"CREATE SCHEMA mine",
            b"SELECT lo_unlink(max(oid)) FROM pg_largeobject_metadata",
            b"CREATE DATABASE mine",
            b"CREATE ROLE mine",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


def test_the_other_way_to_read_large_objects_covers_new_ones(
    repo: Repository, sample: Database
) -> None:
    for title in ("backup", "row-level security", "all large objects"):
        follow(sample, title)
    sample.psql("SELECT lo_from_bytea(4299999, 'new')")
    snapshot = commit_database(repo, server_of(sample, user="snap_backup"))
    by_superuser = commit_database(repo, server_of(sample))
    assert repo.snapshot(snapshot).root == repo.snapshot(by_superuser).root


@pytest.mark.parametrize(
    ("left_out", "hint"),
    [
        ("GRANT CONNECT ON DATABASE shop TO snap_backup;", 'GRANT CONNECT ON DATABASE "{name}" TO'),
        ("GRANT pg_read_all_data TO snap_backup;", "GRANT pg_read_all_data TO snap_backup"),
        ("row-level security", "ALTER ROLE snap_backup BYPASSRLS"),
        ("large objects", "GRANT SELECT ON LARGE OBJECT 4200001 TO snap_backup"),
    ],
)
def test_what_the_backup_role_lacks_is_told_with_the_grant(
    repo: Repository, sample: Database, left_out: str, hint: str
) -> None:
    if left_out in BLOCKS:
        follow(sample, "backup")
    else:
        follow_but(sample, "backup", left_out)
    for title in ("row-level security", "large objects"):
        if title != left_out:
            follow(sample, title)
    with pytest.raises((ConnectionFailed, DumpFailed)) as caught:
        commit_database(repo, server_of(sample, user="snap_backup"))
    assert hint.format(name=sample.name) in caught.value.hint
    assert repo.newest(None) == []


def test_what_the_backup_role_cannot_read_is_left_out_as_documented(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE t (a int); CREATE SUBSCRIPTION sub CONNECTION 'host=x password=hidden-1'"
        " PUBLICATION p WITH (connect = false, slot_name = NONE);"
        " CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;"
        " CREATE USER MAPPING FOR postgres SERVER far OPTIONS (password 'hidden-2');"
        " CREATE ROLE shop_app LOGIN PASSWORD 'hidden-3'"
    )
    try:
        follow(database, "backup")
        seen = {}
        for user in (None, "snap_backup"):
            snapshot = repo.snapshot(commit_database(repo, server_of(database, user=user)))
            names = [section.name for section in repo.sections(snapshot)]
            blocks = snapshot_stream(
                repo, snapshot, restrict_key=fresh_restrict_key(), sections=names
            )
            seen[user] = b"".join(blocks)
            assert any(name.kind is SectionKind.GLOBALS for name in names)
        for secret in (b"hidden-1", b"hidden-2", b"SCRAM-SHA-256$"):
            assert secret in seen[None]
            assert secret not in seen["snap_backup"]
    finally:
        database.psql("ALTER SUBSCRIPTION sub DISABLE; DROP SUBSCRIPTION sub")
        drop_roles(database)


# -- the restore role ------------------------------------------------------------------------------


def test_the_restore_role_restores_undoes_and_discards(repo: Repository, shop: Database) -> None:
    snapshot = commit_database(repo, server_of(shop))
    before = shop.dump()
    follow(shop, "restore")
    shop.psql("DELETE FROM s.t; DROP TABLE notes")
    changed = shop.dump()
    server = server_of(shop, user="snap_restore")
    with psycopg.connect(shop.cluster.dsn(shop.name, user="shop_app")):
        # A session of a role that it is no member of is ended, by pg_signal_backend.
        report = restore_now(repo, snapshot, server)
    assert report.kept is not None
    assert shop.dump() == before
    properties = shop.psql(
        "SELECT datdba::regrole, shobj_description(oid, 'pg_database'), setconfig FROM pg_database"
        " JOIN pg_db_role_setting ON setdatabase = oid WHERE datname = current_database()"
    )
    assert properties == "shop_owner|the shop|{work_mem=6MB}"
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert shop.dump() == changed
    discard(repo, server, LABEL)
    assert databases_like(shop, f"{shop.name}\\_\\_snap%") == []


def test_the_restore_role_can_take_the_safety_snapshot_of_what_its_owners_own(
    repo: Repository, shop: Database
) -> None:
    follow(shop, "restore")
    by_role = commit_database(repo, server_of(shop, user="snap_restore"))
    by_superuser = commit_database(repo, server_of(shop))
    assert repo.snapshot(by_role).root == repo.snapshot(by_superuser).root


@pytest.mark.parametrize(
    ("left_out", "hint"),
    [
        ("CREATEDB ", 'ALTER ROLE "snap_restore" CREATEDB'),
        ("GRANT shop_owner TO snap_restore;", 'GRANT "shop_owner" TO "snap_restore"'),
        ("GRANT pg_signal_backend TO snap_restore;", 'GRANT pg_signal_backend TO "snap_restore"'),
    ],
)
def test_what_the_restore_role_lacks_is_told_with_the_grant(
    repo: Repository, shop: Database, left_out: str, hint: str
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    follow_but(shop, "restore", left_out)
    with (
        psycopg.connect(shop.cluster.dsn(shop.name, user="shop_app")) as client,
        pytest.raises(TargetRefused) as caught,
    ):
        restore_now(repo, snapshot, server_of(shop, user="snap_restore"))
    assert hint in caught.value.hint
    assert client.closed
    assert shop.psql("SELECT count(*) FROM s.t") == "2"


def test_an_owner_that_the_restore_role_is_no_member_of_is_named(
    repo: Repository, shop: Database
) -> None:
    shop.psql("CREATE TABLE s.of_another (a int); ALTER TABLE s.of_another OWNER TO shop_app")
    snapshot = commit_database(repo, server_of(shop))
    follow(shop, "restore")
    server = server_of(shop, user="snap_restore")
    with pytest.raises(TargetRefused) as caught:
        restore_now(repo, snapshot, server)
    assert 'GRANT "shop_app" TO "snap_restore"' in caught.value.hint
    shop.psql('GRANT "shop_app" TO "snap_restore"')
    # PostgreSQL gives a table only to a role that could have made it there.
    with pytest.raises(RestoreFailed, match="permission denied for schema s") as failed:
        restore_now(repo, snapshot, server)
    assert "members of the owners of their schemas" in failed.value.hint
    shop.psql("GRANT shop_owner TO shop_app")
    restore_now(repo, snapshot, server)
    assert (
        shop.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'of_another'") == "shop_app"
    )


def test_what_needs_a_superuser_is_refused_or_fails_in_the_scratch_database(
    repo: Repository, shop: Database
) -> None:
    follow(shop, "restore")
    server = server_of(shop, user="snap_restore")
    before = shop.dump()
    # An event trigger's owner must be a superuser, and the restore role is no member of one.
    shop.psql(
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE EVENT TRIGGER stop ON ddl_command_end EXECUTE FUNCTION e()"
    )
    snapshot = commit_database(repo, server_of(shop))
    shop.psql("DROP EVENT TRIGGER stop; DROP FUNCTION e()")
    with pytest.raises((TargetRefused, RestoreFailed)) as caught:
        restore_now(repo, snapshot, server)
    assert "postgres" in f"{caught.value.message} {caught.value.detail}"
    # A session of a superuser.
    shop.psql("SELECT 1")
    snapshot = commit_database(repo, server_of(shop))
    with psycopg.connect(shop.dsn), pytest.raises(TargetRefused, match="superusers are connected"):
        restore_now(repo, snapshot, server)
    assert shop.dump() == before


def test_a_setting_that_needs_a_superuser_is_left_out_and_told(
    repo: Repository, shop: Database
) -> None:
    shop.psql(f"ALTER DATABASE \"{shop.name}\" SET log_statement = 'all'")
    snapshot = commit_database(repo, server_of(shop))
    follow(shop, "restore")
    report = restore_now(repo, snapshot, server_of(shop, user="snap_restore"), RestoreOptions())
    assert any("log_statement" in warning for warning in report.warnings)


def test_a_dump_of_a_managed_service_gets_the_roles_that_it_grants_to(
    tmp_path: Path, database: Database
) -> None:
    names = [f"{stem}_{database.name}" for stem in ("anon", "service", "admin")]
    anon, service, admin = names
    database.psql(
        f"CREATE ROLE {anon}; CREATE ROLE {service}; CREATE ROLE {admin}; CREATE TABLE t (a int);"
        f"GRANT SELECT ON t TO {anon}; ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY p ON t TO {service} USING (true);"
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {admin} GRANT SELECT ON TABLES TO {anon}"
    )
    text = database.dump().decode()
    database.psql(f"DROP OWNED BY {', '.join(names)}; DROP ROLE {', '.join(names)}")
    copy = f"{database.name}_copy"
    server = server_of(database)
    try:
        with new_repository(tmp_path / "repo") as repo:
            snapshot = commit_file(repo, tmp_path / "dump.sql", text)
            with pytest.raises(TargetRefused) as caught:
                restore_now(repo, snapshot, server, RestoreOptions(to=copy))
            assert all(name in str(caught.value.message) for name in names)
            report = restore_now(repo, snapshot, server, RestoreOptions(to=copy, create_roles=True))
        assert sorted(report.created_roles) == sorted(names)
        rights = "SELECT count(*) FROM pg_policy WHERE polroles <> '{0}'"
        assert Database(database.cluster, copy).psql(rights) == "1"
    finally:
        database.cluster.drop_database(copy)
        database.cluster.psql(f"DROP ROLE IF EXISTS {', '.join(names)}")
