"""Crashes, copies of the data folder, standbys and recovered servers, and change detection."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster, ClusterError
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.facts import insert_position
from pgsnap.sources.changes.moment import begin
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged
from pgsnap.sources.changes.ways import Method
from support.restoring.clients import server_of
from support.servers.databases import TEST_SETTINGS, Database
from support.servers.hazards import TABLE
from support.servers.moments import (
    TERMS,
    methods_of,
    naive_verdicts,
    naively_wrong,
    take,
    texts_of,
    wrong,
)
from support.servers.standby import Standby

NAME = "history"
SET_BACK = "the server was set back to an earlier state"


@pytest.fixture
def durable(binaries: Binaries) -> Iterator[Cluster]:
    """A cluster that survives a crash, and writes asynchronous commits out late."""
    settings = {**TEST_SETTINGS, "wal_writer_delay": "10s", "autovacuum": "off"}
    settings["wal_keep_size"] = "512MB"
    if binaries.major >= 17:
        settings["summarize_wal"] = "on"
    with Cluster(binaries, fsync=True, settings=settings) as made:
        yield made


def with_table(cluster: Cluster) -> Server:
    database = Database(cluster, NAME)
    cluster.create_database(NAME)
    database.psql("CREATE EXTENSION pageinspect; CREATE SCHEMA hz")
    database.psql(TABLE.format(name="t") + TABLE.format(name="u") + "VACUUM FREEZE hz.t, hz.u")
    return server_of(database)


def kill(cluster: Cluster) -> None:
    """Kill the server, as a power cut would, and start it again."""
    os.kill(cluster.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    # Its children hold the shared memory for a moment.
    while cluster.running or _children_of(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cluster.start()


def _children_of(cluster: Cluster) -> list[int]:
    """Return the processes that work in the data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink() == cluster.data_folder:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_rows_that_a_snapshot_shows_survive_a_crash(durable: Cluster) -> None:
    server = with_table(durable)
    before = take(server)
    with server.connect() as other:
        other.execute("SET synchronous_commit = off; UPDATE hz.t SET v = 7 WHERE id = 700")
        seen = take(server, before)
        kill(durable)
    after = take(server, seen)
    assert wrong(seen, after) == []
    oid = seen.tables["t"].oid
    assert after.texts[oid] == seen.texts[oid]
    assert not isinstance(after.verdict("t"), Full)


def test_a_snapshot_without_the_fence_shows_what_a_crash_takes_back(durable: Cluster) -> None:
    server = with_table(durable)
    before = take(server)
    table = before.tables["t"]
    with server.connect() as other, server.connect() as reader:
        other.execute("CHECKPOINT; SET synchronous_commit = off")
        other.execute("UPDATE hz.t SET v = 7 WHERE id = 700")
        naive = insert_position(reader)
        seen = texts_of(reader, table)
        kill(durable)
    durable.psql("CREATE TABLE big AS SELECT repeat('x', 500) FROM generate_series(1, 99)", NAME)
    naively = replace(before, naive=naive, texts={**before.texts, table.oid: seen})
    found = {
        method: naive_verdicts(server, naively, method) for method in methods_of(durable.major)
    }
    after = take(server, before)
    assert after.texts[table.oid] != seen
    for method, verdicts in found.items():
        assert "hz.t" in naively_wrong(naively, after, verdicts), method


def test_a_crash_with_open_and_prepared_transactions_is_no_change(durable: Cluster) -> None:
    server = with_table(durable)
    first = take(server)
    with server.connect() as one, server.connect() as two:
        one.execute("BEGIN; UPDATE hz.t SET v = 7 WHERE id = 700")
        two.execute("BEGIN; UPDATE hz.u SET v = 7 WHERE id = 700; PREPARE TRANSACTION 'crash'")
        before = take(server, first)
        kill(durable)
    with server.connect() as two:
        two.execute("COMMIT PREPARED 'crash'")
    for method in methods_of(durable.major):
        after = take(server, before, replace(TERMS, methods=(method,)))
        assert wrong(before, after) == [], method
        oid = after.tables["u"].oid
        assert after.texts[oid] != before.texts[oid]


@pytest.mark.parametrize("moment", ["before the snapshot", "after the snapshot"])
def test_a_data_folder_that_is_copied_back_is_seen(
    durable: Cluster, tmp_path: Path, moment: str
) -> None:
    server = with_table(durable)
    first = take(server)
    copy = tmp_path / "copy"
    if moment == "before the snapshot":
        copy_folder(durable, copy)
    durable.psql("UPDATE hz.t SET v = 7 WHERE id = 700", NAME)
    before = take(server, first)
    if moment == "after the snapshot":
        copy_folder(durable, copy)
        durable.psql("UPDATE hz.u SET v = 7 WHERE id = 700", NAME)
    put_back(durable, copy)
    # Its history goes further than the one that is gone.
    durable.psql("CREATE TABLE big AS SELECT repeat('x', 500) FROM generate_series(1, 9000)", NAME)
    for _ in range(40):
        durable.psql("SELECT pg_current_xact_id()", NAME)
    found = {
        method: naive_verdicts(server, before, method)
        for method in methods_of(durable.major)
        if method is not Method.SUMMARIES
    }
    for method in methods_of(durable.major):
        after = take(server, before, replace(TERMS, methods=(method,)))
        assert wrong(before, after) == [], method
        if moment == "before the snapshot":
            assert set(after.verdicts.values()) == {Full(SET_BACK)}
            assert not after.fingerprint_equal
            if method in found:
                assert "hz.t" in naively_wrong(before, after, found[method])
        else:
            assert isinstance(after.verdict("t"), Unchanged)


