"""A standby is dumped as its primary is: what is replayed meanwhile is in the dump whole, or not
at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.sources.postgres import PostgresSource
from support.faults.racing import CHANGES, TABLES, ddl_in_the_gap, dumped
from support.restoring.clients import server_of
from support.servers.databases import Database, new_name
from support.servers.standby import Standby


@pytest.fixture(scope="module")
def standby(binaries: Binaries) -> Iterator[Standby]:
    with Cluster(binaries, fsync=False) as primary, Standby(primary) as following:
        yield following


@pytest.mark.parametrize(
    "change",
    [
        "a column's type is altered",
        "a table is emptied and filled again",
        "a table is dropped and made again",
        "a table takes the name of another",
        "columns change places",
        "a partition is emptied and detached",
        "a materialized view is refreshed",
    ],
)
@pytest.mark.parametrize("jobs", [None, 2])
def test_a_dump_of_a_standby_is_of_one_moment_whatever_is_replayed_before_its_locks(
    standby: Standby, change: str, jobs: int | None
) -> None:
    origin = Database(standby.primary, new_name())
    origin.cluster.create_database(origin.name)
    origin.psql(TABLES)
    before = origin.dump()
    standby.catch_up()
    copy = server_of(Database(standby, origin.name))
    with ddl_in_the_gap(server_of(origin), CHANGES[change], dumped_from=copy) as done:
        # The lock of the gate is replayed, too.
        standby.catch_up()
        got = dumped(PostgresSource(copy, with_globals=False, jobs=jobs))
    assert done
    standby.catch_up()
    assert got in (before, origin.dump())


def test_rows_of_a_standby_are_read_directly_without_those_of_unlogged_tables(
    standby: Standby,
) -> None:
    origin = Database(standby.primary, new_name())
    origin.cluster.create_database(origin.name)
    origin.psql(TABLES + "CREATE UNLOGGED TABLE u (i serial); INSERT INTO u DEFAULT VALUES")
    standby.catch_up()
    copy = Database(standby, origin.name)
    source = PostgresSource(server_of(copy), with_globals=False, jobs=2)
    assert dumped(source) == copy.dump()
    assert source.streamed_because == ""
