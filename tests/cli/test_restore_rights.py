"""Rights that a restore would lack are told at `init` and at the first commit, not in an
emergency."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

ROLE, OWNER, OTHER = "snap_rights_backup", "snap_rights_owner", "snap_rights_other"


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    database.psql(
        f"CREATE ROLE {ROLE} LOGIN; CREATE ROLE {OWNER}; CREATE ROLE {OTHER};"
        f"GRANT pg_read_all_data TO {ROLE};"
        f'ALTER DATABASE "{database.name}" OWNER TO {OWNER};'
        f"CREATE SCHEMA s AUTHORIZATION {OTHER}; CREATE TABLE s.t (a int);"
        f"ALTER TABLE s.t OWNER TO {OTHER}"
    )
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=ROLE))
    yield snap
    database.cluster.drop_database(database.name)
    database.cluster.psql(f"DROP ROLE {ROLE}, {OWNER}, {OTHER}", "postgres")


def test_missing_rights_are_told_once_with_what_grants_them_and_again_if_more_are_missing(
    shop: CommandLine, database: Database
) -> None:
    made = shop.ok("init", "--json").json["restore_rights"]
    grants = [
        f'ALTER ROLE "{ROLE}" CREATEDB;',
        f'GRANT "{OWNER}" TO "{ROLE}";',
        f'GRANT "{OTHER}" TO "{ROLE}";',
    ]
    assert made["grants"] == grants
    first = shop.ok("commit", "-m", "x").err
    assert f"the role {ROLE} could not restore {database.name}" in first
    assert " ".join(grants) in first
    assert "could not restore" not in shop.ok("commit", "-m", "x").err
    database.cluster.psql(" ".join(grants[:2]), "postgres")
    assert "could not restore" not in shop.ok("commit", "-m", "x").err
    database.cluster.psql(f"ALTER ROLE {ROLE} NOCREATEDB", "postgres")
    again = shop.ok("commit", "-m", "x", "--json").json["notices"]
    assert [line for line in again if grants[0] in line]
    # What the commands grant is enough.
    database.cluster.psql(f"{grants[0]} {grants[2]}", "postgres")
    assert "could not restore" not in shop.ok("commit", "-m", "x", "--tag", "whole").err
    shop.ok("restore", "whole", "--yes")
    shop.ok("undo", "--discard", "--yes")


def test_a_role_that_could_restore_is_no_news(snap: CommandLine, database: Database) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    assert snap.ok("init", "--json").json["restore_rights"]["missing"] == []
    assert "restore" not in snap.ok("commit", "-m", "x").err
    assert not (snap.work / ".snap" / "snap" / "restore_rights.json").exists()
