"""Hundreds of kills and power cuts; the same in small is in tests/faults.

SNAP_KILLS and SNAP_POWER_CUTS set the numbers (`make test-long`: thousands).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.faults.kills import effects_of_a_commit, kill_a_growing_history, kill_commits, made
from support.faults.power_cuts import cut_power
from support.running.seeds import SEED

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("SNAP_KILLS", "200"))
POWER_CUTS = int(os.environ.get("SNAP_POWER_CUTS", "200"))


def test_a_commit_killed_at_every_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "backups")
    steps = len(effects_of_a_commit(path))
    killed, passed = kill_commits(path, range(steps))
    assert killed >= steps - 10
    assert passed > 5


def test_commits_killed_many_times_lose_nothing(tmp_path: Path) -> None:
    for part in range(10):
        path = made(tmp_path / f"backups-{part}")
        steps = len(effects_of_a_commit(path))
        kill_a_growing_history(path, KILLS // 10, seed=SEED + part, effects=steps)


def test_many_power_cuts_lose_no_snapshot_that_was_committed(tmp_path: Path) -> None:
    survived = cut_power(tmp_path, histories=20, cuts=POWER_CUTS // 20, seed=SEED)
    assert survived > POWER_CUTS // 3
