"""A live database that cannot be recorded before it is replaced: what stands in the way is named,
and the plan says what becomes of closed doors."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Database:
    """A database of a plain role, with a snapshot of it, and what a restore kept."""
    role = new_name("owner")
    database.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {database.name} OWNER TO {role};"
        f"CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO {role}"
    )
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    snap.use_tools_of(database.cluster)
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--tag", "one")
    snap.ok("restore", "one", "--yes")
    return database


def alter(database: Database, words: str) -> None:
    database.cluster.psql(f'ALTER DATABASE "{database.name}" {words}')


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT 0"),
        ("ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS is false"),
    ],
)
def test_what_keeps_the_live_database_from_being_recorded_is_named_and_undo_goes_without(
    snap: CommandLine, shop: Database, words: str, named: str
) -> None:
    alter(shop, words)
    for command in (
        ("commit", "-m", "two"),
        ("undo", "--yes"),
        ("restore", "one", "--yes", "--discard-old"),
    ):
        result = snap(*command)
        assert result.code in (30, 40), command
        assert named in result.err, command
        assert "idle connections" not in result.err, command
        assert ("--no-safety-snapshot" in result.err) is (command[0] != "commit"), command
    snap.ok("undo", "--yes", "--no-safety-snapshot")
    assert shop.psql("SELECT a FROM t") == "1"


def test_a_dump_from_a_file_replaces_a_database_that_lets_nobody_in(
    snap: CommandLine, shop: Database, tmp_path: Path
) -> None:
    dump = tmp_path / "shop.sql"
    dump.write_bytes(shop.dump())
    snap.ok("commit", "-m", "file", "--file", str(dump), "--database", "file", "--tag", "file")
    alter(shop, "CONNECTION LIMIT 0")
    wanted = ("restore", "file/file", "--yes", "--discard-old")
    assert "CONNECTION LIMIT 0" in snap(*wanted).err
    refused = snap(*wanted, "--no-safety-snapshot")
    assert "--from-server file@" in refused.err
    assert "database adopt" not in refused.err
    result = snap.ok(*wanted, "--no-safety-snapshot", "--from-server", "file@")
    assert "nothing is known of encoding, locale and owner" in result.err
    assert shop.psql("SELECT a FROM t") == "1"


def test_a_revoked_right_to_connect_is_named_with_its_grant(
    snap: CommandLine, shop: Database
) -> None:
    other = new_name("reader")
    shop.psql(f"CREATE ROLE {other} LOGIN; REVOKE CONNECT ON DATABASE {shop.name} FROM PUBLIC")
    snap.setenv("DATABASE_URL", shop.cluster.dsn(shop.name, user=other))
    result = snap("commit", "-m", "two", "--database", shop.name)
    assert result.code == 30
    assert f'GRANT CONNECT ON DATABASE "{shop.name}" TO "{other}";' in result.err


def test_the_plan_says_where_a_closed_database_opens_and_where_undo_closes_it(
    snap: CommandLine, shop: Database
) -> None:
    alter(shop, "ALLOW_CONNECTIONS false")
    done = snap.ok(
        "restore", "one", "--yes", "--no-safety-snapshot", "--discard-old", "--json"
    ).json
    [told] = [text for text in done["warnings"] if "ALLOW_CONNECTIONS" in text]
    assert f'ALTER DATABASE "{shop.name}" ALLOW_CONNECTIONS false;' in told
    assert shop.psql("SELECT a FROM t") == "1"
    result = snap("undo")
    assert f'ALTER DATABASE "{shop.name}" ALLOW_CONNECTIONS true;' in result.err
    notices = snap.ok("undo", "--yes", "--json").json["notices"]
    assert any("lets nobody in" in text for text in notices)
    alter(shop, "ALLOW_CONNECTIONS true")
    assert shop.psql("SELECT a FROM t") == "1"


def test_undo_says_where_only_superusers_will_get_in(snap: CommandLine, shop: Database) -> None:
    alter(shop, "CONNECTION LIMIT 0")
    snap.ok("undo", "--yes", "--no-safety-snapshot")
    notices = snap.ok("undo", "--yes", "--json").json["notices"]
    assert any("only superusers" in text and "CONNECTION LIMIT -1" in text for text in notices)
