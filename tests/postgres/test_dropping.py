"""A DROP DATABASE is never cut short: what it waits for is told, and a signal waits for its end."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from pgsnap import interrupts
from pgsnap.cluster.cluster import Cluster
from pgsnap.interrupts import Stopped
from pgsnap.targets.swap.dropping import _Drop, drop_database
from support.restoring.clients import databases_like, server_of
from support.restoring.dropping import connection_limit, drops_hang, locked_name, wait_for_drop
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name


@pytest.fixture
def shop(snap: CommandLine, own_cluster: Cluster) -> Database:
    """A database of a cluster of its own, with a snapshot of it, and what a restore kept."""
    database = Database(own_cluster, new_name())
    own_cluster.create_database(database.name)
    own_cluster.create_database("other")
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    snap.use_tools_of(own_cluster)
    snap.ok("init")
    snap.ok("commit", "-m", "one row", "--tag", "one")
    snap.ok("restore", "one", "--yes")
    return database


def kept(database: Database) -> list[str]:
    return databases_like(database, "%\\_\\_snap\\_kept\\_%")


@contextmanager
def hanging(shop: Database) -> Iterator[tuple[str, int]]:
    """Let every DROP hang half-way, where the server's version can; else before it begins. Yields
    the wait event and the process."""
    if shop.cluster.major >= 15:
        with drops_hang(shop.cluster, "other") as process:
            yield "ProcSignalBarrier", process
    else:
        with locked_name(shop.cluster, kept(shop)[0]) as process:
            yield "Lock", process


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = child.communicate(timeout=60)
    return child.returncode, err


@pytest.mark.parametrize("client", ["psycopg", "psql"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_kept_database_is_dropped_waits_for_the_end(
    snap: CommandLine, shop: Database, number: signal.Signals, client: str
) -> None:
    snap.setenv("SNAP_CLIENT", client)
    (name,) = kept(shop)
    with hanging(shop) as (event, process):
        child = snap.popen("undo", "--discard", "--yes")
        wait_for_drop(shop.cluster, waits_for=event)
        child.send_signal(number)
        time.sleep(0.5)
        child.send_signal(number)
        time.sleep(1)
        assert child.poll() is None
        assert connection_limit(shop.cluster, name) is not None
    code, err = ended(child)
    assert code == 130
    assert f"{name} was dropped already" in err
    assert "interrupted, but DROP DATABASE" in err
    assert kept(shop) == []
    assert f"process {process}" in err or event != "Lock"
    assert "kept:" not in snap.ok("log").out


def test_a_signal_before_the_drop_has_begun_drops_nothing(database: Database) -> None:
    name = new_name("victim")
    database.cluster.create_database(name)
    with server_of(database).connect() as session, interrupts.handled():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            drop_database(session, name)
    assert databases_like(database, name) == [name]
    database.cluster.drop_database(name)


def test_a_signal_as_the_drop_begins_waits_for_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes at the one moment that no signal from outside meets: as the thread is made."""
    name = new_name("victim")
    database.cluster.create_database(name)
    real = _Drop.start

    def interrupted(drop: _Drop) -> None:
        signal.raise_signal(signal.SIGTERM)
        real(drop)

    monkeypatch.setattr(_Drop, "start", interrupted)
    with server_of(database).connect() as session, interrupts.handled():
        with pytest.raises(Stopped):
            drop_database(session, name)
        assert session.query("SELECT 1") == [("1",)]
    assert databases_like(database, name) == []


def test_a_drop_that_hangs_is_told_with_the_process_that_is_waited_for(
    snap: CommandLine, shop: Database
) -> None:
    with hanging(shop) as (event, process):
        child = snap.popen("undo", "--discard", "--yes")
        wait_for_drop(shop.cluster, waits_for=event)
        assert child.stderr is not None
        line = ""
        while f"process {process}" not in line:
            line = child.stderr.readline()
            assert line, "it ended without a word"
        assert kept(shop)[0] in line
        assert "client backend" in line
    assert ended(child)[0] == 0
    assert kept(shop) == []


def test_a_signal_while_a_restore_drops_the_old_database_waits_for_the_end(
    snap: CommandLine, shop: Database
) -> None:
    old = kept(shop)
    with hanging(shop) as (event, _):
        child = snap.popen("restore", "one", "--yes", "--discard-old")
        wait_for_drop(shop.cluster, waits_for=event)
        child.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert child.poll() is None
    code, err = ended(child)
    assert code == 130
    assert "was done already" in err
    assert not set(old) & set(kept(shop))
    assert len(kept(shop)) == 1
    # What is kept is whole.
    snap.ok("undo", "--yes")
    assert shop.psql("SELECT count(*) FROM t") == "1"


def test_a_signal_while_a_drill_drops_its_database_leaves_none(
    snap: CommandLine, shop: Database
) -> None:
    if shop.cluster.major < 15:
        pytest.skip("a DROP of a database that is not known before can be held since PostgreSQL 15")
    with drops_hang(shop.cluster, "other"):
        child = snap.popen("drill", "one")
        wait_for_drop(shop.cluster, waits_for="ProcSignalBarrier")
        child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert child.poll() is None
    assert ended(child)[0] == 130
    assert databases_like(shop, f"{shop.name}\\_\\_snap\\_%") == kept(shop)


