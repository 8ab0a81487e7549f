"""`snap gc`: what it prints, and what it takes from snap.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.files.folder import Folder
from pgsnap.repository.lock import shared
from pgsnap.repository.repository import Repository
from support.repositories.collecting import check_versions, commit_versions
from support.repositories.made import make
from support.running.commandline import CommandLine


@pytest.fixture
def repository(snap: CommandLine) -> Path:
    path = make(snap.work / "backups")
    with Repository.open(path) as repo:
        commit_versions(repo, range(5))
    snap.setenv("SNAP_REPO", str(path))
    return path


def test_a_dry_run_shows_every_snapshot_with_its_reasons(
    snap: CommandLine, repository: Path
) -> None:
    shown = snap.ok("gc", "--dry-run", "--keep-last", "2", "--grace", "0s").out.splitlines()
    assert [line.split()[0] for line in shown[:5]] == ["keep", "keep", "drop", "drop", "drop"]
    assert shown[0].endswith("newest, last 1 of 2")
    assert shown[2].endswith("beyond last 2")
    assert shown[-1].startswith("2 kept  3 dropped  about ")
    assert check_versions(repository) == {0, 1, 2, 3, 4}


def test_what_gc_drops_can_be_brought_back_until_it_is_freed(
    snap: CommandLine, repository: Path
) -> None:
    first = snap.ok("gc", "--keep-last", "3")
    assert "snap unforget" in first.err
    dropped = [line.split()[1] for line in first.out.splitlines() if line.startswith("drop")]
    assert len(dropped) == 2
    snap.ok("unforget", dropped[0])
    assert check_versions(repository) == {1, 2, 3, 4}
    report = snap.ok("--json", "gc", "--keep-last", "1", "--grace", "0s").json
    assert [len(report[name]) for name in ("kept", "dropped", "expired")] == [1, 3, 4]
    assert report["freed_bytes"] == report["bytes_before"] - report["bytes_after"] > 0
    assert report["complete"]
    assert report["waiting"] == 0
    assert check_versions(repository) == {4}


def test_gc_takes_the_policy_and_the_grace_of_snap_toml(
    snap: CommandLine, repository: Path
) -> None:
    (snap.work / "snap.toml").write_text('[retention]\nlast = 2\ngrace = "0s"\n')
    report = snap.ok("--json", "gc").json
    assert report["policy"] == "last 2"
    assert len(report["expired"]) == 3
    assert check_versions(repository) == {3, 4}


def test_gc_ends_with_its_own_exit_code_where_the_repository_is_in_use(
    snap: CommandLine, repository: Path
) -> None:
    with shared(Folder(repository), 1.0):
        result = snap("--json", "--lock-timeout", "0s", "gc")
        assert result.code == 11
        assert snap("gc", "--dry-run").code == 0
    assert snap("gc", "--keep-last", "0").code == 2
