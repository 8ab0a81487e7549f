"""`snap schedule`: what it installs, and what a run of it does."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import psycopg
import pytest

from pgsnap.schedulers.state import State
from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name
from support.servers.listener import Listener

# A crontab of its own, so that no test touches that of the user.
CRONTAB = """#!/bin/sh
file="{file}"
case "$1" in
-l) [ -f "$file" ] || {{ echo "no crontab for me" >&2; exit 1; }}; cat "$file" ;;
-r) rm -f "$file" ;;
-) cat > "$file" ;;
esac
"""


@pytest.fixture
def crontab(snap: CommandLine, tmp_path: Path) -> Path:
    """The file that a `crontab` of this test's own keeps."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "crontab"
    program.write_text(CRONTAB.format(file=tmp_path / "table"))
    program.chmod(0o755)
    snap.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "table"


def test_a_schedule_is_installed_shown_and_removed_beside_other_lines(
    snap: CommandLine, crontab: Path
) -> None:
    snap.ok("init")
    crontab.write_bytes(b"0 5 * * * mine # \xff\n")
    snap.setenv("DATABASE_URL", "postgresql://me:s3cret@host/shop")
    install = ("schedule", "install", "--with", "cron", "--commit", "0 2 * * *", "--gc", "@weekly")
    preview = snap.ok(*install, "--dry-run")
    assert crontab.read_bytes() == b"0 5 * * * mine # \xff\n"
    done = snap.ok(*install, "--json").json
    assert [job["when"] for job in done["jobs"]] == ["0 2 * * *", "0 0 * * 0"]
    assert preview.out.encode() in crontab.read_bytes()
    snap.ok(*install)
    table = crontab.read_bytes()
    assert table.startswith(b"0 5 * * * mine # \xff\n")
    assert table.count(b"schedule run commit") == 1
    assert b"s3cret" not in table
    environment = Path(done["environment"])
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    assert "DATABASE_URL=postgresql://me:s3cret@host/shop\n" in environment.read_text()
    shown = snap.ok("schedule", "show", "--json").json
    assert [(job["job"], job["exit_code"]) for job in shown] == [("commit", None), ("gc", None)]
    removed = snap.ok("schedule", "remove", "--json").json
    assert removed["removed"] == ["commit", "gc"]
    assert crontab.read_bytes() == b"0 5 * * * mine # \xff\n"
    assert snap.ok("schedule", "remove").out == ""
    fields = documentation.fields(documentation.section("snap schedule"))
    assert [documentation.field_names(one) for one in (done, shown, removed)] == fields


def test_times_come_from_snap_toml_and_what_cannot_be_scheduled_is_refused(
    snap: CommandLine, crontab: Path
) -> None:
    assert "snap init" in snap("schedule", "install", "--commit", "@daily", "--json").error["hint"]
    snap.ok("init")
    assert "[schedule]" in snap("schedule", "install", "--json").error["hint"]
    wrong = snap("schedule", "install", "--commit", "0 25 * * *", "--json")
    assert (wrong.code, wrong.error["message"]) == (2, '--commit: "25" is no hour')
    secret = snap("schedule", "install", "--commit", "@daily", "--dsn", "password=x", "--json")
    assert "cannot be scheduled" in secret.error["message"]
    (snap.work / "snap.toml").write_text('[schedule]\nverify = "@monthly"\nscheduler = "cron"\n')
    snap.ok("schedule", "install")
    assert b"0 0 1 * * " in crontab.read_bytes()
    assert b"--on-overlap" not in crontab.read_bytes()
    (snap.work / "snap.toml").write_text('[schedule]\nverify = "@monthly"\non_overlap = "wait"\n')
    snap.ok("schedule", "install", "--with", "cron", "--on-overlap", "skip")
    # Else snap.toml would hold.
    assert b"--on-overlap skip" in crontab.read_bytes()
    every = ("schedule", "install", "--with", "cron", "--commit", "@daily", "--all-databases")
    assert "write all_databases = true below [schedule]" in snap.ok(*every).err
    assert b"--all-databases" in crontab.read_bytes()
    for words in (("stop",), ("run",), ("run", "log"), ("show", "commit")):
        assert snap("schedule", *words).code == 2


