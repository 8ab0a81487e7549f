"""What the checks of a drill say of the snapshot itself, and of the folder around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import Verdict
from pgsnap.repository.repository import Repository
from pgsnap.workflows.drill.checks import check_folder
from pgsnap.workflows.drill.report import CHECKS, OF_SNAPSHOT, verdict_of

ALL = dict.fromkeys(CHECKS, Verdict.PASSED)


def test_a_snapshot_is_proven_when_its_contents_were_found_equal() -> None:
    assert verdict_of(ALL) is True
    assert verdict_of({**ALL, "contents": Verdict.SKIPPED}) is None
    assert verdict_of(dict.fromkeys(CHECKS, Verdict.SKIPPED)) is None


@pytest.mark.parametrize("name", list(CHECKS))
def test_a_failure_is_the_snapshots_own_only_where_the_check_is_about_it(name: str) -> None:
    assert verdict_of({**ALL, name: Verdict.FAILED}) is (name not in OF_SNAPSHOT)


def test_a_repository_that_others_can_look_into_is_named_with_the_command_that_mends_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "repo"
    Repository.create(path)
    with Repository.open(path) as repo:
        assert check_folder(repo).verdict is Verdict.PASSED
        (path / "config").chmod(0o640)
        outcome = check_folder(repo)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.details == (f"{path / 'config'}: 0640",)
    assert outcome.help == f"Run: chmod -R go-rwx '{path}'"
