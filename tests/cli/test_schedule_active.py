"""What is said of a schedule is true: of one that somebody changed by hand, that nothing starts,
that could not be installed, or that was removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgsnap.schedulers import systemd
from pgsnap.schedulers.crontab import active_jobs
from support.running.commandline import CommandLine
from support.running.cron import Cron

INSTALL = ("schedule", "install", "--with", "cron", "--commit", "0 2 * * *", "--gc", "@weekly")
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "{log}"
case " $* " in *" enable "*) [ ! -e "{log}.fail" ] || exit 1 ;; esac
"""


def doctor_says(snap: CommandLine) -> tuple[str, str, str]:
    step = next(one for one in snap("doctor", "--json").json["steps"] if one["name"] == "schedule")
    return step["health"], step["text"], step["next"]


def files(snap: CommandLine) -> list[str]:
    """Return what is in .snap."""
    return sorted(path.name for path in (snap.work / ".snap").rglob("*") if path.is_file())


def test_a_job_that_was_taken_out_of_the_crontab_by_hand_is_told_of(
    snap: CommandLine, cron: Cron
) -> None:
    snap.ok("init")
    cron.table.write_text("# mine\n")
    assert "no cron daemon" not in snap.ok(*INSTALL).err
    shown = snap.ok("schedule", "show", "--json").json
    assert [(one["job"], one["active"]) for one in shown] == [("commit", True), ("gc", True)]
    assert doctor_says(snap)[0] == "ok"
    lines = cron.table.read_text().splitlines(keepends=True)
    cron.table.write_text(
        "".join(f"# {line}" if " run commit " in line else line for line in lines)
    )
    assert active_jobs(cron.table.read_bytes(), snap.work / "snap.toml") == {"gc"}
    said = snap.ok("schedule", "show").out.splitlines()
    assert "NOT ACTIVE: cron does not have it" in said[0]
    assert "NOT ACTIVE" not in said[1]
    health, text, way = doctor_says(snap)
    assert (health, text) == ("red", "cron does not have them any more: commit")
    assert '--commit "0 2 * * *" --gc "0 0 * * 0"' in way
    cron.program.unlink()
    shown = snap.ok("schedule", "show", "--json").json
    assert [one["active"] for one in shown] == [False, False]


def test_a_crontab_that_no_daemon_reads_is_no_schedule(snap: CommandLine, cron: Cron) -> None:
    snap.ok("init")
    snap.ok(*INSTALL)
    cron.end()
    shown = snap.ok("schedule", "show", "--json").json
    assert [one["active"] for one in shown] == [False, False]
    said = snap.ok("schedule", "show")
    assert "NOT ACTIVE: no cron daemon runs here" in said.out
    assert "so nothing is started" in said.err
    assert doctor_says(snap)[:2] == (
        "red",
        "no cron daemon runs here, so nothing starts what is scheduled: commit, gc",
    )
    found = [one for one in snap("check", "--json").json["findings"] if one["what"] == "schedule"]
    assert [one["level"] for one in found] == ["red"]
    assert "no cron daemon runs here" in found[0]["text"]
    again = snap.ok(*INSTALL)
    assert "warning: no cron daemon runs here, so nothing of this is started" in again.err


def test_an_install_that_fails_leaves_everything_as_it_was(
    snap: CommandLine, cron: Cron, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snap.ok("init")
    snap.setenv("DATABASE_URL", "postgresql://me:s3cret@host/shop")
    cron.table.write_text("# mine\n")
    cron.full.touch()
    assert "no space left" in snap(*INSTALL, "--json").error["detail"]
    assert not (snap.work / ".snap").exists()
    assert snap(*INSTALL[:3], "systemd", *INSTALL[4:]).code == 1
    assert not (snap.work / ".snap").exists()

    log, units = tmp_path / "systemctl", tmp_path / "units"
    program = cron.program.with_name("systemctl")
    program.write_text(SYSTEMCTL.format(log=log))
    program.chmod(0o755)
    monkeypatch.setattr(systemd, "runs_here", lambda: True)
    monkeypatch.setattr(systemd, "unit_folder", lambda: units)
    failing = log.with_name("systemctl.fail")
    failing.touch()
    assert "enable failed" in snap(*INSTALL[:3], "systemd", *INSTALL[4:], "--json").error["message"]
    assert not (snap.work / ".snap").exists()
    assert list(units.iterdir()) == []

    # With one that is installed: it stays, with its variables.
    cron.full.unlink()
    snap.ok(*INSTALL)
    before = cron.table.read_text()
    assert before.startswith("# mine\n")
    snap.setenv("DATABASE_URL", "postgresql://me:other@host/shop")
    assert snap(*INSTALL[:3], "systemd", *INSTALL[4:]).code == 1
    cron.full.touch()
    assert snap(*INSTALL[:4], "--commit", "0 3 * * *").code == 1
    assert cron.table.read_text() == before
    assert list(units.iterdir()) == []
    assert "s3cret" in (snap.work / ".snap" / "snap" / "environment").read_text()
    assert [one["when"] for one in snap.ok("schedule", "show", "--json").json] == [
        "0 2 * * *",
        "0 0 * * 0",
    ]
    # From cron to systemd and back.
    failing.unlink()
    cron.full.unlink()
    snap.ok(*INSTALL[:3], "systemd", *INSTALL[4:])
    assert (cron.table.read_text(), len(list(units.iterdir()))) == ("# mine\n", 4)
    cron.full.touch()
    assert snap(*INSTALL).code == 1
    assert len(list(units.iterdir())) == 4
    assert (
        log.read_text()
        .splitlines()[-2]
        .startswith(("--no-ask-password enable --now", "--user --no-ask-password enable --now"))
    )


def test_a_removed_schedule_leaves_no_file_and_no_password(snap: CommandLine, cron: Cron) -> None:
    snap.ok("init")
    snap.setenv("DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/shop")
    snap.ok(*INSTALL)
    assert snap("schedule", "run", "commit").code == 30
    assert files(snap) == [
        ".gitignore",
        "commit.json",
        "commit.run",
        "environment",
        "schedule.json",
    ]
    snap.ok("schedule", "remove", "--dry-run")
    assert len(files(snap)) == 5
    snap.ok("schedule", "remove")
    assert not (snap.work / ".snap").exists()
    assert not cron.table.exists()
    # Logs are for reading; what an earlier version left behind goes without a schedule, too.
    snap.ok(*INSTALL)
    assert snap("schedule", "run", "commit", "--log").code == 30
    (snap.work / ".snap" / "snap" / "schedule.json").unlink()
    snap.ok("schedule", "remove")
    assert files(snap) == [".gitignore", "commit.log"]
    assert os.environ["DATABASE_URL"] not in (snap.work / ".snap/snap/commit.log").read_text()