def test_a_run_commits_leaves_its_record_pings_and_writes_metrics(
    snap: CommandLine, sample_database: Database
) -> None:
    snap.ok("init")
    with Listener() as listener:
        metrics = snap.folder / "snap.prom"
        (snap.work / "snap.toml").write_text(
            f'dsn = "{sample_database.dsn}"\n[alerts]\nping_url = "{listener.url("/uuid")}"\n'
            f'webhook = "{listener.url("/hook")}"\nmetrics_file = "{metrics}"\n'
        )
        snap.ok("schedule", "run", "commit")
        sample_database.psql("DROP SCHEMA public CASCADE")
        (snap.work / "snap.toml").write_text(
            (snap.work / "snap.toml").read_text().replace(sample_database.name, "no_such_base")
        )
        failed = snap("schedule", "run", "commit", "--log")
    assert (failed.code, failed.err) == (30, "")
    log = snap.work / ".snap" / "snap" / "commit.log"
    assert "no_such_base" in log.read_text()
    paths = [one.path for one in listener.requests]
    assert paths == ["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail", "/hook"]
    assert b"exit code: 30" in listener.requests[3].body
    assert b"no_such_base" in listener.requests[3].body
    text = metrics.read_text()
    assert 'snap_job_last_exit_code{job="commit"} 30\n' in text
    assert 'snap_job_last_success_timestamp_seconds{job="commit"} ' in text
    assert f'snap_snapshots{{database="{sample_database.name}"}} 1\n' in text
    assert "snap_repository_bytes " in text
    [entry] = snap.ok("log", "--json").json
    assert entry["message"] == "scheduled"


def test_every_database_is_committed_though_one_fails(
    snap: CommandLine, own_cluster_database: Database
) -> None:
    cluster = own_cluster_database.cluster
    names = [own_cluster_database.name, new_name(), new_name("a shop's")]
    for name in (*names[1:], "shop__snap_0123456789"):
        cluster.create_database(name)
    cluster.psql("CREATE TABLE t (x int)", names[1])
    snap.ok("init")
    (snap.work / "snap.toml").write_text(
        f'dsn = "{own_cluster_database.dsn}"\nlock_wait_timeout = "100ms"\n'
        "[schedule]\nall_databases = true\n"
    )
    with psycopg.connect(cluster.dsn(names[1])) as session:
        session.execute("LOCK t")
        done = snap("schedule", "run", "commit")
    assert done.code == 30
    recorded = {entry["database"] for entry in snap.ok("log", "--json").json}
    assert recorded == {"postgres", names[0], names[2]}
    record = State(snap.work / "snap.toml").last_run("commit")
    assert record is not None
    assert record.error.startswith(f"{names[1]}: ")


def test_a_run_is_skipped_while_the_one_before_goes_on(snap: CommandLine) -> None:
    snap.ok("init")
    with State(snap.work / "snap.toml").alone("gc", wait_seconds=0):
        skipped = snap("schedule", "run", "gc")
        assert (skipped.code, "skipped: the gc before it goes on" in skipped.err) == (0, True)
        assert State(snap.work / "snap.toml").last_run("gc") is None
    snap.ok("schedule", "run", "gc", "--on-overlap", "wait")
    assert snap.ok("audit", "--json").json[-1]["command"] == "gc"


def test_a_run_that_is_stopped_ends_its_verb_and_raises_the_alarm(
    snap: CommandLine, database: Database
) -> None:
    database.psql("CREATE TABLE t (x int)")
    snap.ok("init")
    state = State(snap.work / "snap.toml")
    with Listener() as listener, psycopg.connect(database.dsn) as session:
        (snap.work / "snap.toml").write_text(
            f'dsn = "{database.dsn}"\n[alerts]\nping_url = "{listener.url("/uuid")}"\n'
        )
        # pg_dump waits for this lock, so that the run goes on until it is stopped.
        session.execute("LOCK t")
        run = snap.popen("schedule", "run", "commit")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        deadline = time.monotonic() + 60
        while database.psql(waiting).strip() == "0":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert state.is_running("commit")
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 130, err
        assert database.psql(waiting).strip() == "0"
    record = state.last_run("commit")
    assert record is not None
    assert (record.exit_code, record.last_success) == (130, None)
    assert [one.path for one in listener.requests] == ["/uuid/start", "/uuid/fail"]
    assert snap.ok("log", "--json").json == []
