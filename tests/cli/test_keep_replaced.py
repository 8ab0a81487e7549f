"""How many replaced databases stay: `keep_replaced` in snap.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.servers.databases import Database

AGAIN = ("restore", "one", "--yes", "--json")


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE SEQUENCE s")
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--tag", "one")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


def kept(database: Database) -> list[str]:
    return sorted(databases_like(database, "%\\_\\_snap\\_kept%"))


def test_the_oldest_goes_when_a_restore_is_done_unless_it_has_what_no_snapshot_has(
    shop: CommandLine, database: Database
) -> None:
    first = shop.ok(*AGAIN).json
    database.psql("INSERT INTO t VALUES (2)")
    assert "if its safety snapshot has everything" in " ".join(shop("restore", "one").err.split())
    second = shop.ok(*AGAIN).json
    assert second["discarded"] == [first["kept"]]
    assert kept(database) == [second["kept"]]
    # What is written to a replaced database is nowhere else.
    database.cluster.psql("SELECT nextval('s')", second["kept"])
    third = shop.ok(*AGAIN).json
    assert third["discarded"] == []
    assert "has what its safety snapshot" in " ".join(third["warnings"])
    assert kept(database) == sorted([second["kept"], third["kept"]])
    refused = shop(*AGAIN)
    assert refused.code == 40
    assert "keep_replaced = 1" in refused.error["detail"]
    fourth = shop.ok(*AGAIN, "--discard-old", "--no-safety-snapshot").json
    assert kept(database) == [fourth["kept"]]
    refused = shop(*AGAIN)
    assert refused.code == 40
    assert "there is no safety snapshot of it" in refused.error["detail"]
    config = shop.work / "snap.toml"
    config.write_text("keep_replaced = 2\n" + config.read_text())
    fifth = shop.ok(*AGAIN).json
    assert kept(database) == sorted([fourth["kept"], fifth["kept"]])
    assert shop(*AGAIN).code == 40
    shop.ok("undo", "--yes")
    assert len(kept(database)) == 2


def test_at_least_one_replaced_database_is_kept(shop: CommandLine) -> None:
    (shop.work / "snap.toml").write_text("keep_replaced = 0\n")
    assert shop("log").code == 2
