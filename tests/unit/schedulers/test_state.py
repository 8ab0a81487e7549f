from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.files.folder import Folder
from pgsnap.schedulers.environment import (
    connection_variables,
    environment_text,
    read_environment,
)
from pgsnap.schedulers.runs import LogFile, run_verb
from pgsnap.schedulers.state import RunBusy, RunRecord, State

STARTED = "2026-01-01T02:00:00+00:00"


def test_the_last_success_outlives_failures_and_damage_is_no_record(tmp_path: Path) -> None:
    state = State(tmp_path / "snap.toml")
    assert state.last_run("commit") is None
    state.record(RunRecord("commit", STARTED, 1, exit_code=0, last_success=STARTED))
    state.record(RunRecord("commit", "2026-01-02T02:00:00+00:00", 2, exit_code=30, error="x"))
    found = state.last_run("commit")
    assert found is not None
    assert (found.exit_code, found.last_success) == (30, STARTED)
    assert {path.stat().st_mode & 0o777 for path in state.folder.iterdir()} == {0o600}
    assert state.folder.stat().st_mode & 0o777 == 0o700
    for damaged in ("{", '{"job": "commit", "started": "yesterday", "pid": 1}', '{"started": 1}'):
        (state.folder / "commit.json").write_text(damaged)
        assert state.last_run("commit") is None
    (state.folder / "schedule.json").write_text(
        '{"jobs": [{"job": "gc", "when": "@daily", "since": "2026", "by": "cron"}, {}, 1]}'
    )
    assert state.installed() == []


def test_only_one_run_of_a_job_goes_on_at_a_time(tmp_path: Path) -> None:
    state = State(tmp_path / "snap.toml")
    assert not state.is_running("commit")
    with state.alone("commit", wait_seconds=0):
        assert state.is_running("commit")
        with pytest.raises(RunBusy), state.alone("commit", wait_seconds=0.6):
            pass
        # Another job, and another configuration in the same folder.
        with state.alone("gc", wait_seconds=0):
            pass
        with State(tmp_path / "other.toml").alone("commit", wait_seconds=0):
            pass
    with state.alone("commit", wait_seconds=0):
        pass


def test_variables_come_back_from_their_file_whatever_they_hold(tmp_path: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://me:a'b c$(x)\"@h/d",
        "PGPASSFILE": "/a b",
        "SNAP_REPO": "/r",
        "PGOPTIONS": "-c x=y",
        "HOME": "/h",
        "PGHOST": "",
    }
    wanted = {name: environ[name] for name in ("DATABASE_URL", "PGPASSFILE", "SNAP_REPO")}
    assert connection_variables(environ) == wanted
    path = tmp_path / "environment"
    path.write_bytes(environment_text(wanted))
    path.chmod(0o600)
    assert read_environment(Folder(path.parent), path.name) == wanted
    path.write_text("export A=1\nnonsense secret\n")
    with pytest.raises(UsageError, match="line 2") as wrong:
        read_environment(Folder(path.parent), path.name)
    assert "secret" not in str(wrong.value)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read") as caught:
        read_environment(Folder(path.parent), path.name)
    assert caught.value.hint == f"Close it: chmod 600 {path}"


def test_a_verb_tells_its_error_its_signal_and_every_line(tmp_path: Path) -> None:
    lines: list[str] = []

    def ended(script: str) -> tuple[int, str]:
        found = run_verb([sys.executable, "-c", script], {}, tmp_path, lines.append)
        return found.exit_code, found.error

    script = "import sys; print('one'); sys.exit('snap: error: no\\nHINT:  yes')"
    assert ended(script) == (1, "no")
    assert sorted(lines) == ["HINT:  yes", "one", "snap: error: no"]
    assert ended("import os; os.kill(os.getpid(), 9)") == (137, "killed by SIGKILL")
    assert ended("raise SystemExit(3)") == (3, "")
    assert ended("print('fine')") == (0, "")


def test_a_log_stays_bounded(tmp_path: Path) -> None:
    log = LogFile(Folder(tmp_path), "commit.log", bytes_max=1000)
    for number in range(100):
        log.write(f"line {number} " + "x" * 40)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["commit.log", "commit.log.1"]
    assert all(path.stat().st_size <= 1100 for path in tmp_path.iterdir())
    assert "line 99" in "".join(path.read_text() for path in tmp_path.iterdir())
    assert (tmp_path / "commit.log").stat().st_mode & 0o777 == 0o600
