"""`snap status`: what the live database equals or stems from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.documents import documentation
from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); ANALYZE")
    snap.ok("init")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


def test_status_says_whether_definitions_changed_where_commits_read_only_changes(
    shop: CommandLine, database: Database
) -> None:
    shop.setenv("SNAP_SOURCE", "direct")
    shop.ok("commit", "-m", "first")

    def difference() -> dict[str, object]:
        found: dict[str, object] = shop.ok("status", "--json").json["difference"]
        return found

    database.psql("INSERT INTO t VALUES (2)")
    found = difference()
    assert found["definitions_changed"] is False
    if found["detected"]:
        assert found["tables"] == ["public.t"]
    assert "Definitions:" not in shop.ok("status").out
    database.psql("ALTER TABLE t ADD b int")
    assert difference()["definitions_changed"] is True
    assert "Definitions:" in shop.ok("status").out
    shop.ok("commit", "-m", "second")
    assert difference()["definitions_changed"] is False


def test_status_follows_commits_restores_and_undos_of_every_kind(
    shop: CommandLine, database: Database
) -> None:
    refused = shop("status")
    assert refused.code == 20
    one = shop.ok("commit", "-m", "first", "--tag", "one", "--json").json["id"]
    found = shop.ok("status", "--json").json
    assert (found["base"]["snapshot"], found["base"]["how"]) == (one, "commit")
    assert found["difference"]["rows"] == 0
    assert found["kept"] == []
    assert found["next_runs"] == []
    database.psql("INSERT INTO t SELECT generate_series(2, 11); ANALYZE t")
    two = shop.ok("commit", "-m", "second", "--json").json["id"]
    database.psql("INSERT INTO t VALUES (12); ANALYZE t")
    found = shop.ok("status", "--json").json
    assert (found["base"]["snapshot"], found["difference"]["rows"]) == (two, 1)
    restored = shop.ok("restore", "one", "--yes", "--json").json
    found = shop.ok("status", "--json").json
    assert (found["base"]["snapshot"], found["base"]["how"]) == (one, "restore")
    assert found["base"]["tags"] == ["one"]
    assert [kept["name"] for kept in found["kept"]] == [restored["kept"]]
    found["next_runs"] = [{"job": "commit", "time": "2026-01-02T02:00:00Z"}]
    (documented,) = documentation.fields(documentation.section("snap status"))
    assert documentation.field_names(found) == documented
    # What was there before is that of the safety snapshot, and undo puts it back.
    shop.ok("undo", "--yes")
    found = shop.ok("status", "--json").json
    assert found["base"]["snapshot"] == restored["safety_snapshot"]
    assert found["base"]["put_back"] > found["base"]["time"]
    page = shop.ok("status").out
    assert "Put back:" in page
    assert "snap undo --whole" in page
    shop.ok("restore", "one", "--changed-only", "--yes")
    found = shop.ok("status", "--json").json
    assert (found["base"]["snapshot"], found["base"]["how"]) == (one, "changed-only")
    shop.ok("restore", two, "--table", "t", "--replace", "--yes")
    assert shop.ok("status", "--json").json["tables_restored_since"] == ["public.t"]
    third = shop.ok("commit", "-m", "third", "--json").json["id"]
    found = shop.ok("status", "--json").json
    assert found["base"]["snapshot"] == third
    assert found["tables_restored_since"] == []
    database.cluster.drop_database(database.name)
    assert "snap restore REV" in shop.ok("status").out


def test_a_snapshot_names_what_a_restore_or_an_undo_had_put_back_before_it(
    shop: CommandLine, database: Database
) -> None:
    def commit(message: str) -> dict[str, object]:
        made = shop.ok("commit", "-m", message, "--json").json
        found: dict[str, object] = shop.ok("show", made["id"], "--json").json
        assert found["stems_from"] == made["stems_from"]
        return found

    first = commit("first")
    assert first["stems_from"] is None
    database.psql("INSERT INTO t VALUES (2)")
    second = commit("second")
    safety = shop.ok("restore", str(first["id"]), "--yes", "--json").json["safety_snapshot"]
    assert shop.ok("show", safety, "--json").json["stems_from"] is None
    third = commit("third")
    # The parent stays the chain's newest.
    assert (third["parent"], third["stems_from"]) == (safety, first["id"])
    assert commit("fourth")["stems_from"] is None
    assert f"Stems from:  {str(first['id'])[:12]}, which had been put back" in shop.ok("log").out
    assert "Stems from:" in shop.ok("show", str(third["id"])).out
    # An undo brings back the database of the second snapshot, and of the one before the restore.
    shop.ok("undo", "--yes")
    fifth = commit("fifth")
    assert fifth["stems_from"] == safety
    status = shop.ok("status", "--json").json["base"]
    assert (status["snapshot"], status["stems_from"]) == (fifth["id"], safety)
    assert "Stems from:" in shop.ok("status").out
    shop.ok("restore", str(first["id"]), "--changed-only", "--yes")
    assert commit("sixth")["stems_from"] == first["id"]
    # Copies under other names are found by those.
    unlock = ("--passphrase-command", "echo secret")
    shop.ok("clone", str(shop.work / "database" / "backups"), "copy", "--encrypt", *unlock)
    listed = shop.ok("log", "--repo", "copy", *unlock, "--json").json
    copies = {one["message"]: one for one in listed}
    assert copies["third"]["id"] != third["id"]
    assert copies["third"]["stems_from"] == copies["first"]["id"]
    assert second["stems_from"] is None
