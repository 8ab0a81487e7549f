"""Whatever change detection cannot be sure of is read in full, and the reason is named."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import DumpFailed, TablesChanged
from pgsnap.sessions.server import Server
from pgsnap.sources.changes import moment as moments
from pgsnap.sources.changes.holding import TooManyLocks
from pgsnap.sources.changes.moment import begin
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged
from pgsnap.sources.changes.ways import Method, best_way
from pgsnap.sources.guarded.lock_room import lock_room
from support.restoring.clients import server_of
from support.servers.databases import Database, summarizing_cluster
from support.servers.hazards import TABLE
from support.servers.moments import TERMS, take, wrong

ONLY_SUMMARIES = replace(TERMS, methods=(Method.SUMMARIES,), summary_wait_seconds=1.0)


@pytest.fixture(scope="module")
def guarded(binaries: Binaries) -> Iterator[Cluster]:
    kept = {"wal_summary_keep_time": "1d"} if binaries.major >= 17 else {}
    with summarizing_cluster(binaries, autovacuum="off", **kept) as made:
        yield made


@pytest.fixture
def small(guarded: Cluster, request: pytest.FixtureRequest) -> Database:
    name = f"guards_{abs(hash(request.node.name)) % 10**9}"
    guarded.create_database(name)
    database = Database(guarded, name)
    database.psql("CREATE SCHEMA hz")
    database.psql(TABLE.format(name="t") + TABLE.format(name="u") + "VACUUM FREEZE hz.t, hz.u")
    return database


@pytest.fixture
def summarized(small: Database) -> Database:
    if small.cluster.major < 17:
        pytest.skip("only PostgreSQL 17 and later summarize their WAL")
    return small


def reasons(taken_verdicts: object) -> set[str]:
    assert isinstance(taken_verdicts, dict)
    return {v.reason for v in taken_verdicts.values() if isinstance(v, Full)}


# -- WAL summaries ---------------------------------------------------------------------------------


def test_summaries_that_expired_mean_a_full_read_or_another_way(summarized: Database) -> None:
    server = server_of(summarized)
    before = take(server)
    summarized.psql("UPDATE hz.t SET v = 1 WHERE id = 700; CHECKPOINT")
    folder = summarized.cluster.data_folder / "pg_wal" / "summaries"
    expire(summarized, folder)
    after = take(server, before, ONLY_SUMMARIES)
    missing = "WAL summaries since the last snapshot are missing"
    assert reasons(after.verdicts) == {missing}
    assert after.way.method is None
    other = take(server, before)
    assert other.way.method is Method.FILES
    assert other.way.reason == missing
    assert isinstance(other.verdict("t"), Changed)
    assert wrong(before, other) == []


def expire(database: Database, folder: Path) -> None:
    """Let the server itself remove the summaries that are older than it keeps them."""
    deadline = time.monotonic() + 60
    old = set(folder.glob("*.summary"))
    assert old
    for path in old:
        os.utime(path, (1, 1))
    while old & set(folder.glob("*.summary")):
        assert time.monotonic() < deadline, database.cluster.log_tail()
        database.psql("SELECT pg_switch_wal(); CHECKPOINT")
        time.sleep(0.2)


def test_a_summarizer_that_lags_behind_is_waited_for_but_not_for_long(summarized: Database) -> None:
    server = server_of(summarized)
    before = take(server)
    summarized.psql("UPDATE hz.t SET v = 1 WHERE id = 700")
    pid = int(
        summarized.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsummarizer'")
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        after = take(server, before, ONLY_SUMMARIES)
        assert reasons(after.verdicts) == {"the server's WAL summarizer lags behind"}
    finally:
        os.kill(pid, signal.SIGCONT)
    again = take(server, before, replace(ONLY_SUMMARIES, summary_wait_seconds=30))
    assert isinstance(again.verdict("t"), Changed)
    assert isinstance(again.verdict("u"), Unchanged)
    assert wrong(before, again) == []


def test_a_gap_in_the_summaries_is_seen(summarized: Database) -> None:
    server = server_of(summarized)
    before = take(server)
    summarized.psql("UPDATE hz.t SET v = 1 WHERE id = 700; CHECKPOINT")
    folder = summarized.cluster.data_folder / "pg_wal" / "summaries"
    deadline = time.monotonic() + 30
    while not (newest := sorted(folder.glob("*.summary"))[-1]):
        assert time.monotonic() < deadline
    newest.unlink()
    after = take(server, before, ONLY_SUMMARIES)
    assert wrong(before, after) == []
    assert len(reasons(after.verdicts)) == 1


# -- what the server and the role allow ------------------------------------------------------------


def test_the_best_way_is_named_with_the_one_command_for_a_better_one(small: Database) -> None:
    server, major = server_of(small), small.cluster.major
    with server.connect() as session:
        best = best_way(session)
        assert best.method is (Method.SUMMARIES if major >= 17 else Method.FILES)
        assert bool(best.reason) == (major < 17)
        assert best_way(session, checkpoint=False).reason == "checkpoint = false in snap.toml"
    role = f"plain_{small.name}"
    small.psql(f"CREATE ROLE {role} LOGIN")
    with server_of(small, user=role).connect() as session:
        way = best_way(session)
        assert way.method is None
        assert way.reason == f"the role {role} may not run CHECKPOINT"
        if major >= 15:
            assert f'GRANT pg_checkpoint TO "{role}"' in way.better
            small.psql(f"GRANT pg_checkpoint TO {role}")
            now = best_way(session)
            assert now.method is (Method.SUMMARIES if major >= 17 else None)
            if major < 17:
                assert now.better.startswith("run snap on the server's host")


def test_without_summaries_the_command_that_turns_them_on_is_named(summarized: Database) -> None:
    cluster = summarized.cluster
    cluster.psql("ALTER SYSTEM SET summarize_wal = off")
    cluster.psql("SELECT pg_reload_conf()")
    try:
        with server_of(summarized).connect() as session:
            deadline = time.monotonic() + 60
            while (way := best_way(session)).method is not Method.FILES:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert way.reason == "summarize_wal is off"
            before, quoted = way.better.split('"')[0::2][0], way.better.split('"')[1::2]
            assert before == "psql -c "
            for sql in quoted:
                cluster.psql(sql)
            while best_way(session).method is not Method.SUMMARIES:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        cluster.psql("ALTER SYSTEM SET summarize_wal = on")
        cluster.psql("SELECT pg_reload_conf()")


def test_the_least_role_detects_changes_by_summaries(summarized: Database) -> None:
    role = f"least_{summarized.name}"
    summarized.psql(f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data, pg_checkpoint TO {role}")
    server = server_of(summarized, user=role)
    before = take(server)
    summarized.psql("UPDATE hz.t SET v = 1 WHERE id = 700")
    after = take(server, before)
    assert after.way.method is Method.SUMMARIES
    assert isinstance(after.verdict("t"), Changed)
    assert isinstance(after.verdict("u"), Unchanged)
    assert after.fingerprint_equal
    assert wrong(before, after) == []


def test_without_checkpoints_everything_is_read_but_the_schema(small: Database) -> None:
    server = server_of(small)
    before = take(server, None, replace(TERMS, may_checkpoint=False))
    after = take(server, before, replace(TERMS, may_checkpoint=False))
    assert reasons(after.verdicts) == {"checkpoint = false in snap.toml"}
    assert after.baseline.base is None
    assert after.fingerprint_equal
    later = take(server, after)
    assert all(isinstance(v, Full) for v in later.verdicts.values())


def test_a_transaction_that_never_ends_keeps_the_base_but_not_the_next_snapshot(
    small: Database,
) -> None:
    server = server_of(small)
    with server.connect() as other:
        other.execute("BEGIN; UPDATE hz.t SET v = 1 WHERE id = 700")
        before = take(server)
        assert before.baseline.base is None
        after = take(server, before)
        why = "a transaction was open during the last snapshot, and since long before it"
        assert reasons(after.verdicts) == {why}
        other.execute("COMMIT")
    last = take(server, after)
    assert last.baseline.base is not None
    assert wrong(after, last) == []


# -- locks -----------------------------------------------------------------------------------------


def test_a_table_that_is_rewritten_while_its_lock_is_waited_for_has_its_rows(
    small: Database,
) -> None:
    server = server_of(small)
    with server.connect() as other:
        other.execute("BEGIN; TRUNCATE hz.t; INSERT INTO hz.t VALUES (1, 1, 'one')")
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        taken = take(server)
        timer.join()
    assert sum(len(text.split("\n")) for text in taken.texts[taken.tables["t"].oid].values()) == 1


def test_tables_that_appear_meanwhile_are_locked_too(small: Database) -> None:
    server = server_of(small)
    with server.connect() as other:
        other.execute(
            "BEGIN; LOCK TABLE hz.u IN ACCESS EXCLUSIVE MODE; CREATE TABLE hz.new (a int)"
        )
        other.execute("ALTER TABLE hz.t RENAME TO renamed")
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        taken = take(server)
        timer.join()
    assert {"new", "renamed", "u"} <= set(taken.tables)


def test_a_lock_that_is_not_given_back_is_named_with_its_holder(small: Database) -> None:
    server = server_of(small)
    with server.connect() as other:
        other.execute("BEGIN; LOCK TABLE hz.t IN ACCESS EXCLUSIVE MODE")
        with (
            pytest.raises(DumpFailed) as failure,
            begin(server.connect, None, replace(TERMS, lock_wait_seconds=0.2)),
        ):
            pass
    assert "holds hz.t" in failure.value.detail
    assert failure.value.hint


def test_where_two_sets_of_locks_do_not_fit_nothing_is_locked(binaries: Binaries) -> None:
    settings = {"max_connections": "12", "max_locks_per_transaction": "10", "max_wal_senders": "0"}
    with Cluster(binaries, fsync=False, settings={**settings, "wal_level": "replica"}) as cluster:
        database = Database(cluster, "postgres")
        with server_of(database).connect() as session:
            tables = lock_room(session).locks * 45 // 100
        database.psql("".join(f"CREATE TABLE t{n} (a int);" for n in range(tables)))
        with (
            pytest.raises(TooManyLocks) as failure,
            begin(server_of(database).connect, None, TERMS),
        ):
            pass
        assert "max_locks_per_transaction" in failure.value.hint
        # Only once they fit.
        assert len(database.dump("--data-only")) > 0


@contextmanager
def changed_while_reading(server: Server, sql: str) -> Iterator[moments.Moment]:
    with begin(server.connect, None, TERMS) as moment:
        with server.connect() as other:
            other.execute(sql)
        yield moment


def test_a_type_that_is_altered_while_rows_are_read_is_seen(small: Database) -> None:
    small.psql("CREATE TYPE hz.mood AS ENUM ('sad'); ALTER TABLE hz.t ADD m hz.mood")
    server = server_of(small)
    alter = "ALTER TYPE hz.mood RENAME VALUE 'sad' TO 'low'"
    with changed_while_reading(server, alter) as moment, pytest.raises(TablesChanged):
        moment.finish()


def test_definitions_that_change_while_they_are_read_are_read_again_next_time(
    small: Database,
) -> None:
    server = server_of(small)
    with changed_while_reading(server, "GRANT SELECT ON hz.t TO PUBLIC") as moment:
        baseline = moment.finish()
    assert baseline.fingerprint is None
    with begin(server.connect, baseline, TERMS) as following:
        assert not following.fingerprint_equal


def test_a_label_that_was_another_one_only_while_rows_were_read_is_seen(small: Database) -> None:
    small.psql("CREATE TYPE hz.mood AS ENUM ('sad'); ALTER TABLE hz.t ADD m hz.mood")
    there = "ALTER TYPE hz.mood RENAME VALUE 'sad' TO 'low'"
    back = "ALTER TYPE hz.mood RENAME VALUE 'low' TO 'sad'"
    server = server_of(small)
    with changed_while_reading(server, f"{there}; {back}") as moment, pytest.raises(TablesChanged):
        moment.finish()


def test_a_role_that_is_renamed_while_definitions_are_read_counts_as_changed(
    small: Database,
) -> None:
    server = server_of(small)
    role = small.name
    small.psql(f"CREATE ROLE {role}; ALTER TABLE hz.t OWNER TO {role}")
    try:
        with changed_while_reading(server, f"ALTER ROLE {role} RENAME TO {role}_x") as moment:
            baseline = moment.finish()
        small.psql(f"ALTER ROLE {role}_x RENAME TO {role}")
        with begin(server.connect, baseline, TERMS) as following:
            assert not following.fingerprint_equal
            assert not following.globals_equal
    finally:
        small.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
