"""A schedule in the real cron: Debian's daemon, started by the test, runs a commit and a gc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running.installed import SNAP
from support.servers.databases import Database
from support.servers.listener import Listener

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# A minute until the next one begins, and a loaded machine's time for two runs.
WAIT_SECONDS = 150


@pytest.fixture
def cron() -> Iterator[None]:
    """The daemon, running, with the crontab of root as it was afterwards."""
    if shutil.which("cron") is None:
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        subprocess.run(["apt-get", "install", "-y", "-q", "cron"], capture_output=True, check=False)
    if shutil.which("cron") is None:
        pytest.skip("needs Debian's cron: apt-get install cron")
    before = subprocess.run(["crontab", "-l"], capture_output=True, check=False)
    # Where one runs already this one ends at once, and the other does the work.
    daemon = subprocess.Popen(["cron", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
        if before.returncode == 0:
            subprocess.run(["crontab", "-"], input=before.stdout, check=True)
        else:
            subprocess.run(["crontab", "-r"], capture_output=True, check=False)


def snap(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SNAP, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_cron_makes_a_commit_and_a_gc_and_the_ping_arrives(
    cron: None, sample_database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "it's 100% a shop"
    folder.mkdir()
    assert snap(folder, "init").returncode == 0
    with Listener() as listener:
        (folder / "snap.toml").write_text(
            f'dsn = "{sample_database.dsn}"\n'
            f'bindir = "{sample_database.cluster.binaries.bindir}"\n'
            '[schedule]\ncommit = "* * * * *"\ngc = "* * * * *"\n'
            f'[alerts]\nping_url = "{listener.url("/uuid")}"\n'
        )
        mine = subprocess.run(["crontab", "-"], input=b"# mine\n", check=True)
        assert mine.returncode == 0
        installed = snap(folder, "schedule", "install", "--with", "cron")
        assert installed.returncode == 0, installed.stderr
        twice = snap(folder, "schedule", "install", "--with", "cron")
        assert twice.returncode == 0, twice.stderr
        table = subprocess.run(["crontab", "-l"], capture_output=True, check=True).stdout
        assert table.startswith(b"# mine\n")
        assert table.count(b"schedule run") == 2
        shown = json.loads(snap(folder, "schedule", "show", "--json").stdout)
        assert [one["active"] for one in shown] == [True, True]
        _wait_for(folder, {"commit", "gc"})
        assert snap(folder, "schedule", "remove").returncode == 0
        left = subprocess.run(["crontab", "-l"], capture_output=True, check=True).stdout
        assert left == b"# mine\n"
    entries = json.loads(snap(folder, "log", "--json").stdout)
    assert {entry["message"] for entry in entries} == {"scheduled"}
    commands = {one["command"] for one in json.loads(snap(folder, "audit", "--json").stdout)}
    assert {"commit", "gc"} <= commands
    assert [one.path for one in listener.requests][:2] == ["/uuid/start", "/uuid"]
    log = (folder / ".snap" / "snap" / "commit.log").read_text()
    assert sample_database.name in log


def _wait_for(folder: Path, jobs: set[str]) -> None:
    """Wait until a run of each of *jobs* succeeded."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        shown = json.loads(snap(folder, "schedule", "show", "--json").stdout)
        done = {one["job"] for one in shown if one["exit_code"] == 0}
        if done == jobs:
            return
        logs = [path.read_text() for path in (folder / ".snap" / "snap").glob("*.log")]
        assert time.monotonic() < deadline, (shown, logs)
        time.sleep(1)
