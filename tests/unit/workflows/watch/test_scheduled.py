"""A scheduled run, with a verb and endpoints of the test's own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pgsnap.alerts.telling import Alerts, Event
from pgsnap.errors import UntrustedPath
from pgsnap.schedulers.state import State
from pgsnap.workflows.watch.scheduled import Step, run_job
from support.servers.listener import Listener


def run(folder: Path, alerts: Alerts, script: str) -> tuple[int, list[str]]:
    said: list[str] = []
    code = run_job(
        "commit",
        lambda: [Step(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"})],
        state=State(folder / "snap.toml"),
        folder=folder,
        alerts=alerts,
        on_overlap="skip",
        say=said.append,
        measure=lambda: None,
    )
    return code, said


def test_the_work_waits_for_nobody_who_hears_that_it_begins(tmp_path: Path) -> None:
    marker = tmp_path / "done"
    seen = []

    def wait_for_the_work() -> None:
        for _ in range(400):
            if marker.exists():
                break
            time.sleep(0.01)
        seen.append(marker.exists())

    with Listener(before=wait_for_the_work) as listener:
        alerts = Alerts(ping_urls={"commit": listener.url("/ping")})
        assert run(tmp_path, alerts, f"touch {marker}") == (0, [])
    assert seen[0]
    # The beginning is told before the end all the same.
    assert [one.path for one in listener.requests] == ["/ping/start", "/ping"]


def test_the_start_reaches_the_webhook_where_it_is_wanted(tmp_path: Path) -> None:
    with Listener() as listener:
        alerts = Alerts(webhook=listener.url("/hook"), events=(Event.START, Event.FAILURE))
        code, _ = run(tmp_path, alerts, "exit 30")
        wanted = [json.loads(one.body)["event"] for one in listener.requests]
        run(tmp_path, Alerts(webhook=listener.url("/hook")), "exit 0")
    assert code == 30
    assert wanted == ["start", "failure"]
    assert len(listener.requests) == 2


def test_a_warning_about_the_start_is_said(tmp_path: Path) -> None:
    with Listener([404, 404]) as listener:
        alerts = Alerts(ping_urls={"commit": listener.url("/ping")})
        _, said = run(tmp_path, alerts, "exit 0")
    assert said == ["snap: warning: the ping to 127.0.0.1 failed: the answer was 404"] * 2


def test_a_run_whose_record_has_no_place_does_its_work_and_alerts(tmp_path: Path) -> None:
    # As on a full disk: nothing can be made where the records are kept.
    (tmp_path / ".snap").write_text("")
    with Listener() as listener:
        alerts = Alerts(ping_urls={"commit": listener.url("/ping")})
        code, said = run(tmp_path, alerts, "exit 30")
    assert code == 30
    assert said[0].startswith("snap: warning: cannot write to")
    assert "overlap" in said[0]
    assert [one.path for one in listener.requests] == ["/ping/start", "/ping/fail"]


def test_a_run_that_files_of_others_forbid_is_told(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".snap").symlink_to("elsewhere")
    with Listener() as listener:
        alerts = Alerts(webhook=listener.url("/hook"))
        with pytest.raises(UntrustedPath):
            run(tmp_path, alerts, f"touch {tmp_path}/done")
        (sent,) = [json.loads(one.body) for one in listener.requests]
    assert not (tmp_path / "done").exists()
    assert (sent["event"], sent["exit_code"]) == ("failure", 10)
    assert "is a symbolic link" in sent["error"]
