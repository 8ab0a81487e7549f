"""Restore on a real server: what comes back, what is replaced, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed, TargetExists, TargetRefused, UsageError
from pgsnap.repository.repository import Repository
from pgsnap.sources.properties import read_properties
from pgsnap.targets.swap.kept import SWAPPED
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database

TWO_TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT g, 'n' || g FROM generate_series(1, 1000) g;
CREATE TABLE empty (id int);
"""


@pytest.fixture
def shop(database: Database) -> Database:
    """A database with two tables."""
    database.psql(TWO_TABLES)
    return database


def test_a_restore_brings_the_sample_back_and_keeps_what_was_there(
    repo: Repository, sample_database: Database
) -> None:
    server = server_of(sample_database)
    snapshot = commit_database(repo, server)
    # Some definitions come back in other words, and are stable from then on (decisions, 14).
    fixed = Database(sample_database.cluster, f"{sample_database.name}_fixed")
    restore_now(repo, snapshot, server, RestoreOptions(to=fixed.name))
    before = fixed.dump()
    with server.connect() as session:
        properties = read_properties(session)
    sample_database.psql("DROP SCHEMA IF EXISTS public CASCADE; CREATE TABLE shop.gone (a int)")
    sample_database.cluster.psql(f'ALTER DATABASE "{sample_database.name}" RESET ALL')
    report = restore_now(repo, snapshot, server)
    assert report.kept is not None
    kept = Database(sample_database.cluster, report.kept)
    try:
        assert sample_database.dump() == before
        assert sample_database.dump("--data-only") == fixed.dump("--data-only")
        with server.connect() as session:
            after = read_properties(session)
        assert replace(after, size_bytes=0) == replace(properties, size_bytes=0)
        assert report.warnings == ()
        assert report.rows == repo.snapshot(snapshot).rows
        assert kept.psql("SELECT count(*) FROM shop.gone") == "0"
    finally:
        for name in (kept.name, fixed.name):
            sample_database.cluster.drop_database(name)


