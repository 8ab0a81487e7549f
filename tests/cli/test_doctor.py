"""snap doctor: what is missing is named in the order in which it is to be mended."""

from __future__ import annotations

import pytest

from pgsnap.services.commands import own_service
from pgsnap.services.state import StateFile
from support import documentation
from support.commandline import CommandLine
from support.databases import Database

FULL = """
[retention]
last = 3
[alerts]
on = ["failure"]
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
    second = snap("doctor")
    assert second.code == 4
    assert 'snap commit -m "first snapshot"' in second.out.partition("1.")[2].splitlines()[0]
    database.psql("CREATE TABLE t (a int)")
    snap.ok("commit", "-m", "first")
    (snap.work / "snap.toml").write_text(FULL)
    done = snap.ok("doctor", "--json").json
    health = {step["name"]: step["health"] for step in done["steps"]}
    assert done["healthy"]
    assert [name for name, value in health.items() if value != "ok"] == ["drill", "schedule"]
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
