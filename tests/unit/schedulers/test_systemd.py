"""Units as files, with a systemctl that only notes what it is asked: systemd may not run here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgsnap.schedulers import systemd
from pgsnap.schedulers.cron import parse_cron
from pgsnap.schedulers.jobs import Job, Schedule, SchedulerFailed, unit_stem

SYSTEMCTL = """#!/bin/sh
echo "$*" >> "{log}"
if [ -f "{log}.fail" ]; then echo "Failed to connect to bus" >&2; exit 1; fi
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which systemctl notes its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "asked"
    (folder / "systemctl").write_text(SYSTEMCTL.format(log=log))
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def schedule(config: Path, **times: str) -> Schedule:
    argv = ("/usr/bin/snap",)
    return Schedule(config, tuple(Job(n, parse_cron(t, n), argv) for n, t in times.items()))


def test_timers_are_written_switched_on_changed_and_taken_away(tmp_path: Path, asked: Path) -> None:
    config, units = tmp_path / "My Shop" / "snap.toml", tmp_path / "units"
    stem = unit_stem(config)
    assert stem.startswith("pgsnap-my-shop-")
    units.mkdir()
    other = units / f"{unit_stem(tmp_path / 'snap.toml')}-commit.timer"
    other.write_text("another folder's")
    made = systemd.install(schedule(config, commit="@daily", gc="@weekly"), units, system=False)
    assert sorted(made) == systemd.files(config, units)
    assert len(made) == 4
    assert asked.read_text().splitlines() == [
        "--user --no-ask-password daemon-reload",
        f"--user --no-ask-password enable --now {stem}-commit.timer {stem}-gc.timer",
        f"--user --no-ask-password restart {stem}-commit.timer {stem}-gc.timer",
    ]
    systemd.install(schedule(config, commit="@hourly"), units, system=True)
    assert [path.name for path in systemd.files(config, units)] == [
        f"{stem}-commit.service",
        f"{stem}-commit.timer",
    ]
    assert f"--no-ask-password disable --now {stem}-gc.timer" in asked.read_text().splitlines()
    assert "OnCalendar=*-*-* *:00:00\n" in (units / f"{stem}-commit.timer").read_text()
    systemd.remove(config, units, system=True)
    assert list(units.iterdir()) == [other]


def test_a_systemctl_that_fails_is_told_with_what_else_helps(tmp_path: Path, asked: Path) -> None:
    Path(f"{asked}.fail").touch()
    with pytest.raises(SchedulerFailed) as caught:
        systemd.install(schedule(tmp_path / "snap.toml", gc="@daily"), tmp_path, system=True)
    assert "Failed to connect to bus" in caught.value.detail
    assert "--with cron" in caught.value.hint
