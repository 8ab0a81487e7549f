"""What change detection leaves unread is as it was, whatever happened around the snapshot; and the
naive rule, a position read at the snapshot, is seen to miss it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.sources.changes.ways import Method
from support.restoring.clients import server_of
from support.servers.databases import TEST_SETTINGS, Database
from support.servers.hazards import HAZARDS, TABLE, Hazard, Stage
from support.servers.moments import (
    TERMS,
    Taken,
    methods_of,
    naive_verdicts,
    naively_wrong,
    take,
    wrong,
)


@dataclass(frozen=True)
class Outcome:
    """*wrong* and *missed* have, by method, the tables whose text would be wrong by the rule and by
    the naive one."""

    before: Taken
    after: dict[Method, Taken]
    wrong: dict[Method, set[str]]
    missed: dict[Method, set[str]]


@pytest.fixture(scope="module")
def stages(binaries: Binaries) -> Iterator[Cluster]:
    settings = {**TEST_SETTINGS, "autovacuum": "off", "max_prepared_transactions": "10"}
    if binaries.major >= 17:
        settings["summarize_wal"] = "on"
    with Cluster(binaries, fsync=False, settings=settings) as made:
        yield made


def fitting(major: int, *, opened: bool) -> list[Hazard]:
    return [one for one in HAZARDS.values() if one.is_open == opened and one.since <= major]


@pytest.fixture(scope="module", params=[False, True], ids=["quiet", "open transactions"])
def outcome(request: pytest.FixtureRequest, stages: Cluster) -> Outcome:
    """All hazards happen together, each to its own table."""
    database = Database(stages, f"hazards_{request.param}".lower())
    stages.create_database(database.name)
    database.psql("CREATE EXTENSION pageinspect; CREATE SCHEMA hz")
    hazards = fitting(stages.major, opened=request.param)
    for one in hazards:
        if one.makes_table:
            database.psql(TABLE.format(name=one.name))
    server = server_of(database)
    first = take(server)
    running = [one.happen(Stage(server, database, one.name)) for one in hazards]
    for step in running:
        next(step)
    before = take(server, first)
    for step in running:
        with contextlib.suppress(StopIteration):
            next(step)
    methods = methods_of(stages.major)
    naive = {method: naive_verdicts(server, before, method) for method in methods}
    after = {method: take(server, before, replace(TERMS, methods=(method,))) for method in methods}
    return Outcome(
        before,
        after,
        {method: set(wrong(before, after[method])) for method in methods},
        {m: set(naively_wrong(before, after[m], found)) for m, found in naive.items()},
    )


def test_no_method_misses_any_change(outcome: Outcome) -> None:
    assert outcome.wrong == {method: set() for method in outcome.after}
    for method, taken in outcome.after.items():
        assert taken.way.method is method


def test_the_naive_rule_misses_what_is_known_to_be_missed(outcome: Outcome) -> None:
    for method, missed in outcome.missed.items():
        known = {
            f"hz.{one.name}"
            for one in HAZARDS.values()
            if method in one.missed_by and one.name in outcome.before.tables
        }
        assert known
        assert missed >= known, (method, known - missed)


def test_blocks_without_changes_are_not_read_again(outcome: Outcome) -> None:
    if "appended" not in outcome.before.tables:
        pytest.skip("while a transaction is open, all that was done since its start is read again")
    for method, taken in outcome.after.items():
        blocks = sum(table.blocks for table in taken.baseline.tables)
        assert taken.blocks_to_read() < blocks, method
