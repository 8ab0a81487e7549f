"""What `snap schedule show` and `snap doctor` say of a schedule that somebody changed by hand."""

from __future__ import annotations

import os
from pathlib import Path

from pgsnap.schedulers.crontab import active_jobs
from support.running.commandline import CommandLine

CRONTAB = """#!/bin/sh
case "$1" in
-l) cat "{file}" ;;
-) cat > "{file}" ;;
esac
"""


def test_a_job_that_was_taken_out_of_the_crontab_by_hand_is_told_of(
    snap: CommandLine, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    table.write_text("# mine\n")
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(CRONTAB.format(file=table))
    program.chmod(0o755)
    snap.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    snap.ok("init")
    install = ("schedule", "install", "--with", "cron", "--commit", "0 2 * * *", "--gc", "@weekly")
    snap.ok(*install)
    shown = snap.ok("schedule", "show", "--json").json
    assert [(one["job"], one["active"]) for one in shown] == [("commit", True), ("gc", True)]
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(f"# {line}" if " run commit " in line else line for line in lines))
    assert active_jobs(table.read_bytes(), snap.work / "snap.toml") == {"gc"}
    said = snap.ok("schedule", "show").out.splitlines()
    assert "NOT ACTIVE: cron does not have it" in said[0]
    assert "NOT ACTIVE" not in said[1]
    step = next(one for one in snap("doctor", "--json").json["steps"] if one["name"] == "schedule")
    assert (step["health"], step["text"]) == ("red", "cron does not have them any more: commit")
    assert '--commit "0 2 * * *" --gc "0 0 * * 0"' in step["next"]
    program.unlink()
    shown = snap.ok("schedule", "show", "--json").json
    assert [one["active"] for one in shown] == [False, False]
