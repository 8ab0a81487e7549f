"""`snap drill` as users and monitors see it: exit codes, the report, the marks in log and show."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import time
from pathlib import Path

from pgsnap.workflows.notes.verdicts import DRILL_NOTE_BYTES_MIN
from support.documents import documentation
from support.restoring.clients import databases_like
from support.restoring.drilling import MISCHIEF
from support.running.commandline import CommandLine
from support.servers.databases import Database

CHECKS = Path(__file__).resolve().parents[2] / "database" / "checks"
REPORT = "rollback-test-report.json"


def test_a_drill_that_passes_says_so_everywhere(snap: CommandLine, database: Database) -> None:
    database.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first")
    shutil.copytree(CHECKS, snap.work / "database" / "checks")
    (snap.work / "docs").mkdir()
    (snap.work / "docs" / "rollback.md").write_text("    snap restore latest --yes --repo x\n")
    assert snap.ok("log", "--json").json[0]["drilled"] is None
    done = snap.ok("drill")
    assert done.out.count("passed   ") == 14
    assert "14 passed, 0 failed, 0 skipped" in done.out
    assert "time to recover: " in done.out
    path = snap.work / REPORT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    report = json.loads(path.read_text())
    assert report["schema_version"] == 1
    assert report["passed"] is True
    assert snap.ok("log").out.count("drilled just now") == 1
    assert "[drilled just now] first" in snap.ok("log", "--oneline").out
    assert "drilled just now" in snap.ok("show", "latest").out
    logged = snap.ok("log", "--json").json[0]
    assert (logged["drill_passed"], bool(logged["drilled"])) == (True, True)
    # `snap log` tells the notes of drills by their size: it does not read those of verify.
    sizes = [
        path.stat().st_size for path in (snap.work / "database/backups/notes/verdict").iterdir()
    ]
    assert sorted(size >= DRILL_NOTE_BYTES_MIN for size in sizes) == [False, True]


def test_a_drill_that_fails_ends_with_65_and_both_reports_are_as_documented(
    snap: CommandLine, database: Database
) -> None:
    change = "UPDATE public.account SET amount = 0 WHERE id = 7"
    database.psql(MISCHIEF.format(what=change).replace("%%", "%"))
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "v1")
    (snap.work / "snap.toml").write_text('runbook = "runbook.md"\n')
    (snap.work / "runbook.md").write_text("    snap restore latest --now\n")
    out = snap.work / "report.json"
    done = snap("drill", "v1", "--json", "--report", str(out))
    assert done.code == 65
    assert done.error["kind"] == "drill-failed"
    assert done.error["message"] == "2 checks failed: contents, documentation"
    assert "public.account" in done.error["detail"]
    assert json.loads(out.read_text()) == done.json
    assert [documentation.field_names(done.json)] == documentation.fields(
        documentation.section("snap drill")
    )
    (row,) = done.json["tables"][0]["rows"]
    assert row["key"] == [{"column": "id", "value": "7"}]
    assert (row["change"], row["columns"], row["text"]) == ("changed", ["amount"], "")
    reasons = {check["name"]: check["reason"] for check in done.json["checks"]}
    assert "snap restore has no option --now" in reasons["documentation"]
    assert "drill FAILED just now" in snap.ok("log").out
    assert not (snap.work / REPORT).exists()


def test_a_throw_away_cluster_is_made_for_the_command_and_is_gone_after_it(
    snap: CommandLine, database: Database
) -> None:
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)")
    snap.ok("init", "--dsn", database.dsn)
    snap.ok("commit", "-m", "first", "--dsn", database.dsn)
    snap.setenv("SNAP_PG_BINDIR", str(database.cluster.binaries.bindir))
    snap.setenv("TMPDIR", str(snap.work))
    # There is no server any more.
    done = snap.ok("drill", "--throw-away", "--json", "--dsn", "host=127.0.0.1 port=1 dbname=gone")
    status = {check["name"]: check["status"] for check in done.json["checks"]}
    assert done.json["place"] == "throw-away"
    assert done.json["recovery_rows"] == 2
    assert (status["contents"], status["commit"]) == ("passed", "skipped")
    assert not list(snap.work.glob("pgsnap-cluster-*"))


def test_a_drill_that_is_stopped_drops_what_it_made(snap: CommandLine, database: Database) -> None:
    database.psql(MISCHIEF.format(what="PERFORM pg_catalog.pg_sleep(60)").replace("%%", "%"))
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first")
    child = snap.popen("drill")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    deadline = time.monotonic() + 60
    while database.psql(busy) == "0":
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert databases_like(database, "%\\_\\_snap\\_%") == []
    assert snap.ok("log", "--json").json[0]["drilled"] is None


def test_what_cannot_be_is_told_before_the_drill(snap: CommandLine, tmp_path: Path) -> None:
    snap.ok("init")
    for option, name in (("--report", "no/such/report.json"), ("--checks", "nowhere")):
        done = snap("drill", option, name)
        assert done.code == 2
        assert name.rpartition("/")[2] in done.err
    assert snap("drill").code == 20
