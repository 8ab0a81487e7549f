"""What cannot be loaded is explained truthfully, with what mends the source database."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.restoring.clients import (
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database, new_name


def failure(repo: Repository, database: Database) -> RestoreFailed:
    """Commit, restore, and return why that failed; the database is as it was."""
    server = server_of(database)
    snapshot = commit_database(repo, server)
    before = database.dump()
    with pytest.raises(RestoreFailed) as caught:
        restore_now(repo, snapshot, server)
    assert database.dump() == before
    assert databases_like(database, f"{database.name}%") == [database.name]
    return caught.value


DRAWN = (
    "CREATE SEQUENCE {sequence}; CREATE FUNCTION numbered({arguments}) RETURNS text LANGUAGE"
    " {language} AS $$ {body} $$;"
    "CREATE TABLE bill (note text, no text GENERATED ALWAYS AS (public.numbered({values}))"
    " STORED); INSERT INTO bill (note) VALUES ('a')"
)
IN_SQL = "SELECT 'N' || nextval('public.{sequence}'::regclass)"
IN_PLPGSQL = "BEGIN RETURN 'N' || nextval('public.{sequence}'::regclass); END"


@pytest.mark.parametrize(
    ("sequence", "language", "takes_a_column", "is_certain"),
    [
        ("zz_numbers", "sql IMMUTABLE", False, True),
        ("zz_numbers", "sql IMMUTABLE", True, True),
        ("aa_numbers", "sql IMMUTABLE", True, False),
        ("zz_numbers", "sql IMMUTABLE SET search_path = public", True, False),
        ("zz_numbers", "sql IMMUTABLE SECURITY DEFINER", True, False),
        ("zz_numbers", "plpgsql IMMUTABLE", True, False),
    ],
)
def test_a_generated_column_that_draws_from_a_sequence_is_told_in_the_plan(
    repo: Repository,
    database: Database,
    sequence: str,
    language: str,
    takes_a_column: bool,
    is_certain: bool,
) -> None:
    body = (IN_PLPGSQL if language.startswith("plpgsql") else IN_SQL).format(sequence=sequence)
    database.psql(
        DRAWN.format(
            sequence=sequence,
            language=language,
            body=body,
            arguments="text" if takes_a_column else "",
            values="note" if takes_a_column else "",
        )
    )
    server = server_of(database)
    plan = plan_restore(repo, commit_database(repo, server), server, RestoreOptions())
    told = [warning for warning in plan.warnings if "public.bill.no" in warning]
    if is_certain:
        [problem] = plan.refusals
        assert problem.message == "the generated column public.bill.no cannot be made again"
        assert f"public.{sequence}" in problem.detail
        assert told == []
    else:
        assert plan.refusals == ()
        [warning] = told
        assert "calls public.numbered" in warning
    # It is as psql finds it.
    copy = Database(database.cluster, f"{database.name}_copy")
    database.cluster.create_database(copy.name)
    fails = pytest.raises(AssertionError, match=f"public.{sequence}")
    try:
        with fails if is_certain else nullcontext():
            copy.restore(database.dump())
    finally:
        database.cluster.drop_database(copy.name)


def test_a_generated_column_whose_function_cannot_be_looked_into_is_explained(
    repo: Repository, database: Database
) -> None:
    database.psql(
        DRAWN.format(
            sequence="zz_numbers",
            language="plpgsql IMMUTABLE",
            body=IN_PLPGSQL.format(sequence="zz_numbers"),
            arguments="",
            values="",
        )
    )
    error = failure(repo, database)
    assert "public.zz_numbers" in error.message
    assert "TABLE bill" in error.detail
    assert "names it in its body" in error.detail
    assert "search_path" not in error.hint


def test_a_grant_of_a_role_that_lost_the_schema_is_explained_and_the_statement_mends_it(
    repo: Repository, database: Database
) -> None:
    owner, middle, reader = new_name("owner"), new_name("middle"), new_name("reader")
    roles = f"{owner}, {middle}, {reader}"
    database.psql("".join(f"CREATE ROLE {role};" for role in roles.split(", ")))
    try:
        database.psql(
            "CREATE SCHEMA shop; CREATE TABLE shop.t (a int);"
            f"ALTER TABLE shop.t OWNER TO {owner}; GRANT USAGE ON SCHEMA shop TO {roles};"
            f"GRANT SELECT ON shop.t TO {middle} WITH GRANT OPTION;"
            f"SET SESSION AUTHORIZATION {middle}; GRANT SELECT ON shop.t TO {reader};"
            f"RESET SESSION AUTHORIZATION; REVOKE USAGE ON SCHEMA shop FROM {middle}"
        )
        server = server_of(database)
        with pytest.raises(TargetRefused) as caught:
            restore_now(repo, commit_database(repo, server), server)
        statement = f'GRANT USAGE ON SCHEMA "shop" TO "{middle}";'
        assert statement in caught.value.hint
        assert "superuser" not in caught.value.hint
        database.psql(statement)
        server = server_of(database)
        restore_now(repo, commit_database(repo, server), server)
    finally:
        for name in databases_like(database, f"{database.name}%"):
            Database(database.cluster, name).psql(f"DROP OWNED BY {roles}")
        database.psql(f"DROP ROLE {roles}")


def test_a_check_that_reads_another_table_is_explained_and_not_valid_mends_it(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE zone (name text PRIMARY KEY); INSERT INTO zone VALUES ('a');"
        "CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql STABLE AS"
        " 'SELECT EXISTS (SELECT FROM public.zone WHERE name = $1)';"
        "CREATE TABLE place (zone text CONSTRAINT in_zone CHECK (public.known(zone)));"
        "INSERT INTO place VALUES ('a')"
    )
    error = failure(repo, database)
    assert "data public.place" in error.detail
    assert "NOT VALID" in error.hint
    database.psql(
        "ALTER TABLE place DROP CONSTRAINT in_zone,"
        " ADD CONSTRAINT in_zone CHECK (public.known(zone)) NOT VALID"
    )
    server = server_of(database)
    restore_now(repo, commit_database(repo, server), server)


def test_rows_that_break_a_foreign_key_are_told_to_be_the_source_databases_own(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE parent (id int PRIMARY KEY);"
        "CREATE TABLE child (id int REFERENCES parent);"
        "SET session_replication_role = replica; INSERT INTO child VALUES (7)"
    )
    error = failure(repo, database)
    assert "FK CONSTRAINT child" in error.detail
    assert "own rows break it" in error.detail
