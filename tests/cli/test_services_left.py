"""What `snap doctor` does about services and a database that a restore left in a bad state."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.services.commands import own_service
from pgsnap.services.state import StateFile
from support.running.commandline import CommandLine
from support.servers.databases import Database

APP = """
[services.app]
stop = "false"
start = "{start}"
running = "test -e runs"
"""


@pytest.fixture
def left(snap: CommandLine) -> CommandLine:
    """A service was left stopped, whose start does not work."""
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    values = {"stop": "false", "start": "exit 3", "running": "test -e runs"}
    state = StateFile(snap.folder / "state" / "pgsnap" / "services")
    state.write([own_service("app", values, snap.work, 1.0)])
    (snap.work / "snap.toml").write_text(APP.format(start="exit 3"))
    return snap


def is_noted(snap: CommandLine) -> bool:
    return any(Path(snap.folder, "state").rglob("*.json"))


def test_a_service_whose_start_was_mended_in_snap_toml_is_started_so(left: CommandLine) -> None:
    failed = left("doctor", "--start-services")
    assert (failed.code, failed.out) == (1, "")
    assert "its start ended with status 3" in failed.err
    assert "snap doctor --start-services" in failed.err
    assert is_noted(left)
    (left.work / "snap.toml").write_text(APP.format(start="touch runs"))
    assert left.ok("doctor", "--start-services").out == "started app\n"
    assert not is_noted(left)


def test_a_service_that_was_started_by_hand_is_taken_note_of(left: CommandLine) -> None:
    (left.work / "runs").touch()
    left.ok("doctor", "--start-services")
    assert not is_noted(left)


def test_a_database_that_a_killed_restore_left_read_only_is_told_of(
    snap: CommandLine, database: Database
) -> None:
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    found = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert found["read-only"]["health"] == "warning"
    way = found["read-only"]["next"].partition(": ")[2]
    assert way == f'ALTER DATABASE "{database.name}" RESET default_transaction_read_only;'
    database.psql(f"SET default_transaction_read_only = off; {way}")
    assert "read-only" not in snap("doctor").out
