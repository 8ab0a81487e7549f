"""A database that was dropped or renamed: nobody waits for it, it goes on under its new name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from support.repositories.made import record
from support.running.commandline import CommandLine
from support.servers.databases import Database

NOW = datetime.now(UTC)


@pytest.fixture
def shop(snap: CommandLine, own_cluster: Cluster) -> Database:
    """The only database of a server beside `postgres`; snap.toml has all of them committed."""
    made = Database(own_cluster, "shop")
    own_cluster.create_database("shop")
    made.psql("CREATE TABLE t AS SELECT n FROM generate_series(1, 3) n")
    snap.ok("init")
    (snap.work / "snap.toml").write_text(
        f'dsn = "{own_cluster.dsn("postgres")}"\n[schedule]\ncommit = "@daily"\n'
        "all_databases = true\n"
    )
    return made


def repository(snap: CommandLine) -> Path:
    return snap.work / "database" / "backups"


def red(snap: CommandLine) -> set[str | None]:
    found = snap("check", "--json").json["findings"]
    return {one["database"] for one in found if one["level"] == "red"}


def rename(database: Database, name: str) -> Database:
    database.cluster.psql(f"ALTER DATABASE {database.name} RENAME TO {name}")
    return Database(database.cluster, name)


def test_a_database_that_is_gone_is_red_until_it_is_retired(
    snap: CommandLine, shop: Database
) -> None:
    for name in ("postgres", "shop"):
        snap.ok("commit", "-m", "one", "--dsn", shop.cluster.dsn(name))
    with Repository.open(repository(snap)) as repo:
        old = record(repo, database="gone", at=NOW - timedelta(days=9)).snapshot_id
    assert red(snap) == {"gone"}
    assert "the newest of gone is 9 d old" in snap("doctor").out
    snap.ok("database", "retire", "gone")
    assert red(snap) == set()
    assert "gone is retired" in snap("doctor").out
    snap.ok("show", old.hex()[:12])
    # It lives again: then it is waited for again.
    with Repository.open(repository(snap)) as repo:
        record(repo, database="gone")
    assert "gone" in {one["database"] for one in snap("check", "--json").json["databases"]}


def test_gc_keeps_the_last_snapshot_of_a_retired_database(
    snap: CommandLine, shop: Database
) -> None:
    with Repository.open(repository(snap)) as repo:
        ids = [
            record(repo, database="gone", at=NOW - timedelta(days=400 - day)).snapshot_id.hex()
            for day in range(3)
        ]
    snap.ok("database", "retire", "gone")
    snap.ok("gc", "--keep-within", "1d", "--grace", "0s")
    assert ids[-1] in {one["id"] for one in snap.ok("log", "--json").json}


def test_a_renamed_database_goes_on_under_its_new_name(snap: CommandLine, shop: Database) -> None:
    snap.ok("commit", "-m", "one", "--dsn", shop.cluster.dsn("postgres"))
    before = snap.ok("commit", "-m", "one", "--dsn", shop.dsn, "--json").json["id"]
    store = rename(shop, "store")
    assert red(snap) == {"store"}
    snap.ok("database", "rename", "shop", "store")
    assert red(snap) == set()
    found = {one["database"]: one["newest"] for one in snap("check", "--json").json["databases"]}
    assert found["store"] == before
    assert "shop" not in found
    here = ("--dsn", store.dsn, "--database", "store")
    assert snap.ok("show", "latest", *here, "--json").json["id"] == before
    made = snap.ok("commit", "-m", "two", *here, "--json").json
    assert (made["database"], made["parent"]) == ("store", before)
    assert made["new_bytes"] < 4000
    assert snap.ok("show", "latest", *here, "--json").json["id"] == made["id"]
    assert snap.ok("show", "latest~1", *here, "--json").json["id"] == before
    assert red(snap) == set()
    # Another database of the old name is one of its own.
    store.cluster.create_database("shop")
    assert red(snap) == {"shop"}
    assert "no snapshot of shop yet" in snap("doctor").out
    snap.ok("commit", "-m", "new", "--dsn", shop.dsn)
    assert {"shop", "store"} < {
        one["database"] for one in snap("check", "--json").json["databases"]
    }


def test_what_was_recorded_under_the_old_name_is_restored_to_the_new_one(
    snap: CommandLine, shop: Database
) -> None:
    before = snap.ok("commit", "-m", "one", "--dsn", shop.dsn, "--json").json["id"]
    store = rename(shop, "store")
    store.psql("DELETE FROM t")
    here = ("--dsn", store.dsn, "--database", "store")
    refused = snap("restore", before, "--yes", *here)
    assert refused.code == 2
    snap.ok("database", "rename", "shop", "store")
    done = snap.ok("restore", "latest", "--yes", *here, "--json").json
    assert (done["snapshot"], done["database"]) == (before, "store")
    assert store.psql("SELECT count(*) FROM t").strip() == "3"
    safety = snap.ok("show", done["safety_snapshot"], "--json").json
    assert safety["database"] == "store"
    store.psql("DELETE FROM t")
    snap.ok("restore", before, "--table", "t", "--replace", "--yes", *here)
    assert store.psql("SELECT count(*) FROM t").strip() == "3"
    snap.ok("undo", "--yes", *here)
    assert store.psql("SELECT count(*) FROM t").strip() == "0"


def test_a_name_in_snap_toml_is_not_left_behind_silently(snap: CommandLine, shop: Database) -> None:
    snap.ok("commit", "-m", "one", "--dsn", shop.dsn)
    (snap.work / "snap.toml").write_text('database = "shop"\n')
    told = snap.ok("database", "rename", "shop", "store").err
    assert 'snap.toml says database = "shop"' in told
    assert snap("database", "rename", "store", "shop").code == 20
    assert snap("database", "rename", "shop", "shop").code == 2
    assert snap("database", "rename", "shop", "a" * 300).code == 2


def test_a_chain_of_no_known_server_is_named_as_the_list_prints_it(snap: CommandLine) -> None:
    snap.ok("init")
    (snap.work / "dump.sql").write_text("CREATE TABLE t (a int);\n")
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop")
    name = snap.ok("database", "list").out.split()[0]
    assert name == "shop@unknown"
    snap.ok("database", "retire", name)
    assert "retired" in snap.ok("database", "list").out
    assert name in snap("database", "retire", "shop@12").err
