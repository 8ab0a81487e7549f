"""snap doctor: what is missing is named in the order in which it is to be mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.services.commands import own_service
from pgsnap.services.state import StateFile
from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

FULL = """
[retention]
last = 3
[alerts]
ping_url_file = "ping-url"
"""


@pytest.fixture
def snap_home(snap: CommandLine) -> CommandLine:
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    return snap


def test_from_nothing_to_a_set_up_that_works(snap_home: CommandLine, database: Database) -> None:
    snap = snap_home
    snap.setenv("DATABASE_URL", database.dsn)
    first = snap("doctor")
    assert first.code == 4
    assert "1. Run `snap init`" in first.out or "snap init" in first.out.partition("1.")[2]
    snap.ok("init")
    unreached = snap("doctor", "--dsn", "postgresql://nobody@/x?host=/nowhere").out
    # A commit comes after the server that it reads.
    assert "host=/FOLDER" in unreached.partition("1.")[2].splitlines()[0]
    assert "snap commit" in unreached.partition("2.")[2].splitlines()[0]
    second = snap("doctor")
    assert second.code == 4
    assert 'snap commit -m "first snapshot"' in second.out.partition("1.")[2].splitlines()[0]
    database.psql("CREATE TABLE t (a int)")
    snap.ok("commit", "-m", "first")
    (snap.work / "snap.toml").write_text(FULL)
    unheard = snap("doctor")
    assert unheard.code == 4
    why = 'cannot read the file that "ping_url_file" of [alerts] names: No such file'
    assert why in unheard.out
    (snap.work / "ping-url").write_text("https://ping.example/uuid")
    done = snap.ok("doctor", "--json").json
    health = {step["name"]: step["health"] for step in done["steps"]}
    assert done["healthy"]
    ill = [name for name, value in health.items() if value != "ok"]
    assert ill == ["drill", "remotes", "schedule"]
    assert (
        documentation.field_names(done)
        == documentation.fields(documentation.section("snap doctor"))[0]
    )
    snap.ok("restore", "latest", "--yes", "--no-safety-snapshot")
    (snap.work / "database" / "backups").chmod(0o755)
    found = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert found["access"]["health"] == "red"
    assert found["access"]["next"].startswith("Close it: chmod ")
    assert found["kept"]["next"].endswith("snap undo --discard")


def test_rights_that_are_missing_are_named_with_the_grant(
    snap_home: CommandLine, database: Database
) -> None:
    snap = snap_home
    role = f"plain_{database.name}"
    database.psql(f"CREATE TABLE secret (a int); CREATE ROLE {role} LOGIN")
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    found = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert found["backup rights"]["health"] == "red"
    assert "secret" in found["backup rights"]["text"]
    assert "GRANT pg_read_all_data" in found["backup rights"]["next"]
    assert found["restore rights"]["health"] == "warning"
    database.psql(f"DROP ROLE {role}")
    snap.setenv("DATABASE_URL", "postgresql://nobody@/x?host=/nowhere")
    gone = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert gone["server"]["health"] == "red"


def test_how_changes_are_found_is_said_by_init_and_doctor(
    snap_home: CommandLine, database: Database
) -> None:
    snap = snap_home
    role = f"plain_{database.name}"
    database.psql(f"CREATE ROLE {role} LOGIN")
    assert snap.ok("init", "unnamed", "--json").json["changes"] is None
    # Where it is not used: only what would be better.
    snap.setenv("DATABASE_URL", database.dsn)
    better = 'commits read everything; with source = "direct" only what changed, by'
    assert better in snap.ok("init", "unused").out.replace(";\n", "; ")
    steps = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert better in steps["changes"]["text"]
    config = snap.work / "snap.toml"
    config.write_text(f'source = "direct"\n{config.read_text()}')
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    made = snap.ok("init", "plain", "--json").json["changes"]
    assert made["way"] is None
    assert made["reason"] == f"the role {role} may not run CHECKPOINT"
    steps = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert steps["changes"]["health"] == "warning"
    assert steps["changes"]["next"] == f"Allow it: {made['better']}"
    # As a superuser, and on the server's host.
    snap.setenv("DATABASE_URL", database.dsn)
    assert "commits read only what changed, by the pages" in snap.ok("init", "super").out
    steps = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert steps["changes"]["health"] == "ok"
    if database.cluster.major >= 17:
        assert "ALTER SYSTEM SET summarize_wal = on" in steps["changes"]["text"]
    before = config.read_text()
    config.write_text(f"checkpoint = false\n{before}")
    assert snap.ok("init", "quiet", "--json").json["changes"]["way"] is None
    steps = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert "checkpoint = false in snap.toml" in steps["changes"]["text"]
    config.write_text(before)
    snap.setenv("DATABASE_URL", "postgresql://nobody@/x?host=/nowhere")
    assert snap.ok("init", "unreached", "--json").json["changes"] is None
    database.psql(f"DROP ROLE {role}")


def test_a_lock_that_nobody_gives_back_is_told_and_not_waited_for(snap_home: CommandLine) -> None:
    snap = snap_home
    snap.ok("init")
    path = snap.work / "database" / "backups"

    def lock_step() -> tuple[str, str]:
        steps = snap("doctor", "--lock-timeout", "0s", "--json").json["steps"]
        (found,) = [step for step in steps if step["name"] == "lock"]
        return found["health"], found["next"]

    with Repository.open(path, alone=True):
        assert lock_step() == ("warning", "Wait for it, then again: snap doctor")
        since = datetime.now(UTC) - timedelta(hours=7)
        (path / "lock").write_text(json.dumps({"host": "h", "pid": 1, "since": since.isoformat()}))
        health, advice = lock_step()
        assert health == "red"
        assert advice.endswith(f"fuser -v {path / 'lock'}")


def test_services_left_stopped_are_red_until_they_are_started(snap_home: CommandLine) -> None:
    snap = snap_home
    values = {"stop": "false", "start": "touch started"}
    state = StateFile(snap.folder / "state" / "pgsnap" / "services")
    state.write([own_service("app", values, snap.work, 1.0)])
    del state
    found = [s for s in snap("doctor", "--json").json["steps"] if s["name"] == "services"]
    assert [(s["health"], s["next"]) for s in found] == [
        ("red", "Start them: snap doctor --start-services")
    ]
    snap.ok("init")
    assert "left stopped: app" in snap("check", "--no-connect").out
    started = snap.ok("doctor", "--start-services", "--json").json
    assert [one["name"] for one in started["services"]] == ["app"]
    assert (snap.work / "started").exists()
    assert "no service was left stopped" in snap.ok("doctor", "--start-services").out
