"""A file with a part of a database, by the command line: told by commit, and no database's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

TABLES = """
CREATE SCHEMA shop; CREATE SCHEMA "Audit Log"; CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE shop.items (id int); INSERT INTO shop.items VALUES (1);
CREATE TABLE "Audit Log"."Row; Type: TABLE" (id int); SELECT lo_from_bytea(0, 'x');
"""


@pytest.fixture
def shop(database: Database) -> Database:
    database.psql(TABLES)
    return database


def test_one_table_from_a_file_does_not_take_the_place_of_all_by_yes(
    snap: CommandLine, shop: Database
) -> None:
    snap.setenv("DATABASE_URL", shop.dsn)
    snap.ok("init")
    Path("part.sql").write_bytes(shop.dump("-t", "orders"))
    told = snap.ok("commit", "-m", "part", "--file", "part.sql")
    refused = snap("restore", "latest", "--yes", "--json")
    assert refused.code == 40
    assert "--partial" in refused.error["hint"]
    assert shop.psql("SELECT count(*) FROM shop.items") == "1"
    done = snap.ok("restore", "latest", "--yes", "--partial", "--json").json
    lost = done["not_in_snapshot"]
    assert (lost["schemas"], lost["tables"], lost["large_objects"]) == (2, 2, 1)
    assert lost["names"][:3] == ["Audit Log", "shop", '"Audit Log"."Row; Type: TABLE"']
    assert any("loses it" in warning for warning in done["warnings"])
    snap.ok("undo", "--yes")
    assert shop.psql("SELECT count(*) FROM shop.items") == "1"
    assert "warning" not in told.err
    Path("part.sql").write_bytes(shop.dump("-s"))
    told = snap.ok("commit", "-m", "part", "--file", "part.sql")
    assert "made without any rows" in told.err
    assert snap.ok("show", "latest", "--json").json["left_out"].startswith("any rows")
