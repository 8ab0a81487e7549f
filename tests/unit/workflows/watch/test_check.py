"""Which scheduled runs `snap check` calls overdue, around the changes of the clocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from pgsnap.model import Verdict
from pgsnap.schedulers.state import Installed, RunRecord, State
from pgsnap.workflows.watch.check import CheckReport, check_runs


@pytest.fixture(autouse=True)
def oslo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Oslo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("when", "by", "started", "now", "is_red"),
    [
        # Days after the end of summer time, of a job that ran before it.
        ("0 0 25 * *", "cron", "2026-10-24T22:00:05+00:00", "2026-10-28T12:00:00+00:00", False),
        ("0 0 25 * *", "cron", "2026-09-24T22:00:05+00:00", "2026-10-28T12:00:00+00:00", True),
        # The first of the hour that comes twice.
        ("30 2 * * *", "cron", "2026-10-25T00:30:05+00:00", "2026-10-25T12:00:00+00:00", False),
        # The hour that is skipped: cron runs the job after it, systemd not on that day.
        ("30 2 * * *", "cron", "2026-03-29T01:00:05+00:00", "2026-03-29T12:00:00+00:00", False),
        ("30 2 * * *", "cron", "2026-03-28T01:30:05+00:00", "2026-03-29T12:00:00+00:00", True),
        ("30 2 * * *", "systemd", "2026-03-28T01:30:05+00:00", "2026-03-29T12:00:00+00:00", False),
        ("30 2 * * *", "systemd", "2026-03-28T01:30:05+00:00", "2026-03-30T12:00:00+00:00", True),
    ],
)
def test_a_run_is_overdue_by_the_clock_of_its_day(
    tmp_path: Path, when: str, by: str, started: str, now: str, is_red: bool
) -> None:
    state = State(tmp_path / "snap.toml")
    state.set_installed([Installed("commit", when, "2026-01-01T00:00:00+00:00", by)])
    state.record(RunRecord("commit", started, 1, finished=started, exit_code=0))
    report = CheckReport(datetime.fromisoformat(now))
    check_runs(report, state)
    assert (report.verdict is Verdict.FAILED) == is_red, report.findings
