"""Owner, privileges and settings on a real server, and what a dead restore leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.sessions.base import Session
from pgsnap.sources.properties import read_properties
from pgsnap.targets.checks.roles import server_roles
from pgsnap.targets.naming import application_name, new_token, scratch_name
from pgsnap.targets.properties.properties import differences, read_applied, rehearse
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.scratch import create_scratch, drop_leftovers
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import (
    commit_database,
    databases_like,
    new_repository,
    restore_now,
    server_of,
)
from support.servers.databases import Database, new_name

ROLES = ('Own "er', "a=b/c", "granter")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A database with everything that a dump does not hold."""
    owner, app, granter = map(quoted, ROLES)
    name = quoted(database.name)
    for role in ROLES:
        database.psql(f"CREATE ROLE {quoted(role)}")
    database.psql(
        f"ALTER DATABASE {name} OWNER TO {owner};"
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
        f"REVOKE TEMPORARY ON DATABASE {name} FROM {owner};"
        f"GRANT CONNECT ON DATABASE {name} TO {granter} WITH GRANT OPTION;"
        f"SET ROLE {granter}; GRANT CONNECT ON DATABASE {name} TO {app}; RESET ROLE;"
        f'ALTER DATABASE {name} SET search_path = "$user", "Sch ema, 1", public;'
        f"ALTER DATABASE {name} SET app.tenant = E'it''s \\\\ {{database}}';"
        f"ALTER DATABASE {name} SET DateStyle = 'SQL, DMY';"
        f"ALTER ROLE {app} IN DATABASE {name} SET work_mem = '3MB';"
        f"ALTER ROLE {app} IN DATABASE {name} SET search_path = '';"
        f"COMMENT ON DATABASE {name} IS E'it''s; {{database}} \\\\ \\n --';"
        f"ALTER DATABASE {name} CONNECTION LIMIT 17"
    )
    yield database
    for each in (database.name, *databases_like(database, "%\\_\\_snap\\_%")):
        database.cluster.drop_database(each)
    for role in ROLES:
        database.cluster.psql(f"DROP ROLE {quoted(role)}")


def test_a_restored_database_has_every_property_of_the_snapshot(
    shop: Database, tmp_path: Path
) -> None:
    server = server_of(shop)
    with server.connect() as session:
        before = read_properties(session)
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_database(repo, server)
        shop.cluster.drop_database(shop.name)
        report = restore_now(repo, snapshot, server)
    assert report.warnings == ()
    with server.connect() as session:
        assert differences(before, read_applied(session, shop.name)) == ()
        assert read_properties(session).settings == before.settings


def test_a_rehearsal_changes_nothing_and_tells_what_the_server_refuses(shop: Database) -> None:
    from dataclasses import replace

    from pgsnap.model import Setting

    with server_of(shop).connect() as session:
        before = read_properties(session)
        strange = replace(
            before,
            comment="other",
            settings=(*before.settings, Setting("work_mem", "nonsense")),
        )
        kept, warnings = rehearse(session, shop.name, strange, server_roles(session))
        assert not any("nonsense" in statement.sql for statement in kept)
        assert len(warnings) == 1
        assert "nonsense" in warnings[0]
        assert read_properties(session) == before


def maintenance(database: Database, name: str = "snap") -> Session:
    return server_of(database).connect("postgres", name)


def test_leftovers_of_a_dead_restore_are_dropped_and_those_of_a_living_one_stay(
    database: Database,
) -> None:
    server = server_of(database)
    dead, alive, empty, theirs = (new_token() for _ in range(4))
    cluster = database.cluster
    with maintenance(database) as session:
        create_scratch(session, database.name, dead, None, snapshot="ab")
        session.execute(f"CREATE ROLE snap_load_{dead}")
        # Made, but not marked: its maker died in between. And a user's own, of the same pattern.
        cluster.create_database(scratch_name(database.name, empty))
        cluster.create_database(scratch_name(database.name, theirs))
        cluster.psql("CREATE TABLE t (a int)", scratch_name(database.name, theirs))
        with maintenance(database, application_name(alive)) as living:
            create_scratch(living, database.name, alive, None, snapshot="ab")
            gone, stayed = drop_leftovers(session, server.connect)
            assert stayed == ()
            assert set(gone) == {
                scratch_name(database.name, dead),
                scratch_name(database.name, empty),
                f"snap_load_{dead}",
            }
        for token in (alive, theirs):
            drop_database(session, scratch_name(database.name, token))
    assert databases_like(database, f"{database.name}\\_\\_snap%") == []


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_copy_without_rights_lets_nobody_in_who_was_not_let_in(
    shop: Database, tmp_path: Path, is_ours: bool, is_closed: bool
) -> None:
    server, copy = server_of(shop), Database(shop.cluster, new_name("copy"))
    if not is_closed:
        shop.psql(f"GRANT CONNECT ON DATABASE {quoted(shop.name)} TO PUBLIC")
    with new_repository(tmp_path / "repo") as repo:
        snapshot = commit_database(repo, server)
        options = RestoreOptions(to=copy.name, no_acl=True, no_owner=is_ours)
        assert restore_now(repo, snapshot, server, options).warnings == ()
    try:
        asks = "SELECT has_database_privilege({}, current_database(), 'CONNECT, TEMP, CREATE')"
        granter, owner = (copy.psql(asks.format(f"'{role}'")) for role in (ROLES[2], ROLES[0]))
        assert granter.strip() == ("f" if is_closed else "t")
        assert owner.strip() == ("f" if is_closed and is_ours else "t")
    finally:
        shop.cluster.drop_database(copy.name)
