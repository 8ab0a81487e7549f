"""`snap check`: what is red, what it says, and whom it tells."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pgsnap.model import Note
from pgsnap.repository.repository import Repository
from pgsnap.schedulers.state import Installed, RunRecord, State
from pgsnap.workflows.notes.verdicts import Proof, last_drill, proofs
from support.documents import documentation
from support.repositories.made import record
from support.running.commandline import CommandLine
from support.running.cron import Cron
from support.servers.databases import Database
from support.servers.listener import Listener

NOW = datetime.now(UTC)
# As many as a drill has: it is known by the size of its note.
CHECKS = {f"check number {n}": "passed" for n in range(15)}


@pytest.fixture
def repository(snap: CommandLine) -> Path:
    """A repository with a fresh snapshot of "shop"."""
    snap.ok("init")
    path = snap.work / "database" / "backups"
    with Repository.open(path) as repo:
        record(repo, at=NOW - timedelta(hours=3))
    return path


def verdict(path: Path, at: datetime, **body: object) -> None:
    with Repository.open(path) as repo:
        repo.add_note(Note("verdict", "shop", at, repo.newest("shop")[0], dict(body)))


def test_a_young_snapshot_is_green_and_an_old_or_missing_one_red(
    snap: CommandLine, repository: Path
) -> None:
    done = snap.ok("check")
    assert done.out.startswith("warning: shop never had a drill")
    verdict(repository, NOW, by="drill", passed=True)
    assert snap.ok("check").out.startswith("ok: the newest snapshot of shop is 3 h old; ")
    old = snap("check", "--max-age", "2h")
    assert (old.code, old.err) == (4, "")
    assert old.out == "red: the newest snapshot of shop is 3 h old (more than 2 h)\n"
    assert "other has no snapshot" in snap("check", "--database", "other").out
    # Of several databases each counts.
    with Repository.open(repository) as repo:
        record(repo, database="old", at=NOW - timedelta(days=9))
    assert "newest snapshot of old is 9 d old" in snap("check").out
    assert snap("check", "--database", "shop").code == 0


def test_a_safety_snapshot_hides_no_missing_backup(snap: CommandLine, repository: Path) -> None:
    with Repository.open(repository) as repo:
        record(repo, at=NOW, tags=["before-restore/20260101T000000Z-1"])
        record(repo, database="other", at=NOW, tags=["before-undo/20260101T000000Z-1"])
    assert "newest snapshot of shop is 3 h old" in snap("check", "--max-age", "2h").out
    assert "other has no snapshot" in snap("check").out
    assert "no snapshot of other counts" in snap("doctor").out


def test_a_snapshot_of_the_future_hides_no_missing_backup(
    snap: CommandLine, repository: Path
) -> None:
    with Repository.open(repository) as repo:
        record(repo, at=NOW + timedelta(days=300))
    done = snap("check", "--max-age", "2h")
    assert done.code == 4
    assert "is 3 h old" in done.out
    assert "ahead" in done.out


def test_a_verdict_of_a_clock_that_was_ahead_hides_no_later_one(
    snap: CommandLine, repository: Path
) -> None:
    late = NOW + timedelta(days=3000)
    verdict(repository, late, by="drill", passed=True, checks=CHECKS)
    verdict(repository, late, by="verify", data=True, findings=0)
    # How old that drill is nobody knows.
    assert snap("check", "--max-drill-age", "35d").code == 4
    verdict(repository, NOW - timedelta(hours=2), by="drill", passed=False, checks=CHECKS)
    verdict(repository, NOW - timedelta(hours=1), by="verify", data=True, findings=1)
    done = snap("check")
    assert "the last drill of shop failed" in done.out
    assert "verify found damage in snapshot " in done.out
    assert "drill failed" in snap.ok("log", "-n", "1").out.lower()
    with Repository.open(repository) as repo:
        (snapshot,) = repo.newest("shop")
        assert proofs(repo)[snapshot] == Proof.NONE
        last = last_drill(repo, [snapshot])
    assert last is not None
    assert not last.passed


def test_drills_and_verifications_that_failed_or_are_old_are_red(
    snap: CommandLine, repository: Path
) -> None:
    assert snap("check", "--max-drill-age", "35d").code == 4
    verdict(repository, NOW - timedelta(days=40), by="drill", passed=True)
    assert "(more than 35 d)" in snap("check").out
    assert snap("check", "--max-drill-age", "60d").code == 0
    verdict(repository, NOW - timedelta(hours=2), by="drill", passed=False)
    assert "the last drill of shop failed" in snap("check").out
    verdict(repository, NOW - timedelta(hours=1), by="drill", passed=True)
    verdict(repository, NOW, by="verify", data=True, findings=2)
    done = snap("check")
    assert done.code == 4
    assert "verify found damage in snapshot " in done.out
    with Repository.open(repository) as repo:
        record(repo, at=NOW - timedelta(hours=2))
    verdict(repository, NOW, by="verify", data=True, findings=1)
    assert "verify found damage in 2 snapshots of shop: snap repair" in snap("check").out
    doctor = snap("doctor", "--json")
    assert doctor.code == 4
    steps = {step["text"]: step for step in doctor.json["steps"]}
    found = steps["verify found damage in 2 snapshots of shop"]
    assert found["health"] == "red"
    assert found["next"].endswith("snap repair")
    verdict(repository, NOW + timedelta(seconds=1), by="verify", data=True, findings=0)
    assert "verify found damage in snapshot " in snap("check").out
    with Repository.open(repository) as repo:
        repo.forget(repo.newest("shop")[0], by="test", reason="")
    verdict(repository, NOW + timedelta(seconds=1), by="verify", data=True, findings=0)
    found = snap.ok("check", "--json").json
    assert found["databases"][0]["drill_passed"] is True
    assert found["databases"][0]["verified"] is not None


def test_marks_of_damage_and_a_repository_that_is_gone_are_red(
    snap: CommandLine, repository: Path
) -> None:
    with Repository.open(repository) as repo:
        repo.catch_up_packs()
        pack = next(iter(repo.index.packs()))
        repo.index.mark_damaged(pack, [8], readable=False)
    assert "1 stored chunk is marked as damaged" in snap("check").out
    gone = snap("check", "--repo", "nothing")
    assert gone.code == 4
    assert "the repository cannot be opened" in gone.out


def test_a_folder_that_others_may_enter_is_told_with_what_closes_it(
    snap: CommandLine, repository: Path
) -> None:
    repository.chmod(0o755)
    assert f"chmod -R go= {repository}" in snap.ok("check").out
    assert f"chmod -R go= {repository}" in snap.ok("log").err
    repository.chmod(0o700)
    assert "chmod" not in snap.ok("log").err


def test_scheduled_runs_that_failed_died_or_did_not_come_are_red(
    snap: CommandLine, repository: Path, cron: Cron
) -> None:
    state = State(snap.work / "snap.toml")
    long_ago = (NOW - timedelta(days=3)).isoformat()

    def ran(hours: float, code: int | None) -> None:
        started = (NOW - timedelta(hours=hours)).isoformat()
        state.record(RunRecord("commit", started, 1, exit_code=code, error="no such host"))

    state.set_installed([Installed("commit", "0 * * * *", NOW.isoformat(), "cron")])
    assert snap.ok("check").out.startswith("warning: shop never had a drill")
    state.set_installed([Installed("commit", "0 * * * *", long_ago, "cron")])
    assert "the scheduled commit is overdue" in snap("check").out
    ran(0.1, 30)
    failed = snap("check").out
    assert "failed with exit code 30: no such host; run it again: snap schedule run" in failed
    assert "overdue" not in failed
    ran(0.1, None)
    assert "was killed" in snap("check").out
    with state.alone("commit", wait_seconds=0):
        assert snap("check").code == 0
    ran(0.1, 0)
    assert snap("check").code == 0
    ran(5, 0)
    assert "overdue" in snap("check").out


def test_nagios_gets_its_codes_and_figures(snap: CommandLine, repository: Path) -> None:
    warned = snap("check", "--nagios")
    assert warned.code == 1
    # Three hours, and the time that other tests took since this module was read.
    line = r"SNAP WARNING - shop never had a drill \| 'age shop'=1[0-4]\d{3}s "
    assert re.match(line, warned.out)
    red = snap("check", "--nagios", "--max-age", "1h")
    assert (red.code, red.out.count("\n")) == (2, 1)
    (snap.work / "snap.toml").write_text("nonsense = 1\n")
    unknown = snap("check", "--nagios")
    assert unknown.code == 3
    assert unknown.out.startswith('SNAP UNKNOWN - unknown key "nonsense"')


def test_json_fields_of_check_are_those_documented(
    snap: CommandLine, sample_database: Database, cron: Cron
) -> None:
    snap.setenv("DATABASE_URL", sample_database.dsn)
    snap.ok("init")
    made = snap.ok("commit", "-m", "one", "--json").json
    snap.ok("restore", made["id"], "--yes", "--no-safety-snapshot")
    url = (snap.folder / "there").as_uri()
    snap.ok("remote", "add", "offsite", url)
    snap.ok("init", url)
    snap.ok("push")
    state = State(snap.work / "snap.toml")
    state.set_installed([Installed("commit", "0 0 1 1 *", NOW.isoformat(), "cron")])
    state.record(RunRecord("commit", NOW.isoformat(), 1, exit_code=0))
    found = snap.ok("check", "--json").json
    assert [documentation.field_names(found)] == documentation.fields(
        documentation.section("snap check")
    )
    assert found["lock_waits"] == 0
    assert len(found["kept"]) == 1


def test_a_container_that_does_not_run_is_red(snap: CommandLine, repository: Path) -> None:
    (snap.work / "snap.toml").write_text('container = "gone"\n')
    done = snap("check", "--no-notify")
    assert done.code == 4
    assert done.out.startswith("red: the database server cannot be asked: ")


def test_every_database_that_a_schedule_commits_is_asked_and_must_have_a_snapshot(
    snap: CommandLine, own_cluster_database: Database
) -> None:
    cluster = own_cluster_database.cluster
    snap.ok("init")
    (snap.work / "snap.toml").write_text(
        f'dsn = "{own_cluster_database.dsn}"\n[schedule]\nall_databases = true\n'
    )
    snap.ok("schedule", "run", "commit")
    cluster.create_database("made_since")
    done = snap("check", "--json").json
    assert done["exit_code"] == 4
    assert [f["text"] for f in done["findings"] if f["level"] == "red"] == [
        "made_since has no snapshot"
    ]
    assert "3 databases answer" in [f["text"] for f in done["findings"]]
    assert done["lock_waits"] == 0
    cluster.psql("CREATE TABLE t (x int)", "made_since")
    dsn = cluster.dsn("made_since")
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        first.execute("LOCK t")
        waiter = threading.Thread(target=lambda: second.execute("LOCK t"))
        waiter.start()
        deadline = time.monotonic() + 30
        while cluster.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert snap("check", "--json").json["lock_waits"] == 1
        first.rollback()
        waiter.join()
    cluster.stop()
    dead = snap("check")
    assert dead.code == 4
    assert "the database server cannot be asked" in dead.out


def test_a_dead_database_turns_it_red_and_fires_the_webhook_once(
    snap: CommandLine, own_cluster_database: Database
) -> None:
    database = own_cluster_database
    with Listener() as listener:
        snap.ok("init")
        (snap.work / "snap.toml").write_text(
            f'dsn = "{database.dsn}"\n[alerts]\nwebhook = "{listener.url("/hook")}"\n'
        )
        snap.ok("commit", "-m", "one")
        assert f"database {database.name} answers" in str(snap.ok("check", "--json").json)
        database.cluster.stop()
        assert snap("check", "--no-notify").code == 4
        for _ in range(2):
            dead = snap("check")
            assert dead.code == 4
            assert f"database {database.name} does not answer" in dead.out
        assert snap.ok("check", "--no-connect", "--no-notify").code == 0
        database.cluster.start()
        snap.ok("check")
        snap.ok("check")
    told = [json.loads(one.body) for one in listener.requests]
    assert [one["event"] for one in told] == ["red", "recovered"]
    assert "does not answer" in told[0]["findings"][0]
