"""What a policy keeps, counted by hand on calendars."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pgsnap.errors import UsageError
from pgsnap.model import Note, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.targets.swap.kept import SwapNames, discarded_note, swapped_note
from pgsnap.workflows.retention.policy import DEFAULT_POLICY, Decision, Policy, decide, judge
from support.dumps.scripted import shop
from support.repositories.made import day, make, record
from support.repositories.retention import candidate, kept, when

BERLIN = ZoneInfo("Europe/Berlin")
NOW = when("2026-11-22T12:00")


def names(decisions: Iterable[Decision]) -> list[str]:
    """Return the messages of those that are kept."""
    return [found.snapshot.message for found in decisions if found.keep]


def reasons(decisions: Iterable[Decision]) -> dict[str, tuple[str, ...]]:
    return {found.snapshot.message: found.reasons for found in decisions}


def test_last_counts_snapshots_and_says_which_place_each_has() -> None:
    found = kept(Policy(last=2), ["2026-11-20T02:00", "2026-11-21T02:00", "2026-11-22T02:00"])
    assert reasons(found) == {
        "2026-11-22T02:00": ("newest", "last 1 of 2"),
        "2026-11-21T02:00": ("last 2 of 2",),
        "2026-11-20T02:00": ("beyond last 2",),
    }
    assert names(found) == ["2026-11-22T02:00", "2026-11-21T02:00"]


def test_a_day_is_stood_for_by_its_newest_and_days_without_one_do_not_count() -> None:
    times = [
        "2026-11-01T02:00",
        "2026-11-10T02:00",
        "2026-11-10T14:00",
        "2026-11-10T23:59",
        "2026-11-21T02:00",
        "2026-11-21T03:00",
    ]
    found = kept(Policy(daily=2), times)
    assert names(found) == ["2026-11-21T03:00", "2026-11-10T23:59"]
    assert reasons(found)["2026-11-10T23:59"] == ("daily 2026-11-10",)
    assert names(kept(Policy(daily=3), times))[-1] == "2026-11-01T02:00"


def test_a_snapshot_shows_every_rule_that_keeps_it() -> None:
    policy = Policy(last=1, hourly=1, daily=1, weekly=1, monthly=1, yearly=1, within=timedelta(2))
    (only,) = kept(policy, ["2026-11-22T02:30"])
    assert only.reasons == (
        "newest",
        "last 1 of 1",
        "hourly 2026-11-22 02:00 +0000",
        "daily 2026-11-22",
        "weekly 2026-W47",
        "monthly 2026-11",
        "yearly 2026",
        "within 2d",
    )


def test_weeks_are_those_of_iso_also_around_new_year() -> None:
    # 2026 has 53 ISO weeks: 28 December to 3 January is week 53 of 2026, whatever the year says.
    times = [
        "2026-12-27T12:00",
        "2026-12-28T12:00",
        "2026-12-31T12:00",
        "2027-01-01T12:00",
        "2027-01-03T12:00",
        "2027-01-04T12:00",
    ]
    found = kept(Policy(weekly=3), times, now=when("2027-01-05T12:00"))
    assert {
        name: why[-1] for name, why in reasons(found).items() if why[-1].startswith("weekly")
    } == {
        "2027-01-04T12:00": "weekly 2027-W01",
        "2027-01-03T12:00": "weekly 2026-W53",
        "2026-12-27T12:00": "weekly 2026-W52",
    }
    assert len(names(found)) == 3


def test_months_and_years_keep_their_newest() -> None:
    times = [f"{year}-{month:02}-15T12:00" for year in (2024, 2025) for month in range(1, 13)]
    found = kept(Policy(monthly=3, yearly=2), times)
    assert names(found) == [
        "2025-12-15T12:00",
        "2025-11-15T12:00",
        "2025-10-15T12:00",
        "2024-12-15T12:00",
    ]
    assert reasons(found)["2024-12-15T12:00"] == ("yearly 2024",)


def test_the_hour_that_is_repeated_when_summer_time_ends_counts_as_two() -> None:
    # In Berlin 02:30 came twice on 25 October 2026, an hour apart.
    times = ["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T01:45"]
    found = kept(Policy(hourly=2), times, zone=BERLIN)
    assert {name: why[-1] for name, why in reasons(found).items()} == {
        "2026-10-25T01:45": "hourly 2026-10-25 02:00 +0100",
        "2026-10-25T01:30": "beyond hourly 2",
        "2026-10-25T00:30": "hourly 2026-10-25 02:00 +0200",
        "2026-10-24T23:30": "beyond hourly 2",
    }


def test_days_begin_at_local_midnight_also_when_clocks_change() -> None:
    # 22:30 UTC is still 29 March 2026 in UTC, and already the 30th in Berlin's summer time; the
    # evening before the change it is 23:30 of the 28th.
    times = ["2026-03-28T22:30", "2026-03-29T22:30"]
    found = kept(Policy(daily=2), times, zone=BERLIN)
    assert [why[-1] for why in reasons(found).values()] == ["daily 2026-03-30", "daily 2026-03-28"]
    both = ["2026-03-28T23:30", "2026-03-29T21:30"]
    assert names(kept(Policy(daily=2), both, zone=BERLIN)) == ["2026-03-29T21:30"]
    assert len(names(kept(Policy(daily=2), both))) == 2


def test_within_is_counted_from_the_newest_so_that_nothing_goes_while_commits_fail() -> None:
    times = ["2026-01-01T00:00", "2026-01-02T00:00", "2026-01-03T00:00"]
    found = kept(Policy(within=timedelta(days=1)), times)
    assert names(found) == ["2026-01-03T00:00", "2026-01-02T00:00"]
    assert reasons(found)["2026-01-01T00:00"] == ("beyond within 1d",)


def test_any_tag_protects_unless_globs_say_which() -> None:
    times = [f"2026-11-{number:02}T02:00" for number in (10, 11, 12, 20)]
    tags = {times[0]: ["pre-migration"], times[1]: ["v1"], times[2]: ["a", "b"]}
    found = kept(Policy(last=1), times, tags)
    assert len(names(found)) == 4
    assert reasons(found)[times[2]] == ("protected: tagged a, b",)
    found = kept(Policy(last=1, tags=("pre-*", "nightly")), times, tags)
    assert names(found) == [times[3], times[0]]
    assert reasons(found)[times[0]] == ("tag pre-*",)
    assert reasons(found)[times[1]] == (
        "tagged v1, which does not match; beyond last 1, tag pre-*, tag nightly",
    )


def test_safety_snapshots_take_no_place_and_expire_after_thirty_days() -> None:
    times = ["2026-10-22T12:00", "2026-10-24T12:00", "2026-11-20T02:00", "2026-11-21T02:00"]
    safety = "before-restore/20261024T120000.000000Z"
    tags = {times[0]: ["before-undo/x"], times[1]: [safety], times[3]: [safety]}
    found = kept(Policy(last=1), times, tags)
    assert reasons(found) == {
        times[3]: ("newest", "safety snapshot, until 2026-12-21"),
        times[2]: ("newest", "last 1 of 1"),
        times[1]: ("safety snapshot, until 2026-11-23",),
        times[0]: ("safety snapshot older than 30d",),
    }
    assert names(kept(Policy(last=1), times, {times[0]: ["before-undo/x", "mine"]}))[-1] == times[0]
    globs = Policy(last=1, tags=("before-undo/*",))
    assert times[0] in names(kept(globs, times, tags))


def test_snapshots_from_the_future_push_nothing_out_and_are_bounded() -> None:
    real = [f"2026-11-{number:02}T02:00" for number in range(10, 20)]
    wrong = [f"2099-01-01T00:00:0{number}" for number in range(9)]
    found = kept(Policy(last=2, daily=3), [*real, *wrong])
    now_kept = names(found)
    assert [name for name in now_kept if name in real] == real[:-4:-1]
    assert [name for name in now_kept if name in wrong] == wrong[:-6:-1]
    assert reasons(found)[wrong[-2]] == ("dated in the future",)
    assert reasons(found)[wrong[0]] == ("dated in the future, with 5 newer ones kept",)
    assert len(names(kept(Policy(within=timedelta(1)), [*real, *wrong]))) == len(wrong) + 2


def test_a_clock_that_is_a_little_ahead_is_no_future() -> None:
    found = kept(Policy(last=2), ["2026-11-22T11:00", "2026-11-22T12:09"])
    assert reasons(found)["2026-11-22T12:09"] == ("newest", "last 1 of 2")


@pytest.mark.parametrize(
    "policy",
    [Policy(), Policy(within=timedelta()), Policy(last=-1), Policy(within=timedelta(-1))],
)
def test_a_policy_that_keeps_nothing_is_refused(policy: Policy) -> None:
    with pytest.raises(UsageError):
        policy.check()
    with pytest.raises(UsageError):
        judge([], policy, NOW)


def test_globs_alone_that_match_nothing_are_refused_where_something_would_go() -> None:
    policy = Policy(tags=("per-*",))
    times = ["2026-11-10T02:00", "2026-11-11T02:00"]
    with pytest.raises(UsageError, match="keeps nothing of database") as caught:
        kept(policy, times, {times[0]: ["pre-1"]})
    assert "--keep-last" in caught.value.hint
    assert names(kept(policy, times[:1])) == times[:1]
    assert names(kept(policy, times, {times[0]: ["per-1"]})) == times[::-1]


def test_the_calendars_ends_are_no_error() -> None:
    first, last = candidate("0001-01-01T00:00"), candidate("9999-12-31T23:59")
    policy = Policy(last=1, hourly=1, daily=1, weekly=1)
    found = judge([last, first], policy, NOW, zone=ZoneInfo("America/New_York"))
    assert [one.keep for one in found] == [True, True]
    found = judge([last, first], policy, NOW, zone=ZoneInfo("Asia/Tokyo"))
    assert [one.keep for one in found] == [True, True]


# -- on a repository -----------------------------------------------------------------------------


def verdict(
    repo: Repository, snapshot: SnapshotId, hour: int, *, by: str = "verify", **body: object
) -> None:
    at = day(20) + timedelta(hours=hour)
    repo.add_note(Note("verdict", "shop", at, snapshot, {"by": by, **body}))


def kept_of(repo: Repository) -> dict[SnapshotId, tuple[str, ...]]:
    found = decide(repo, Policy(last=1), day(28), zone=UTC)
    return {one.snapshot_id: one.reasons for one in found if one.keep}


def test_each_database_is_judged_on_its_own_and_nothing_is_written(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        for number in range(1, 4):
            record(repo, shop(5 + number), at=day(number))
        record(repo, shop(50), database="blog", at=day(1))
        record(repo, shop(51), database="blog", at=day(2), tags=("keep-me",))
        before = sorted(path.rglob("*"))
        found = decide(repo, Policy(last=2), day(28))
        labels = [(one.snapshot.database, one.snapshot.time.day, one.keep) for one in found]
        assert labels == [
            ("blog", 2, True),
            ("blog", 1, True),
            ("shop", 3, True),
            ("shop", 2, True),
            ("shop", 1, False),
        ]
        assert found[0].tags == ("keep-me",)
        assert sorted(path.rglob("*")) == before
        repo.forget(found[2].snapshot_id, by="test", reason="")
        again = decide(repo, Policy(last=1), day(28))
        assert [one.keep for one in again if one.snapshot.database == "shop"] == [True, False]
        assert decide(repo, DEFAULT_POLICY, day(28)) != found


def test_the_newest_verified_one_stays_until_a_later_verdict_finds_damage(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = [record(repo, shop(5 + n), at=day(n)).snapshot_id for n in range(1, 6)]
        assert set(kept_of(repo)) == {made[4]}
        verdict(repo, made[1], 1, data=True, findings=0)
        verdict(repo, made[2], 1, data=True, findings=0)
        assert kept_of(repo)[made[2]] == ("newest verified",)
        assert set(kept_of(repo)) == {made[4], made[2]}
        verdict(repo, made[3], 1, data=False, findings=0)
        assert set(kept_of(repo)) == {made[4], made[2]}, "not every byte of it was read"
        verdict(repo, made[2], 2, data=True, findings=1)
        assert set(kept_of(repo)) == {made[4], made[1]}
        verdict(repo, made[0], 3, by="drill", passed=True)
        assert set(kept_of(repo)) == {made[4], made[0]}, "a drill proves more"
        verdict(repo, made[0], 4, data=True, findings=0)
        assert set(kept_of(repo)) == {made[4], made[0]}
        verdict(repo, made[0], 5, by="drill", passed=False)
        assert set(kept_of(repo)) == {made[4], made[1]}


def test_a_damaged_verdict_is_left_out(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        made = [record(repo, shop(5 + n), at=day(n)).snapshot_id for n in range(1, 4)]
        verdict(repo, made[0], 1, data=True, findings=0)
        (note,) = (path / "notes" / "verdict").iterdir()
        note.write_bytes(note.read_bytes()[:-1])
        assert set(kept_of(repo)) == {made[2]}


def test_the_snapshot_of_a_restore_stays_while_it_can_be_undone(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = [record(repo, shop(5 + n), at=day(n)).snapshot_id for n in range(1, 4)]
        note = swapped_note(
            "shop",
            SwapNames(live="shop", kept="shop__snap_kept_0123456789", scratch="shop__snap"),
            action="restore",
            time=day(10),
            snapshot=made[0],
            safety=None,
            system_identifier="1",
            host="here",
            size_bytes=None,
        )
        repo.add_note(note)
        assert kept_of(repo)[made[0]] == ("the restore of 2026-01-10 can be undone",)
        late = day(10) + timedelta(days=31)
        keeps = [one.keep for one in decide(repo, Policy(last=1), late)]
        assert keeps == [True, False, False]
        repo.add_note(
            discarded_note(
                "shop",
                "shop__snap_kept_0123456789",
                "shop",
                day(11),
                snapshot=made[0],
                why="dropped",
            )
        )
        assert set(kept_of(repo)) == {made[2]}


def test_days_are_by_default_those_of_this_machine() -> None:
    assert NOW.tzinfo is UTC
    local = datetime(2026, 11, 22, 2, 30).astimezone()
    one = candidate(local.astimezone(UTC).isoformat())
    (found,) = judge([one], Policy(daily=1), local + timedelta(hours=1))
    assert found.reasons[-1] == "daily 2026-11-22"
