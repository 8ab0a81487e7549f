"""What pg_dump says of a database of thousands of tables: one statement names them all."""

from __future__ import annotations

import re

import pytest

from contract.source_contract import read
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import DumpFailed
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.watch.doctor import look_at_server
from support.servers.databases import Database

# Their names take more than is kept of a child's standard error.
TABLES = 2500
_LONG = "a_table_with_a_long_name_of_which_there_are_many"
_MAKE = (
    f"SELECT format('CREATE TABLE {_LONG}_%s ()', i) FROM generate_series(1, {{count}}) i \\gexec\n"
)


def server_of(database: Database, user: str | None = None) -> Server:
    dsn = database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir))


@pytest.fixture
def crowded(database: Database) -> Database:
    database.psql("CREATE TABLE first_one (id int); BEGIN;" + _MAKE.format(count=TABLES) + "COMMIT")
    return database


def test_a_role_without_rights_is_told_of_the_grant(crowded: Database) -> None:
    crowded.cluster.psql("CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server_of(crowded, "stranger")))
    finally:
        crowded.cluster.psql("DROP ROLE stranger")
    assert "permission denied for" in caught.value.detail
    assert "GRANT pg_read_all_data TO stranger" in caught.value.hint
    assert len(caught.value.detail) < 4000


def test_a_lock_that_is_waited_for_in_vain_is_told_with_who_holds_it(crowded: Database) -> None:
    server = server_of(crowded)
    with server.connect(application_name="migration") as session:
        session.execute("BEGIN; LOCK TABLE public.first_one IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server, lock_wait_timeout_seconds=0.2))
    assert "(migration) holds public.first_one." in caught.value.detail
    assert "--lock-wait-timeout" in caught.value.hint


def test_a_server_that_has_no_room_for_the_locks_names_its_setting(binaries: Binaries) -> None:
    settings = {"max_connections": "10", "max_locks_per_transaction": "10"}
    with Cluster(binaries, fsync=False, settings=settings) as cluster:
        cluster.create_database("crowd")
        database = Database(cluster, "crowd")
        for _ in range(2):
            # In transactions that find room for their own locks.
            database.psql(_MAKE.format(count=TABLES).replace("%s ()", f"%s_{_} ()"))
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server_of(database)))
        (locks,) = [step for step in look_at_server(server_of(database)) if step.check == "locks"]
        advised = re.search(r"max_locks_per_transaction = (\d+)", locks.help)
        assert advised is not None
        # What is given at the start beats what ALTER SYSTEM wrote.
        cluster._settings["max_locks_per_transaction"] = advised[1]
        cluster.restart()
        assert cluster.psql("SHOW max_locks_per_transaction") == advised[1]
        read(PostgresSource(server_of(database)))
        assert "locks" not in {step.check for step in look_at_server(server_of(database))}
    assert "shared memory" in caught.value.detail
    assert "raise max_locks_per_transaction" in caught.value.hint
    assert f"all {2 * TABLES:,} tables at once" in locks.reason
