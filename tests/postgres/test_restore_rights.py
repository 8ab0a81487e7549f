"""Rights of a snapshot: grants that nobody can repeat are known before the load, and what not
everybody may do is not everybody's in a copy or after a file without rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database, new_name

GRANTS = [
    ("SELECT", "TABLE shop.t"),
    ("UPDATE (a)", "TABLE shop.t"),
    ("EXECUTE", "FUNCTION shop.f()"),
    ("USAGE", "TYPE shop.mood"),
]


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str, str]]:
    names = new_name("owner"), new_name("Mid; dle"), new_name("reader")
    database.psql("".join(f'CREATE ROLE "{name}";' for name in names))
    yield names
    listed = ", ".join(f'"{name}"' for name in names)
    for name in databases_like(database, f"{database.name}%"):
        Database(database.cluster, name).psql(f"DROP OWNED BY {listed} CASCADE")
    database.psql(f"DROP ROLE {listed}")


def grant_as_another(
    database: Database, roles: tuple[str, str, str], right: str, what: str
) -> None:
    owner, middle, reader = roles
    database.psql(
        "CREATE SCHEMA shop; CREATE TABLE shop.t (a int); CREATE TYPE shop.mood AS ENUM ('x');"
        "CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f'ALTER {what} OWNER TO "{owner}"; GRANT USAGE ON SCHEMA shop TO "{owner}", "{middle}";'
        f'GRANT {right} ON {what} TO "{middle}" WITH GRANT OPTION;'
        f'SET SESSION AUTHORIZATION "{middle}"; GRANT {right} ON {what} TO "{reader}"'
    )


@pytest.mark.parametrize("of_file", [False, True], ids=["server", "file"])
@pytest.mark.parametrize("grants", GRANTS)
def test_a_grant_that_its_grantor_cannot_repeat_is_refused_with_what_mends_it(
    repo: Repository,
    database: Database,
    roles: tuple[str, str, str],
    grants: tuple[str, str],
    tmp_path: Path,
    of_file: bool,
) -> None:
    grant_as_another(database, roles, *grants)
    server = server_of(database)

    def planned() -> tuple[str, ...]:
        if of_file:
            (tmp_path / "dump.sql").write_bytes(database.dump())
            source = FileSource(tmp_path / "dump.sql")
            made = commit(repo, source, database=LABEL, message="file").snapshot_id
        else:
            made = commit_database(repo, server)
        found = plan_restore(repo, made, server, RestoreOptions())
        copy = plan_restore(repo, made, server, RestoreOptions(to="copy", no_acl=True))
        assert copy.refusals == ()
        return tuple(f"{problem.message}. {problem.hint}" for problem in found.refusals)

    assert planned() == ()
    database.psql(f'REVOKE USAGE ON SCHEMA shop FROM "{roles[1]}"')
    (told,) = planned()
    assert told.startswith(f"what {roles[1]} granted in the schema shop cannot be granted again")
    statement = f'GRANT USAGE ON SCHEMA "shop" TO "{roles[1]}";'
    assert statement in told
    database.psql(statement)
    assert planned() == ()


@pytest.mark.parametrize(
    "way",
    [
        "GRANT USAGE ON SCHEMA shop TO PUBLIC",
        'GRANT pg_read_all_data TO "{middle}"',
        'ALTER ROLE "{middle}" SUPERUSER',
        'GRANT USAGE ON SCHEMA shop TO "{reader}"; GRANT "{reader}" TO "{middle}"',
        'ALTER SCHEMA shop OWNER TO "{middle}"',
        'GRANT USAGE ON SCHEMA shop TO "{middle}" WITH GRANT OPTION',
    ],
)
def test_a_grantor_who_may_use_the_schema_in_another_way_repeats_the_grant(
    repo: Repository, database: Database, roles: tuple[str, str, str], way: str
) -> None:
    owner, middle, reader = roles
    grant_as_another(database, roles, *GRANTS[0])
    database.psql(f'REVOKE USAGE ON SCHEMA shop FROM "{middle}"')
    database.psql(way.format(middle=middle, reader=reader, owner=owner))
    server = server_of(database)
    restore_now(repo, commit_database(repo, server), server)
    assert f"{reader}=r/" in database.psql("SELECT relacl FROM pg_class WHERE relname = 't'")


def test_a_grantor_in_a_public_schema_that_is_not_everybody_s_is_known_too(
    repo: Repository, database: Database, roles: tuple[str, str, str]
) -> None:
    owner, middle, reader = roles
    database.psql(
        f'CREATE TABLE t (a int); ALTER TABLE t OWNER TO "{owner}";'
        f'GRANT SELECT ON t TO "{middle}" WITH GRANT OPTION;'
        f'SET SESSION AUTHORIZATION "{middle}"; GRANT SELECT ON t TO "{reader}"'
    )
    server = server_of(database)
    first = commit_database(repo, server)
    assert plan_restore(repo, first, server, RestoreOptions()).refusals == ()
    database.psql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    made = commit_database(repo, server)
    plan = plan_restore(repo, made, server, RestoreOptions())
    # Whom the schema belongs to is in no dump where that was never changed: the load tells.
    assert plan.refusals == ()
    database.psql(f'ALTER SCHEMA public OWNER TO "{owner}"')
    made = commit_database(repo, server)
    with pytest.raises(TargetRefused, match="in the schema public cannot be granted again"):
        plan_restore(repo, made, server, RestoreOptions()).check()


CLOSED = """
CREATE FUNCTION closed() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
REVOKE ALL ON FUNCTION closed() FROM PUBLIC; GRANT EXECUTE ON FUNCTION closed() TO "{reader}";
CREATE FUNCTION open() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION "a "" FROM PUBLIC; b"() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION "a "" FROM PUBLIC; b"() FROM PUBLIC;
"""
MAY_CALL = """
SELECT string_agg(left(proname, 6), ',' ORDER BY proname) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('{reader}', oid, 'EXECUTE')
"""


@pytest.mark.parametrize("no_owner", [False, True])
def test_what_was_taken_from_everybody_is_not_given_back_by_no_acl(
    repo: Repository, database: Database, roles: tuple[str, str, str], no_owner: bool
) -> None:
    *_, reader = roles
    database.psql(CLOSED.format(reader=reader))
    assert database.psql(MAY_CALL.format(reader=reader)) == "closed,open"
    server = server_of(database)
    options = RestoreOptions(to=f"{database.name}_copy", no_acl=True, no_owner=no_owner)
    restore_now(repo, commit_database(repo, server), server, options)
    copy = Database(database.cluster, f"{database.name}_copy")
    try:
        assert copy.psql(MAY_CALL.format(reader=reader)) == "open"
    finally:
        database.cluster.drop_database(copy.name)


def test_a_file_without_rights_is_told_where_it_has_functions(
    repo: Repository, database: Database, roles: tuple[str, str, str], tmp_path: Path
) -> None:
    database.psql(CLOSED.format(reader=roles[2]))
    path = tmp_path / "dump.sql"

    def told(*options: str) -> bool:
        path.write_bytes(database.dump(*options))
        made = commit(repo, FileSource(path), database=LABEL, message="file")
        plan = plan_restore(repo, made.snapshot_id, server_of(database), RestoreOptions())
        said = any("everybody may call" in warning for warning in plan.warnings)
        assert said is made.snapshot.origin.lacks_rights
        return said

    assert not told()
    assert told("-x")
    assert told("-x", "-O")
    database.psql('DROP FUNCTION closed, open, "a "" FROM PUBLIC; b"')
    assert not told("-x")