def test_a_new_database_is_filled_and_nothing_is_replaced(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    name = f'{shop.name} "new"'
    report = restore_now(repo, snapshot, server, RestoreOptions(to=name))
    try:
        assert Database(shop.cluster, name).dump() == shop.dump()
        assert report.kept is None
        assert repo.notes(SWAPPED) == []
        assert databases_like(shop, "%\\_\\_snap\\_%") == []
        with pytest.raises(TargetExists):
            plan_restore(repo, snapshot, server, RestoreOptions(to=name))
    finally:
        shop.cluster.drop_database(name)


def test_a_database_that_was_dropped_is_made_again(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    before = shop.dump()
    shop.cluster.drop_database(shop.name)
    assert restore_now(repo, snapshot, server).kept is None
    assert shop.dump() == before


def test_the_plan_tells_what_will_be_replaced_and_changes_nothing(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql(f"ALTER DATABASE \"{shop.name}\" SET work_mem = '5MB'")
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    assert plan.live is not None
    assert plan.live.size_bytes
    assert plan.database == shop.name
    assert plan.refusals == ()
    assert any("work_mem" in text for text in plan.warnings)
    assert plan.rows == 1000
    assert databases_like(shop, "%\\_\\_snap\\_%") == []


def test_a_snapshot_never_replaces_another_database(
    repo: Repository, shop: Database, cluster: object
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    other = server_of(Database(shop.cluster, "postgres"))
    with pytest.raises(UsageError, match="names") as caught:
        plan_restore(repo, snapshot, other, RestoreOptions())
    assert "--to" in caught.value.hint


def test_a_third_copy_is_refused_unless_the_old_one_goes(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    first = restore_now(repo, snapshot, server)
    with pytest.raises(TargetRefused, match="kept already") as caught:
        restore_now(repo, snapshot, server)
    assert "--discard-old" in caught.value.hint
    second = restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))
    assert second.discarded == (first.kept,)
    assert databases_like(shop, "%\\_\\_snap\\_%") == [second.kept]


def test_an_index_on_an_unqualified_function_fails_with_a_hint_and_leaves_nothing(
    repo: Repository, shop: Database
) -> None:
    shop.psql(
        "CREATE FUNCTION plus(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';"
        "CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN RETURN plus(plus($1)); END';"
        # On a table without rows: since 17 an index is built with a safe search_path.
        "CREATE TABLE n (id int); CREATE INDEX ON n (twice(id)); INSERT INTO n VALUES (1)"
    )
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    before = shop.dump()
    with pytest.raises(RestoreFailed, match="plus") as caught:
        restore_now(repo, snapshot, server)
    assert "search_path" in caught.value.hint
    assert "post-data" in caught.value.detail
    assert shop.dump() == before
    assert databases_like(shop, "%\\_\\_snap\\_%") == []


def test_missing_roles_are_refused_with_their_commands_and_made_when_asked(
    repo: Repository, shop: Database
) -> None:
    role = f'Role "{shop.name}"'
    quoted = '"' + role.replace('"', '""') + '"'
    shop.psql(f"CREATE ROLE {quoted} LOGIN PASSWORD 'secret'; ALTER TABLE orders OWNER TO {quoted}")
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
    with pytest.raises(TargetRefused, match="roles are missing") as caught:
        restore_now(repo, snapshot, server)
    assert f"CREATE ROLE {quoted}" in caught.value.detail
    assert "SCRAM" not in caught.value.detail
    assert "--create-roles" in caught.value.hint
    report = restore_now(repo, snapshot, server, RestoreOptions(create_roles=True))
    try:
        assert report.created_roles == (role,)
        owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'orders'"
        assert shop.psql(owner) == role
        verifier = "SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = "
        assert shop.psql(verifier + "'" + role + "'") == "t"
    finally:
        shop.cluster.drop_database(shop.name)
        shop.cluster.psql(f"DROP ROLE {quoted}")


def test_a_role_that_may_make_roles_can_give_them_what_they_owned(
    repo: Repository, shop: Database
) -> None:
    owner, maker = f"lost_{shop.name}", f"maker_{shop.name}"
    name = f'"{shop.name}"'
    shop.psql(
        f"CREATE ROLE {owner}; CREATE ROLE {maker} LOGIN CREATEDB CREATEROLE;"
        f" ALTER DATABASE {name} OWNER TO {owner}; ALTER TABLE orders OWNER TO {owner};"
        f" ALTER TABLE empty OWNER TO {owner}"
    )
    snapshot = commit_database(repo, server_of(shop))
    before = shop.dump()
    shop.cluster.drop_database(shop.name)
    shop.cluster.psql(f"DROP ROLE {owner}")
    report = restore_now(
        repo, snapshot, server_of(shop, user=maker), RestoreOptions(create_roles=True)
    )
    try:
        assert report.created_roles == (owner,)
        assert shop.dump() == before
    finally:
        shop.cluster.drop_database(shop.name)
        shop.cluster.psql(f"DROP ROLE {owner}; DROP ROLE {maker}")


def test_a_label_on_the_database_is_told_because_no_snapshot_holds_it(
    repo: Repository, shop: Database
) -> None:
    # By hand: no provider of labels comes with PostgreSQL.
    shop.psql(
        "INSERT INTO pg_shseclabel SELECT oid, 'pg_database'::regclass, 'anon', 'it''s'"
        " FROM pg_database WHERE datname = current_database()"
    )
    server = server_of(shop)
    plan = plan_restore(repo, commit_database(repo, server), server, RestoreOptions())
    command = f"SECURITY LABEL FOR \"anon\" ON DATABASE \"{shop.name}\" IS 'it''s';"
    assert any(command in warning for warning in plan.warnings)
    shop.psql("DELETE FROM pg_shseclabel")


def test_a_prepared_transaction_is_named_and_stops_the_restore(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql("BEGIN; INSERT INTO empty VALUES (1); PREPARE TRANSACTION 'p''1'")
    try:
        with pytest.raises(TargetRefused, match="p'1") as caught:
            restore_now(repo, snapshot, server)
        assert "ROLLBACK PREPARED 'p''1';" in caught.value.hint
    finally:
        shop.psql("ROLLBACK PREPARED 'p''1'")


def test_a_logical_slot_stops_the_restore(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    slot = f"slot_{shop.name}"
    shop.psql(f"SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")
    try:
        with pytest.raises(TargetRefused, match=slot):
            restore_now(repo, snapshot, server)
    finally:
        shop.psql(f"SELECT pg_drop_replication_slot('{slot}')")


def test_a_role_without_rights_is_told_every_grant_at_once(
    repo: Repository, shop: Database
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    role = f"poor_{shop.name}"
    shop.psql(f"CREATE ROLE {role} LOGIN")
    try:
        with pytest.raises(TargetRefused) as caught:
            restore_now(repo, snapshot, server_of(shop, user=role))
        assert f'ALTER ROLE "{role}" CREATEDB;' in caught.value.hint
        assert f'GRANT "postgres" TO "{role}";' in caught.value.hint
    finally:
        shop.psql(f"DROP ROLE {role}")


def test_a_plain_role_that_owns_the_database_can_restore_it(
    repo: Repository, shop: Database
) -> None:
    role = f"owner_{shop.name}"
    shop.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB;"
        f'ALTER DATABASE "{shop.name}" OWNER TO {role};'
        f"ALTER TABLE orders OWNER TO {role}; ALTER TABLE empty OWNER TO {role}"
    )
    server = server_of(shop, user=role)
    snapshot = commit_database(repo, server)
    shop.psql("DELETE FROM orders")
    restore_now(repo, snapshot, server)
    try:
        assert shop.psql("SELECT count(*) FROM orders") == "1000"
    finally:
        for name in (shop.name, *databases_like(shop, "%\\_\\_snap\\_kept%")):
            shop.cluster.drop_database(name)
        shop.cluster.psql(f"DROP ROLE {role}")


def test_a_superusers_session_stops_a_restore_by_a_plain_role(
    repo: Repository, shop: Database
) -> None:
    import psycopg

    role = f"owner_{shop.name}"
    shop.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB;"
        f'ALTER DATABASE "{shop.name}" OWNER TO {role};'
        f"ALTER TABLE orders OWNER TO {role}; ALTER TABLE empty OWNER TO {role}"
    )
    server = server_of(shop, user=role)
    snapshot = commit_database(repo, server)
    try:
        with (
            psycopg.connect(shop.dsn),
            pytest.raises(TargetRefused, match="superusers are connected"),
        ):
            restore_now(repo, snapshot, server)
    finally:
        shop.cluster.drop_database(shop.name)
        shop.cluster.psql(f"DROP ROLE {role}")


def test_a_missing_extension_is_refused_before_anything_is_made(
    repo: Repository, shop: Database
) -> None:
    import dataclasses

    from pgsnap.model import Extension

    server = server_of(shop)
    snapshot = commit_database(repo, server)
    known = repo.snapshot(snapshot)
    assert known.origin.properties is not None
    properties = dataclasses.replace(
        known.origin.properties, extensions=(Extension("no_such", "1.0", "public"),)
    )
    strange = dataclasses.replace(
        known, origin=dataclasses.replace(known.origin, properties=properties)
    )
    plan = plan_restore(repo, repo.publish(strange)[0], server, RestoreOptions())
    assert [problem.message for problem in plan.refusals] == [
        "the extension no_such is not installed on the server"
    ]


def test_a_snapshot_of_a_newer_server_or_another_locale_is_refused(
    repo: Repository, shop: Database
) -> None:
    import dataclasses

    server = server_of(shop)
    known = repo.snapshot(commit_database(repo, server))
    origin = known.origin
    assert origin.properties is not None
    assert origin.server is not None
    newer = dataclasses.replace(origin.server, version_num=990001)
    place = dataclasses.replace(origin.properties, lc_collate="xx_YY.utf8")
    strange = dataclasses.replace(origin, server=newer, properties=place)
    plan = plan_restore(
        repo,
        repo.publish(dataclasses.replace(known, origin=strange))[0],
        server,
        RestoreOptions(to="x_new"),
    )
    messages = " ".join(problem.message for problem in plan.refusals)
    assert "PostgreSQL 99" in messages
    assert "xx_YY.utf8" in messages


def test_a_database_that_somebody_replaced_after_the_plan_is_not_touched(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    shop.cluster.drop_database(shop.name)
    shop.cluster.create_database(shop.name)
    with pytest.raises(RestoreFailed, match="not what it was"):
        restore(repo, plan, server)
    assert shop.psql("SELECT count(*) FROM pg_class WHERE relname = 'orders'") == "0"
    assert databases_like(shop, "%\\_\\_snap\\_%") == []


def test_a_dump_from_a_file_replaces_the_database_of_the_dsn_and_keeps_its_properties(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    shop.psql(f"COMMENT ON DATABASE \"{shop.name}\" IS 'mine'")
    snapshot = commit_file(repo, tmp_path / "dump.sql", shop.dump().decode())
    shop.psql("DROP TABLE orders")
    restore_now(repo, snapshot, server_of(shop))
    assert shop.psql("SELECT count(*) FROM orders") == "1000"
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "
    assert shop.psql(f"{comment}'{shop.name}'") == "mine"
