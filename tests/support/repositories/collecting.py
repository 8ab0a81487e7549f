"""Histories for tests of gc: versions of a table, committed day after day, and read back."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import Dump, dump, rows, table, texts
from support.repositories.made import day, record

AT_ONCE = timedelta(0)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def version(number: int, *, count: int = 1500, share: float = 0.02) -> Dump:
    """Return the n-th version of a database: each changes a share of the rows of one before."""
    lines = rows(count, seed=7, width=200)
    for step in range(number):
        chance = random.Random(step)
        for place in chance.sample(range(count), max(1, int(count * share))):
            lines[place] = lines[place][:-8] + b"%08d" % chance.randrange(10**8)
    return dump(table("public", "orders", lines), table("public", "day", [b"%d\tday" % number]))


def commit_versions(repo: Repository, numbers: Iterable[int]) -> list[SnapshotId]:
    """Commit versions, the n-th on the n-th day from the first of January on."""
    return [
        record(repo, version(number), message=str(number), at=day(number + 1)).snapshot_id
        for number in numbers
    ]


def collect(
    path: Path, last: int, *, grace: timedelta = AT_ONCE, dry_run: bool = False
) -> GcReport:
    """Keep the *last* snapshots of the repository in *path*."""
    with Repository.open(path, alone=not dry_run, lock_timeout_seconds=20) as repo:
        return gc(repo, Policy(last=last), grace=grace, dry_run=dry_run)


def check_versions(path: Path) -> set[int]:
    """Check that every snapshot that is seen reads back byte for byte; return which these are."""
    with Repository.open(path, lock_timeout_seconds=20) as repo:
        return versions_in(repo)


def versions_in(repo: Repository) -> set[int]:
    """Return the numbers of the versions in *repo*, each read back byte for byte."""
    seen = set()
    for snapshot in repo.newest(None):
        number = int(repo.snapshot(snapshot).message)
        assert texts(repo, snapshot) == version(number).texts, number
        seen.add(number)
    return seen


def sound_versions_in(repo: Repository) -> set[int]:
    """Return what `versions_in` does, of a repository in which `verify` finds nothing."""
    found = versions_in(repo)
    found_faults = verify(repo, data=True).findings
    assert not found_faults, found_faults
    return found