def test_summaries_alone_tell_that_the_server_was_set_back(
    durable: Cluster, tmp_path: Path
) -> None:
    """The ids of transactions could be the same by chance; where summaries end is not."""
    if durable.major < 17:
        pytest.skip("only PostgreSQL 17 and later summarize their WAL")
    server = with_table(durable)
    first = take(server)
    copy_folder(durable, tmp_path / "copy")
    before = take(server, first)
    put_back(durable, tmp_path / "copy")
    durable.psql("CREATE TABLE big AS SELECT repeat('x', 500) FROM generate_series(1, 9000)", NAME)
    with server.connect() as session:
        rows = session.query("SELECT pg_current_xact_id()")
    gone = int(rows[0][0] or 0)
    # A proof that holds in this history, too.
    proven = replace(before, baseline=replace(before.baseline, proof=((gone, True),)))
    after = take(server, proven, replace(TERMS, methods=(Method.SUMMARIES,)))
    assert after.way.reason == SET_BACK
    assert after.verdict("t") == after.verdict("u") == Full(SET_BACK)


def wait_for_recovery(cluster: Cluster) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, cluster.log_tail()
        # It may not take any connections yet.
        with contextlib.suppress(ClusterError):
            if cluster.psql("SELECT pg_is_in_recovery()") == "f":
                return
        time.sleep(0.1)


def copy_folder(cluster: Cluster, to: Path) -> None:
    cluster.stop()
    shutil.copytree(cluster.data_folder, to, symlinks=True)
    cluster.start()


def put_back(cluster: Cluster, copy: Path) -> None:
    cluster.stop()
    owner = cluster.data_folder.stat()
    for path in cluster.data_folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(copy, cluster.data_folder, symlinks=True, dirs_exist_ok=True)
    for path in (cluster.data_folder, *cluster.data_folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    cluster.start()


def test_a_standby_is_read_in_full_and_a_promoted_one_too(binaries: Binaries) -> None:
    with Cluster(binaries, fsync=False) as primary:
        server = with_table(primary)
        before = take(server)
        with Standby(primary) as standby:
            standby.catch_up()
            copy = server_of(Database(standby, NAME))
            read = take(copy, before)
            assert set(read.verdicts.values()) == {Full("this is a standby")}
            assert read.baseline.base is None
            assert read.texts == before.texts
            standby.psql("SELECT pg_promote()")
            promoted = take(copy, before)
            reason = "the server has begun a new timeline since the last snapshot"
            assert set(promoted.verdicts.values()) == {Full(reason)}
            # From then on it is a server like any other.
            standby.psql("UPDATE hz.t SET v = 7 WHERE id = 700", NAME)
            next_one = take(copy, promoted)
            assert isinstance(next_one.verdict("t"), Changed)
            assert wrong(promoted, next_one) == []


def test_a_server_that_was_recovered_to_a_point_in_time_is_read_in_full(
    durable: Cluster, tmp_path: Path
) -> None:
    server = with_table(durable)
    archive = durable.folder / "archive"
    archive.mkdir()
    owner = durable.data_folder.stat()
    os.chown(archive, owner.st_uid, owner.st_gid)
    first = take(server)
    copy_folder(durable, tmp_path / "base")
    durable.psql("UPDATE hz.t SET v = 7 WHERE id = 700", NAME)
    durable.psql("SELECT pg_create_restore_point('here')")
    durable.psql("UPDATE hz.u SET v = 7 WHERE id = 700", NAME)
    before = take(server, first)
    durable.stop()
    for path in (durable.data_folder / "pg_wal").iterdir():
        if path.is_file():
            shutil.copy2(path, archive)
            os.chown(archive / path.name, owner.st_uid, owner.st_gid)
    durable.start()
    settings = (
        f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_name = 'here'\n"
        "recovery_target_action = 'promote'\n"
    )
    with (tmp_path / "base" / "postgresql.auto.conf").open("a") as file:
        file.write(settings)
    (tmp_path / "base" / "recovery.signal").touch()
    put_back(durable, tmp_path / "base")
    wait_for_recovery(durable)
    after = take(server, before)
    assert wrong(before, after) == []
    assert after.texts[after.tables["u"].oid] != before.texts[before.tables["u"].oid]
    reason = "the server has begun a new timeline since the last snapshot"
    assert set(after.verdicts.values()) == {Full(reason)}


def test_another_server_version_or_database_is_read_in_full(durable: Cluster) -> None:
    """As after pg_upgrade, which gives a server a new identifier, and after CREATE DATABASE."""
    server = with_table(durable)
    first = take(server)
    for change, reason in (
        ({"system_identifier": "7"}, "the last snapshot is of another server"),
        ({"version_num": 130001}, "the server has another version than at the last snapshot"),
        ({"database_oid": 1}, "the database was made again since the last snapshot"),
        (
            {"settings": bytes(16)},
            "settings that rows are written by differ from those of the last snapshot",
        ),
    ):
        parent = replace(first.baseline, **change)  # type: ignore[arg-type]
        with begin(server.connect, parent, TERMS) as moment:
            assert set(moment.verdicts.values()) == {Full(reason)}
            assert not moment.fingerprint_equal
