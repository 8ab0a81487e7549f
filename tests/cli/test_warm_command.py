"""`warm` in snap.toml, `snap restore --warm`, and the commit after a restore."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.model import ReadMode
from pgsnap.repository.repository import Repository
from pgsnap.targets.naming import WARM_PATTERN
from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_database, summarizing_cluster

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT g, 'n' || g FROM generate_series(1, 5000) g;
CREATE TABLE events (id int);
INSERT INTO events SELECT generate_series(1, 5000);
"""
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def warm_cluster(binaries: Binaries) -> Iterator[Cluster]:
    with summarizing_cluster(binaries) as made:
        yield made


@pytest.fixture
def shop(warm_cluster: Cluster, snap: CommandLine) -> Iterator[Database]:
    with new_database(warm_cluster, TABLES) as database:
        snap.use_tools_of(warm_cluster)
        snap.ok("init", "--repo", "repo")
        yield database


def write_settings(snap: CommandLine, database: Database, text: str) -> None:
    toml = f'repository = "repo"\ndsn = "{database.dsn}"\n{text}\n'
    (snap.work / "snap.toml").write_text(toml)


def copies(shop: Database) -> list[str]:
    """Return the copies that are made, and whose maker has ended."""
    found = shop.cluster.psql(
        "SELECT datname FROM pg_database d"
        f" WHERE datname LIKE '{shop.name}%' AND datname ~ '{WARM_PATTERN}'"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a"
        " WHERE a.application_name = 'snap restore ' || right(d.datname, 10))"
    )
    return found.splitlines()


def wait_for_copy(shop: Database, *, other_than: str = "") -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        for name in copies(shop):
            if name != other_than:
                return name
        time.sleep(0.1)
    raise AssertionError("no warm copy was made in the background")


def test_the_next_copy_is_made_after_the_answer(snap: CommandLine, shop: Database) -> None:
    write_settings(snap, shop, "warm = 1")
    snap.ok("commit", "-m", "first")
    first = snap.ok("restore", "latest", "--yes", "--json").json
    assert first["warm_copy"] is None
    copy = wait_for_copy(shop)
    shop.psql("DROP TABLE orders")
    planned = snap("restore", first["snapshot"][:12], "--discard-old")
    assert copy in planned.err, planned.err
    again = snap.ok("restore", first["snapshot"][:12], "--yes", "--discard-old", "--json").json
    assert again["warm_copy"] == copy
    assert shop.psql("SELECT count(*) FROM orders") == "5000"
    wait_for_copy(shop, other_than=copy)


def test_a_password_of_the_command_line_is_no_argument_of_the_process_in_the_background(
    snap: CommandLine, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snap.work / "snap.toml").write_text('repository = "repo"\nwarm = 1\n')
    dsn = ("--dsn", f"{shop.dsn}{'&' if '?' in shop.dsn else '?'}password=marked-secret")
    snap.ok("commit", "-m", "first", *dsn)
    started: list[str] = []

    def start(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.extend(argv)
        return subprocess.Popen(argv, **options)

    noting = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr("pgsnap.cli.wiring.warming.copies.subprocess", noting)
    snap.ok("restore", "latest", "--yes", *dsn)
    assert "--warm" in started
    assert "marked-secret" not in " ".join(started)
    # It has it all the same.
    wait_for_copy(shop)


def test_a_copy_that_could_not_be_made_in_the_background_is_reported(
    snap: CommandLine, shop: Database
) -> None:
    write_settings(snap, shop, "warm = 1")
    shop.psql("CREATE TABLE places (a regclass); INSERT INTO places VALUES ('orders')")
    snap.ok("commit", "-m", "first")
    snap.ok("restore", "latest", "--yes")
    record = snap.work / ".snap" / "snap" / "warm.json"
    deadline = time.monotonic() + WAIT_SECONDS
    while not record.exists() or json.loads(record.read_text())["exit_code"] is None:
        assert time.monotonic() < deadline, "the background run left no record"
        time.sleep(0.1)
    words = "make warm copies failed: a warm copy of"
    for command in (("check", "--no-notify"), ("doctor",), ("restore", "latest")):
        result = snap(*command)
        assert words in result.out + result.err, command
    # Killed: it never recorded its end.
    broken = {**json.loads(record.read_text()), "exit_code": None, "error": ""}
    record.write_text(json.dumps(broken))
    assert "ended before it was done" in snap("doctor").out
    shop.psql("DROP TABLE places")
    snap.ok("commit", "-m", "second")
    snap.ok("restore", "latest", "--warm")
    assert "warm copies failed" not in snap("doctor").out


def test_copies_are_made_and_dropped_by_hand(snap: CommandLine, shop: Database) -> None:
    write_settings(snap, shop, "warm = 2")
    snap.ok("commit", "-m", "first")
    made = snap.ok("restore", "latest", "--warm", "--json").json
    assert len(made["made"]) == 2
    assert documentation.field_names(made) in documentation.fields(
        documentation.section("snap restore")
    )
    write_settings(snap, shop, "warm = 0")
    assert snap.ok("restore", "latest", "--warm", "--json").json["dropped"] == made["made"]
    refused = snap("restore", "latest", "--warm", "--to", "other")
    assert refused.code == 2
    assert "--to is about a restore" in refused.err


def test_the_commit_after_a_restore_reads_only_what_changed_since(
    snap: CommandLine, shop: Database
) -> None:
    write_settings(snap, shop, 'source = "direct"')
    first = snap.ok("commit", "-m", "first", "--json").json
    shop.psql("DELETE FROM events")
    snap.ok("restore", first["id"], "--yes")
    shop.psql("UPDATE orders SET note = 'new' WHERE id = 4000")
    second = snap.ok("commit", "-m", "second", "--json").json
    with Repository.open(snap.work / "repo") as repo:
        reading = repo.snapshot(bytes.fromhex(second["id"])).reading
    assert reading is not None
    assert reading.mode is ReadMode.CHANGED
    assert [each.table for each in reading.full_reads] == ["orders"]
    stored = snap.ok("cat", second["id"]).out
    assert without_key(stored) == without_key(shop.dump().decode())


def without_key(text: str) -> list[str]:
    """Return the lines that are neither comments nor different in each dump."""
    passing = ("\\restrict", "\\unrestrict", "--")
    return [line for line in text.splitlines() if line and not line.startswith(passing)]
