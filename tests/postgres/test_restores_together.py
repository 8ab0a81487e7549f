"""Restores and undos of one database that run at the same time: one after another, or refused."""

from __future__ import annotations

import random

import pytest

from pgsnap.errors import EXIT_CODES
from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.running.seeds import SEED
from support.servers.databases import Database


@pytest.mark.timeout(300)
def test_restores_and_undos_at_the_same_time_never_leave_a_torn_database(
    snap: CommandLine, database: Database
) -> None:
    chance = random.Random(SEED)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    database.psql("CREATE TABLE a (v text); CREATE TABLE b (v text)")
    for state in ("one", "two"):
        database.psql(
            "TRUNCATE a, b;"
            f"INSERT INTO a SELECT '{state}' FROM generate_series(1, 500);"
            "INSERT INTO b SELECT v FROM a"
        )
        snap.ok("commit", "-m", state, "--tag", state)
    commands = [
        ("restore", "one", "--yes", "--discard-old", "--no-safety-snapshot"),
        ("restore", "two", "--yes", "--discard-old", "--no-safety-snapshot"),
        ("undo", "--yes", "--no-safety-snapshot"),
        ("undo", "--discard", "--yes"),
    ]
    ends = []
    for _ in range(4):
        children = [snap.popen(*command) for command in chance.sample(commands, 3)]
        for child in children:
            _, errors = child.communicate(timeout=200)
            assert child.returncode in dict(EXIT_CODES), errors
            assert child.returncode != 70, errors
            ends.append(child.returncode)
        states = database.psql("SELECT v, count(*) FROM (TABLE a UNION ALL TABLE b) x GROUP BY v")
        assert states in ("one|1000", "two|1000"), states
    assert 0 in ends
    assert snap("doctor").code != 70
    left = databases_like(database, f"{database.name}\\_\\_snap\\_%")
    assert len([name for name in left if "kept" not in name]) == 0, left
