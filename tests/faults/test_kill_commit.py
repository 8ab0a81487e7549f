"""kill -9 at every step of a commit: no snapshot or a whole one, and the next commit works.

The steps are found, not listed: every call that changes the disk and every statement of SQLite.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.faults.kills import effects_of_a_commit, kill_a_growing_history, kill_commits, made
from support.running.seeds import SEED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "backups")


def test_the_steps_of_a_commit_are_those_that_a_kill_can_separate(path: Path) -> None:
    names = effects_of_a_commit(path)
    kinds = {name.split()[0] for name in names}
    assert {"create", "write", "half", "sync", "replace", "link", "unlink", "sql"} <= kinds
    assert sum(name.startswith("half of a write") for name in names) >= 5
    assert len(names) > 60


def test_a_commit_killed_at_any_step_leaves_all_or_nothing(path: Path) -> None:
    steps = len(effects_of_a_commit(path))
    killed, passed = kill_commits(path, range(SEED % 5, steps, 5))
    assert killed > steps // 6
    assert 0 < passed < killed


def test_kills_one_after_another_wear_nothing_down(path: Path) -> None:
    steps = len(effects_of_a_commit(path))
    kill_a_growing_history(path, 20, seed=SEED, effects=steps)
