"""Sixteen writers and two collectors of one remote repository, killed and put to sleep at random.

SNAP_WRITERS_SECONDS says for how long in all, in rounds of at most a minute, each with a new
repository (`make test-writers`: an hour). What was done of it with one seed is remembered, so that
a run which was interrupted goes on.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from support.faults.many_writers import WRITERS, run
from support.running.seeds import SEED

pytestmark = [pytest.mark.system, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("SNAP_WRITERS_SECONDS", "30"))
ROUND_SECONDS = min(SECONDS, 60.0)
ROUNDS = math.ceil(SECONDS / ROUND_SECONDS)
DONE = "snap/writers"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_every_acknowledged_snapshot_reads_back(
    request: pytest.FixtureRequest, tmp_path: Path, number: int
) -> None:
    cache = request.config.cache
    if ROUNDS > 1 and cache is not None and number < cache.get(DONE, {}).get(str(SEED), 0):
        pytest.skip(f"round {number} with seed {SEED} was done before")
    outcome = run(tmp_path / "processes", ROUND_SECONDS, SEED + number)
    assert outcome.killed > ROUND_SECONDS / 10
    assert outcome.slept > ROUND_SECONDS / 10
    assert len(outcome.made) > WRITERS
    assert outcome.expired > 0
    assert outcome.packs_deleted > 0
    if ROUNDS > 1 and cache is not None:
        cache.set(DONE, {str(SEED): 0 if number + 1 == ROUNDS else number + 1})
