"""Times in zones whose clocks are put forward and back, against what cron and systemd do there."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.schedulers.cron import CronTime, on_calendar, parse_cron
from pgsnap.schedulers.zone import MachineZone

MINUTE = timedelta(minutes=1)
# Those that are links to others add nothing; these have no clocks of their own.
ZONES = sorted(name for name in available_timezones() if "/" in name and "Etc" not in name)
TIMES = st.sampled_from(
    [
        *("30 2 * * *", "0 0 * * *", "15,45 1-3 * * *", "0 */2 * * *", "*/20 * * * *"),
        *("30 * * * *", "*/15 2 * * *", "59 23 * * *", "0 3 1 * *", "30 0 * * 0", "5 1,2 28 * 6"),
    ]
)


@cache
def changes(name: str) -> list[datetime]:
    """Return the moments, in UTC, at which clocks of a zone change in 2024 to 2027."""
    zone = ZoneInfo(name)
    found = []
    hour = datetime(2024, 1, 1, tzinfo=UTC)
    before = hour.astimezone(zone).utcoffset()
    while hour.year < 2028:
        hour += timedelta(hours=6)
        now = hour.astimezone(zone).utcoffset()
        if now != before:
            minute = hour - timedelta(hours=6)
            while minute.astimezone(zone).utcoffset() == before:
                minute += MINUTE
            found.append(minute)
            before = now
    return found


def matches(when: CronTime, wall: datetime) -> bool:
    return when.is_on(wall.date()) and wall.hour in when.hours and wall.minute in when.minutes


def runs_of_cron(
    when: CronTime, zone: ZoneInfo, first: datetime, last: datetime
) -> Iterator[datetime]:
    """Yield when Debian's cron starts the job: it looks at each minute as it comes. Jobs at
    certain times that were skipped come at once, none twice; those with a star go by the clock."""
    is_wildcard = any(field.startswith("*") for field in when.text.split()[:2])
    done = first.astimezone(zone).replace(tzinfo=None) - MINUTE
    moment = first
    while moment <= last:
        wall = moment.astimezone(zone).replace(tzinfo=None)
        if is_wildcard:
            if matches(when, wall):
                yield moment
        else:
            while done < wall:
                done += MINUTE
                if matches(when, done):
                    yield moment
        moment += MINUTE


@given(st.sampled_from(ZONES), TIMES, st.data())
def test_no_job_of_cron_is_due_that_it_did_not_start(
    name: str, text: str, data: st.DataObject
) -> None:
    zone = ZoneInfo(name)
    moments = changes(name) or [datetime(2026, 6, 1, tzinfo=UTC)]
    change = data.draw(st.sampled_from(moments))
    now = change + timedelta(minutes=data.draw(st.integers(-200, 1600)))
    when = parse_cron(text, "x")
    runs = list(runs_of_cron(when, zone, now - timedelta(days=3), now))
    due = when.last_before(now.astimezone(zone))
    assert due is not None
    if due < now - timedelta(days=2):
        return
    assert due in runs
    # Within the hour that comes twice a job may run again, unless it is at a certain time.
    later = [run for run in runs if run > due]
    assert all(run.astimezone(zone).fold for run in later)


needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="needs systemd-analyze: apt-get install systemd",
)


@needs_analyze
@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                  "Africa/Cairo", "America/Santiago", "Asia/Kolkata"])  # fmt: skip
@pytest.mark.parametrize("text", ["30 2 * * *", "0 0 * * *", "30 * * * *", "15,45 1-3 * * *"])
def test_no_job_of_systemd_is_due_that_it_did_not_start(name: str, text: str) -> None:
    zone = ZoneInfo(name)
    when = parse_cron(text, "x")
    for change in changes(name)[:2] or [datetime(2026, 6, 1, tzinfo=UTC)]:
        first = change - timedelta(days=2)
        runs = _runs_of_systemd(when, name, first)
        for minutes in range(-120, 400, 7):
            now = change + timedelta(minutes=minutes)
            due = when.last_before(now.astimezone(zone), skips_gap=True)
            assert due is not None
            before = [run for run in runs if run <= now]
            assert due == before[-1], (name, text, now)


def _runs_of_systemd(when: CronTime, name: str, first: datetime) -> list[datetime]:
    done = subprocess.run(
        [
            *("systemd-analyze", "calendar", "--iterations=100"),
            f"--base-time={first:%Y-%m-%d %H:%M:%S} UTC",
            *on_calendar(when),
        ],
        capture_output=True,
        text=True,
        env={"TZ": name, "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        check=True,
    )
    found = re.findall(r"\(in UTC\): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)
    return [datetime.fromisoformat(f"{one}+00:00") for one in found]


@pytest.fixture(params=["Europe/Oslo", "America/New_York", "Australia/Lord_Howe"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield ZoneInfo(request.param)
    monkeypatch.undo()
    time.tzset()


def test_the_machines_zone_knows_its_changes(machine: ZoneInfo) -> None:
    zone = MachineZone()
    for change in changes(machine.key):
        for minutes in range(-150, 151, 15):
            moment = change + timedelta(minutes=minutes)
            assert moment.astimezone(zone).isoformat() == moment.astimezone(machine).isoformat()
            assert moment.astimezone(zone).astimezone(UTC) == moment
            for text in ("30 2 * * *", "0 * * * *"):
                when = parse_cron(text, "x")
                assert when.last_before(moment.astimezone(zone)) == when.last_before(
                    moment.astimezone(machine)
                )
