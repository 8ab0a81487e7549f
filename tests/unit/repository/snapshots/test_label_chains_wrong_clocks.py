"""A clock that was wrong once: what it dated into the future hides nothing that came after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import UnknownRevision
from pgsnap.model import Note
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.repository.snapshots.revisions import newest_regular, resolve
from pgsnap.workflows.history.log import last_saved
from pgsnap.workflows.retention.policy import Policy, decide
from support.dumps.scripted import shop
from support.repositories.made import make, record

YEARS = timedelta(days=3650)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


def test_a_commit_after_one_of_the_future_is_dated_by_the_clock(path: Path) -> None:
    with Repository.open(path) as repo:
        first = record(repo, shop(1))
        future = record(repo, shop(2), at=datetime.now(UTC) + YEARS)
        made = record(repo, shop(3))
        assert made.snapshot.time < soon()
        assert made.snapshot.parent == first.snapshot_id
        assert made.ahead == future.snapshot_id
        assert record(repo, shop(4)).snapshot.parent == made.snapshot_id


def test_latest_times_and_last_saved_pass_over_the_future(path: Path) -> None:
    with Repository.open(path) as repo:
        future = record(repo, shop(2), at=datetime.now(UTC) + YEARS)
        assert resolve(repo, "latest", database=None) == future.snapshot_id
        made = record(repo, shop(3))
        assert made.snapshot.time < soon()
        assert made.snapshot.parent == future.snapshot_id
        assert resolve(repo, "latest", database=None) == made.snapshot_id
        assert newest_regular(repo, database=None, choose=None) == made.snapshot_id
        today = f"@{datetime.now().astimezone():%Y-%m-%d}"
        assert resolve(repo, today, database=None) == made.snapshot_id
        last = last_saved(repo, "shop", "")
        assert last is not None
        assert last.snapshot_id == made.snapshot_id


def test_a_clock_that_is_a_little_ahead_keeps_the_order_of_commits(path: Path) -> None:
    with Repository.open(path) as repo:
        ahead = record(repo, shop(1), at=datetime.now(UTC) + timedelta(minutes=5))
        made = record(repo, shop(2))
        assert made.snapshot.parent == ahead.snapshot_id
        assert made.snapshot.time > ahead.snapshot.time
        assert made.ahead is None
        assert resolve(repo, "latest", database=None) == made.snapshot_id


def test_the_newest_verified_one_is_not_of_the_future(path: Path) -> None:
    now = datetime.now(UTC)
    with Repository.open(path) as repo:
        old = record(repo, shop(1), at=now - timedelta(days=9))
        for number in range(3):
            record(repo, shop(2 + number), at=now - timedelta(days=3 - number))
        future = record(repo, shop(9), at=now + YEARS)
        for one in (old, future):
            body = {"by": "drill", "passed": True, "checks": {}}
            repo.add_note(Note("verdict", "shop", now, one.snapshot_id, body))
        reasons = {
            decision.snapshot_id: decision.reasons for decision in decide(repo, Policy(last=1), now)
        }
        assert "newest verified" in reasons[old.snapshot_id]


def test_a_wrong_clock_of_a_restore_s_safety_snapshot_is_passed_over_too(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo, shop(1))
        safety = record(repo, shop(2), tags=["before-restore/20260101T000000Z-1"])
        assert resolve(repo, "latest", database=None) == safety.snapshot_id
        assert newest_regular(repo, database=None, choose=None) == made.snapshot_id
        record(repo, shop(3), at=datetime.now(UTC) + YEARS)
        assert newest_regular(repo, database=None, choose=None) == made.snapshot_id


def test_the_chain_begins_with_its_past(path: Path) -> None:
    with Repository.open(path) as repo:
        future = record(repo, shop(2), at=datetime.now(UTC) + YEARS)
        made = [record(repo, shop(3 + number)).snapshot_id for number in range(2)]
        chains = Chains(repo)
        (chain,) = chains.of_label("shop")
        assert chains.newest_first(chain) == [*reversed(made), future.snapshot_id]
        with pytest.raises(UnknownRevision):
            resolve(repo, "@2001-01-01", database=None)