def test_a_drop_that_somebody_else_cuts_short_is_told_with_what_is_left(
    snap: CommandLine, shop: Database
) -> None:
    if shop.cluster.major < 15:
        pytest.skip("PostgreSQL 14 waits for nobody once it has begun to drop a database")
    (name,) = kept(shop)
    with drops_hang(shop.cluster, "other"):
        child = snap.popen("undo", "--discard", "--yes")
        wait_for_drop(shop.cluster, waits_for="ProcSignalBarrier")
        shop.cluster.psql(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%'"
        )
        code, err = ended(child)
    assert code == 40
    assert f"{name} is half-dropped now" in err
    assert f'DROP DATABASE "{name}";' in err
    snap.ok("undo", "--discard", "--yes")
    assert kept(shop) == []


def test_a_kept_database_that_replication_reads_from_is_not_dropped(
    snap: CommandLine, shop: Database
) -> None:
    (name,) = kept(shop)
    slot = "SELECT pg_create_logical_replication_slot('reader', 'pgoutput')"
    shop.cluster.psql(slot, name)
    result = snap("undo", "--discard", "--yes")
    assert result.code == 40
    assert "reader" in result.err
    assert "SELECT pg_drop_replication_slot('reader');" in result.err
    done = snap.ok("restore", "one", "--yes", "--discard-old", "--json").json
    assert done["discarded"] == []
    assert any("reader" in text and name in text for text in done["warnings"])
    assert shop.cluster.psql("SELECT slot_name FROM pg_replication_slots") == "reader"
    shop.cluster.psql("SELECT pg_drop_replication_slot('reader');", name)
    snap.ok("undo", "--discard", "--yes")


def test_the_hint_about_a_slot_that_a_process_holds_names_the_process(
    snap: CommandLine, shop: Database
) -> None:
    with psycopg.connect(shop.dsn, autocommit=True) as session:
        process = session.info.backend_pid
        make = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput', true)"
        session.execute(make, ["mine"])
        result = snap("restore", "one", "--yes", "--discard-old")
        assert result.code == 40
        assert f"SELECT pg_terminate_backend({process});" in result.err
        assert "pg_drop_replication_slot" not in result.err


def test_snap_killed_while_a_database_is_dropped_leaves_the_drop_to_the_server(
    snap: CommandLine, shop: Database
) -> None:
    (name,) = kept(shop)
    with hanging(shop) as (event, _):
        child = snap.popen("undo", "--discard", "--yes")
        wait_for_drop(shop.cluster, waits_for=event)
        child.kill()
        child.wait()
    deadline = time.monotonic() + 30
    while connection_limit(shop.cluster, name) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # What was not noted is noted by the next restore.
    snap.ok("restore", "one", "--yes")
    assert len(snap.ok("log", "--json").json[0]["kept"]) == 1


def test_who_repacks_a_table_is_named_and_can_be_cancelled(
    snap: CommandLine, shop: Database
) -> None:
    """The slot that the server makes for it cannot be dropped, nor the database meanwhile."""
    if shop.cluster.major < 19:
        pytest.skip("PostgreSQL 19 brought REPACK (CONCURRENTLY): run pytest with --pg-major 19")
    (name,) = kept(shop)
    for database, command in (
        (shop.name, ("restore", "one", "--yes", "--discard-old")),
        (shop.name, ("undo", "--yes")),
        (name, ("undo", "--discard", "--yes")),
    ):
        with repacking(Database(shop.cluster, database)) as process:
            result = snap(*command)
            assert result.code == 40
            assert f"process {process} runs REPACK (CONCURRENTLY)" in result.err
            assert "pg_drop_replication_slot" not in result.err
            cancel = f"SELECT pg_cancel_backend({process});"
            assert cancel in result.err
            shop.cluster.psql(cancel)
    snap.ok("undo", "--yes")


@contextmanager
def repacking(database: Database) -> Iterator[int]:
    """Let REPACK (CONCURRENTLY) run until it is cancelled. Yields its process."""
    database.psql("CREATE TABLE r (a int PRIMARY KEY); INSERT INTO r SELECT generate_series(1, 9)")

    def repack(session: psycopg.Connection) -> None:
        with suppress(psycopg.errors.QueryCanceled):
            session.execute("REPACK (CONCURRENTLY) r")

    with (
        psycopg.connect(database.dsn, autocommit=True) as session,
        # It waits for whoever has read the table.
        psycopg.connect(database.dsn) as reader,
    ):
        reader.execute("SELECT FROM r")
        thread = threading.Thread(target=repack, args=(session,))
        thread.start()
        slots = "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'pg\\_repack\\_%'"
        deadline = time.monotonic() + 30
        while not database.cluster.psql(slots):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield session.info.backend_pid
        thread.join()
    database.psql("DROP TABLE r")
