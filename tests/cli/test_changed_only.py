"""`snap restore --changed-only`, and the undo of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psycopg
import pytest

from pgsnap.format import envelope
from pgsnap.format.envelope import ObjectKind
from support.restoring.clients import databases_like
from support.running.commandline import SOURCE, CommandLine
from support.servers.databases import Database


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql(
        "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)"
    )
    snap.ok("init")
    snap.ok("commit", "-m", "before", "--tag", "before")
    database.psql("DELETE FROM t WHERE a = 3; INSERT INTO t VALUES (2000), (2001)")
    return snap


def rows(database: Database) -> str:
    return database.psql("SELECT count(*), sum(a) FROM t")


def test_what_differs_is_put_back_and_undo_goes_back_in_the_same_way(
    shop: CommandLine, database: Database
) -> None:
    changed = rows(database)
    shown = shop("restore", "before", "--changed-only")
    assert shown.code == 5
    assert "Locks:" in shown.err
    assert rows(database) == changed
    done = shop.ok("restore", "before", "--changed-only", "--yes", "--prove", "--json").json
    assert rows(database) == "1000|500500"
    assert done["tables"] == [
        {"table": "public.t", "rewritten": False, "rows_deleted": 2, "rows": 1}
    ]
    assert done["proven"] is True
    # What was read to compare is folded in the list, as what was there before is.
    listed = shop.ok("log").out
    assert "before\n" in listed
    assert "snap restore" not in listed.replace("safety snapshot", "")
    assert "after snap restore" in shop.ok("log", "--all").out
    shop.ok("undo", "--yes")
    assert rows(database) == changed
    shop.ok("undo", "--yes")
    assert rows(database) == "1000|500500"
    assert databases_like(database, f"{database.name}%snap%") == []


def test_snap_0_1_does_not_take_an_earlier_swap_for_the_last_restore(
    shop: CommandLine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows no notes `put_back`, but the safety snapshot has a manifest that it refuses."""
    shop.ok("restore", "before", "--yes")
    database.psql("DELETE FROM t WHERE a = 5")
    shop.ok("restore", "before", "--changed-only", "--yes")
    before = rows(database)
    for path in (shop.work / ".snap").rglob("index.sqlite*"):
        path.unlink()
    heads = tuple(envelope.head(ObjectKind.MANIFEST, version) for version in (1, 2))
    monkeypatch.setattr(envelope, "_VERSIONS", {ObjectKind.MANIFEST: (1, 2)})
    monkeypatch.setitem(envelope._HEADS, ObjectKind.MANIFEST, heads)
    assert shop("undo", "--yes").code == 13
    assert rows(database) == before


def test_changed_definitions_are_refused_with_the_offer_of_the_swap(
    shop: CommandLine, database: Database
) -> None:
    database.psql("ALTER TABLE t ADD b int")
    result = shop("restore", "before", "--changed-only", "--yes")
    assert result.code == 40
    assert "definitions" in result.err
    assert "without --changed-only" in result.err


@pytest.mark.parametrize("other", [("--to", "x"), ("--no-safety-snapshot",), ("--table", "t")])
def test_options_of_other_restores_are_refused(shop: CommandLine, other: tuple[str, ...]) -> None:
    assert shop("restore", "before", "--changed-only", *other).code == 2
    assert shop("restore", "before", "--prove").code == 2


# What holds the restore up at that moment, and how it is seen there.
KILLS = {
    "locked": (
        "BEGIN; LOCK TABLE u IN ROW EXCLUSIVE MODE",
        "SELECT 1 FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND NOT granted",
    ),
    "writing": (
        "SELECT pg_advisory_lock(7)",
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_xid IS NOT NULL AND application_name LIKE 'snap restore%'"
        " AND wait_event = 'advisory'",
    ),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_kill_at_any_moment_leaves_the_database_as_it_was(
    shop: CommandLine, database: Database, moment: str
) -> None:
    database.psql(
        "CREATE FUNCTION held() RETURNS bool LANGUAGE plpgsql AS $$BEGIN"
        " IF current_setting('application_name') LIKE 'snap restore%'"
        " THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN true; END$$;"
        "CREATE TABLE u (b int); ALTER TABLE t ADD CHECK (held());"
        "INSERT INTO t SELECT generate_series(10000, 20000)"
    )
    before = rows(database)
    shop.ok("commit", "-m", "many", "--tag", "many")
    database.psql("DELETE FROM t WHERE a % 2 = 0")
    changed = rows(database)
    holds, seen = KILLS[moment]
    with psycopg.connect(database.dsn, autocommit=True) as holder:
        holder.execute(holds.encode())
        child = subprocess.Popen(
            [sys.executable, "-m", "pgsnap.cli", "restore", "many", "--changed-only", "--yes"],
            cwd=shop.work,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not database.psql(seen):
            assert child.poll() is None, "it ended before it was killed"
        child.kill()
        child.wait()
    while database.psql("SELECT 1 FROM pg_locks WHERE mode = 'ShareRowExclusiveLock'"):
        time.sleep(0.05)
    assert rows(database) == changed
    shop.ok("restore", "many", "--changed-only", "--yes", "--prove")
    assert rows(database) == before
    shop.ok("undo", "--yes")
    assert rows(database) == changed
