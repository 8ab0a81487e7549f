"""A table of a snapshot that is open to somebody who may not read the live one any more: told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.repository.repository import Repository
from support.restoring.clients import commit_database, plan_of_tables, server_of
from support.servers.databases import Database, new_name


@pytest.fixture
def reader(database: Database) -> Iterator[str]:
    name = new_name("Reader")
    database.psql(f'CREATE ROLE "{name}"')
    yield name
    database.psql(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def told(repo: Repository, database: Database, changes: str) -> list[str]:
    """Return what plans say of a table that was committed before *changes*, the same of a copy
    beside the live one as of one in its place."""
    snapshot = commit_database(repo, server_of(database))
    database.psql(changes)
    found = []
    for replace in (False, True):
        plan = plan_of_tables(repo, snapshot, server_of(database), "t", replace=replace)
        plan.check()
        found.append([words for words in plan.warnings if "comes with" in words])
    assert found[0] == found[1]
    return found[0]


def test_rights_that_were_taken_away_since_are_told(
    repo: Repository, database: Database, reader: str
) -> None:
    database.psql(
        f'CREATE TABLE t (a int, b int); GRANT SELECT, INSERT ON t TO "{reader}";'
        f"GRANT UPDATE (a, b) ON t TO PUBLIC; GRANT SELECT (b) ON t TO PUBLIC"
    )
    changes = f'REVOKE SELECT ON t FROM "{reader}"; REVOKE UPDATE (a) ON t FROM PUBLIC'
    assert told(repo, database, changes) == [
        "public.t comes with rights that it does not give now:"
        f' UPDATE (a) to PUBLIC, SELECT to "{reader}"'
    ]


def test_rights_that_are_there_are_not_told(
    repo: Repository, database: Database, reader: str
) -> None:
    database.psql(f'CREATE TABLE t (a int); GRANT SELECT (a) ON t TO "{reader}", PUBLIC')
    assert told(repo, database, f'GRANT SELECT, DELETE ON t TO "{reader}"') == []


def test_row_security_that_was_turned_on_since_is_told(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (a int)")
    changes = "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    assert told(repo, database, changes) == ["public.t comes without row security, which is on now"]


def test_row_security_of_the_owner_alone_is_told_where_that_is_new(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert told(repo, database, "ALTER TABLE t FORCE ROW LEVEL SECURITY") == [
        "public.t comes without row security for its owner, which is on now"
    ]


def test_row_security_that_both_have_is_not_told(repo: Repository, database: Database) -> None:
    security = "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    database.psql(f"CREATE TABLE t (a int); {security}")
    assert told(repo, database, "ALTER TABLE t ADD b int") == []
