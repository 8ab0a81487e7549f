from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.schedulers import systemd
from pgsnap.schedulers.cron import CronTime, on_calendar, parse_cron
from pgsnap.schedulers.jobs import JOBS, Job, Schedule

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)

TIMES = {
    "0 2 * * *": ["*-*-* 02:00:00"],
    "@daily": ["*-*-* 00:00:00"],
    "@hourly": ["*-*-* *:00:00"],
    "*/15 * * * *": ["*-*-* *:00,15,30,45:00"],
    "30 1-3,22 * * mon-fri": ["Mon,Tue,Wed,Thu,Fri *-*-* 01,02,03,22:30:00"],
    "0 4 * * 7": ["Sun *-*-* 04:00:00"],
    "0 4 * * 5-7": ["Fri,Sat,Sun *-*-* 04:00:00"],
    "5 0 1 jan,jul *": ["*-01,07-01 00:05:00"],
    # Either kind of day will do.
    "0 3 1 * 1": ["*-*-01 03:00:00", "Mon *-*-* 03:00:00"],
    # A field that begins with a star leaves the choice to the other.
    "0 3 */10 * 1": ["Mon *-*-01,11,21,31 03:00:00"],
    "0 3 1 * 0-6": ["*-*-* 03:00:00"],
    "10-59/20 5/9 29 2 *": ["*-02-29 05,14,23:10,30,50:00"],
}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_of_cron_is_written_as_systemd_reads_it(text: str) -> None:
    assert list(on_calendar(parse_cron(text, "--commit"))) == TIMES[text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 2 * *", "not a time in cron's syntax"),
        ("", "not a time in cron's syntax"),
        ("60 2 * * *", '"60" is no minute'),
        ("0 24 * * *", '"24" is no hour'),
        ("0 2 0 * *", '"0" is no day of the month'),
        ("0 2 * 13 *", '"13" is no month'),
        ("0 2 * * 8", '"8" is no day of the week'),
        ("0 2 * * fri-mon", '"fri-mon" is no day of the week'),
        ("*/0 * * * *", "is no minute"),
        ("1,,2 * * * *", "is no minute"),
        ("0 2 31 2 *", "never comes"),
        ("@reboot", "no time"),
        ("@dayly", 'no time called "@dayly"'),
        ("0 2 * * *\n* * * * * rm x", "not a time in cron's syntax"),
    ],
)
def test_what_is_no_time_is_refused_and_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cron(text, '"commit" of [schedule]')
    assert words in caught.value.message
    assert '"commit" of [schedule]' in caught.value.message
    assert caught.value.hint


def test_the_last_time_is_counted_back_over_days_and_years() -> None:
    def last(text: str) -> datetime | None:
        return parse_cron(text, "x").last_before(NOW)

    assert last("30 12 * * *") == NOW
    assert last("31 12 * * *") == NOW - timedelta(days=1) + timedelta(minutes=1)
    assert last("0 4 * * 0") == datetime(2026, 3, 15, 4, tzinfo=UTC)
    assert last("0 0 29 2 *") == datetime(2024, 2, 29, tzinfo=UTC)
    # Friday the 13th, or any 1st: whichever is later.
    assert last("0 0 1 * 5") == datetime(2026, 3, 13, tzinfo=UTC)


def calendar(when: CronTime) -> list[str]:
    done = subprocess.run(
        [
            *("systemd-analyze", "calendar", "--iterations=2"),
            f"--base-time={NOW:%Y-%m-%d %H:%M:%S UTC}",
            *on_calendar(when),
        ],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)


needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="needs systemd-analyze: apt-get install systemd",
)


@needs_analyze
@pytest.mark.parametrize("text", TIMES)
def test_systemd_knows_the_calendar_and_means_the_same_times(text: str) -> None:
    when = parse_cron(text, "--commit")
    found = [datetime.fromisoformat(f"{one}+00:00") for one in calendar(when)]
    coming = min(one for one in found if one > NOW)
    assert when.last_before(coming) == coming
    before = when.last_before(coming - timedelta(minutes=1))
    assert before is not None
    assert before <= NOW


@needs_analyze
def test_systemd_accepts_every_unit_with_odd_names_in_it(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" $HOME 100%'
    folder.mkdir()
    config = folder / "snap.toml"
    argv = ("/bin/true", "--config", str(config))
    jobs = tuple(Job(name, parse_cron("0 3 1 * 1", name), argv) for name in JOBS)
    for system in (True, False):
        units = systemd.units(Schedule(config, jobs), system=system)
        assert len(units) == 2 * len(JOBS)
        for name, text in units.items():
            (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "pgsnap" in line]
    assert (done.returncode, told) == (0, [])
    assert "Persistent=true" in units[next(name for name in units if name.endswith(".timer"))]


@pytest.mark.parametrize("text", [*TIMES, "0 0 29 2 *", "59 23 31 12 *"])
def test_the_next_time_is_the_first_one_after_which_it_is_the_last(text: str) -> None:
    when = parse_cron(text, "--commit")
    following = when.next_after(NOW)
    assert following is not None
    assert following > NOW
    assert when.last_before(following) == following
    assert when.last_before(following - timedelta(minutes=1)) == when.last_before(NOW)
