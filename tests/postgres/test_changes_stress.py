"""Snapshots while several sessions never stop: what is made of the parent and of the blocks that
are read is, each time, what a full read of the same snapshot gives."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import TablesChanged
from pgsnap.sources.changes.verdicts import Changed, Unchanged
from support.restoring.clients import server_of
from support.running.seeds import SEED
from support.servers.databases import TEST_SETTINGS, Database
from support.servers.moments import TERMS, methods_of, naively_wrong, take, wrong
from support.servers.restless import SETUP, restless

MOMENTS = int(os.environ.get("SNAP_MOMENTS", "20"))


@pytest.fixture(scope="module")
def restless_database(binaries: Binaries) -> Iterator[Database]:
    settings = {
        **TEST_SETTINGS,
        "max_prepared_transactions": "10",
        "autovacuum_naptime": "1s",
        "autovacuum_vacuum_threshold": "5",
        "autovacuum_vacuum_scale_factor": "0.001",
    }
    if binaries.major >= 17:
        settings["summarize_wal"] = "on"
    with Cluster(binaries, fsync=False, settings=settings) as made:
        database = Database(made, "restless")
        made.create_database(database.name)
        database.psql("CREATE EXTENSION pageinspect")
        database.psql(SETUP)
        yield database


@pytest.mark.timeout(0)
def test_what_is_spliced_is_what_a_full_read_gives(restless_database: Database) -> None:
    server = server_of(restless_database)
    methods = methods_of(restless_database.cluster.major)
    chance = random.Random(SEED)
    taken = retried = left = naive = 0
    before = take(server)
    with restless(server, f"s{SEED}") as workers:
        while taken < MOMENTS:
            time.sleep(chance.choice((0, 0.1, 0.3)))
            method = methods[taken % len(methods)]
            terms = replace(TERMS, methods=(method,), may_touch=bool(taken % 3))
            try:
                after = take(server, before, terms, naively=method)
            except TablesChanged:
                retried += 1
                assert retried < MOMENTS
                continue
            assert wrong(before, after) == [], f"moment {taken} by {method}, SNAP_SEED={SEED}"
            naive += bool(naively_wrong(before, after, after.naively_found))
            left += sum(isinstance(v, Changed | Unchanged) for v in after.verdicts.values())
            before, taken = after, taken + 1
    assert left > taken
    assert sum(worker.done for worker in workers) > taken
    # In every second one it misses something.
    assert naive
