"""Timers and units in a real systemd, booted by the test: runs happen, services stop and start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.running.commandline import SOURCE
from support.running.installed import SNAP
from support.servers.booted import SYSTEMD, UNITS, CannotBoot, Systemd
from support.servers.databases import Database

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

WAIT_SECONDS = 120
STAMPS = "/var/lib/systemd/timers"


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """A running system, which the tests of this file share."""
    if not SYSTEMD.exists() and shutil.which("apt-get") is not None:
        subprocess.run(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q",
             "--no-install-recommends", "systemd"],
            check=False, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if not SYSTEMD.exists():
        pytest.skip("needs systemd: apt-get install systemd")
    try:
        booted = Systemd(tmp_path_factory.mktemp("systemd") / "console")
    except CannotBoot as error:
        pytest.skip(f"needs a kernel that lets systemd run in namespaces: {error}")
    yield booted
    booted.close()


class Shop:
    """A folder with a snap.toml, in which the booted system runs snap."""

    def __init__(
        self,
        systemd: Systemd,
        folder: Path,
        database: Database,
        settings: str,
        user: int = 0,
        **environ: str,
    ) -> None:
        self.systemd = systemd
        self.folder = folder
        self.user = user
        self.environ = {"HOME": str(folder), "DATABASE_URL": database.tcp_dsn, **environ}
        self.ok("init")
        bindir = database.cluster.binaries.bindir
        (folder / "snap.toml").write_text(f'bindir = "{bindir}"\n{settings}')

    def run(self, *arguments: str) -> str:
        """Run a program, which must succeed, as the owner of the shop; return its output."""
        inside = ("env", f"--chdir={self.folder}", *arguments)
        return self.systemd.ok(*inside, environ=self.environ, user=self.user)

    def ok(self, *arguments: str) -> str:
        return self.run(str(SNAP), *arguments)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def systemctl(self, *arguments: str) -> str:
        return self.run("systemctl", *(["--user"] if self.user else []), *arguments)

    def timers(self) -> dict[str, str]:
        """Return the timers that systemd knows, by their jobs."""
        listed = json.loads(self.systemctl("list-timers", "--all", "--output=json", "pgsnap-*"))
        found = (str(one["unit"]) for one in listed)
        return {name.rpartition("-")[2].removesuffix(".timer"): name for name in found}


def check_a_schedule(shop: Shop, database: Database, units: Path, stamps: Path) -> str:
    """Install, see that runs which were missed are made up for, and remove; return the name of
    the unit that made the commit."""
    assert shop.json("schedule", "install")["scheduler"] == "systemd"
    timers = shop.timers()
    assert timers.keys() == {"commit", "gc"}
    next_commit = shop.systemctl("show", "--property=NextElapseUSecRealtime", timers["commit"])
    assert "-01-01 02:30:00" in next_commit
    shown = shop.json("schedule", "show")
    assert [(one["job"], one["active"], one["exit_code"]) for one in shown] == [
        ("commit", True, None),
        ("gc", True, None),
    ]
    written = [path for path in units.glob("pgsnap-*") if path.is_file()]
    assert len(written) == 4
    assert all(database.name not in path.read_text() for path in written)
    for timer in timers.values():
        assert shop.systemctl("is-enabled", timer) == "enabled\n"
        # As if the machine had been off since then.
        shop.systemctl("stop", timer)
        shop.run("touch", "--date=2 years ago", str(stamps / f"stamp-{timer}"))
    assert [one["active"] for one in shop.json("schedule", "show")] == [False, False]
    shop.systemctl("start", *timers.values())
    deadline = time.monotonic() + WAIT_SECONDS
    while [one["exit_code"] for one in shop.json("schedule", "show")] != [0, 0]:
        assert time.monotonic() < deadline, shop.systemd.ok("journalctl", "--no-pager")
        time.sleep(0.2)
    assert [entry["message"] for entry in shop.json("log")] == ["scheduled"]
    assert shop.json("schedule", "remove")["removed"] == ["commit", "gc"]
    assert shop.timers() == {}
    assert shop.json("schedule", "show") == []
    assert not list(units.glob("pgsnap-*"))
    return timers["commit"].replace(".timer", ".service")


SCHEDULE = '[schedule]\ncommit = "30 2 1 1 *"\ngc = "0 4 * * 0"\n'


def test_timers_of_the_system_make_a_commit_and_a_gc(
    systemd: Systemd, sample_database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "it's 100% a shop"
    folder.mkdir()
    shop = Shop(systemd, folder, sample_database, SCHEDULE)
    stamps = Path("/var/lib/systemd/timers")
    unit = check_a_schedule(shop, sample_database, systemd.path(UNITS), stamps)
    assert sample_database.name in systemd.journal(unit)


def test_timers_of_a_user_make_a_commit_and_a_gc(
    systemd: Systemd, sample_database: Database
) -> None:
    for path in (SNAP, Path(sys.base_prefix) / "bin", SOURCE / "pgsnap"):
        systemd.let_all_enter(path)
    user = 1
    # Not in pytest's own folder: only root may enter that.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        home = Path(name)
        os.chown(home, user, user)
        environ = systemd.start_user_manager(user, home)
        shop = Shop(systemd, home, sample_database, SCHEDULE, user, **environ)
        units, stamps = home / ".config/systemd/user", home / ".local/share/systemd/timers"
        check_a_schedule(shop, sample_database, units, stamps)
        systemd.ok("systemctl", "stop", "user-manager.service")


def test_a_unit_is_stopped_for_the_swap_and_runs_after_it_and_after_a_kill(
    systemd: Systemd, database: Database, tmp_path: Path
) -> None:
    folder, told, pid = (tmp_path / name for name in ("shop", "told", "pid"))
    folder.mkdir()
    settings = 'services = ["shop-app.service"]\nsafety_snapshot = false\n'
    shop = Shop(systemd, folder, database, settings)
    unit = "[Service]\nExecStart=/bin/sleep infinity\n"
    systemd.write_unit("shop-app.service", f"{unit}ExecStop=/bin/sh -c 'echo stopped >> {told}'\n")
    systemd.ok("systemctl", "start", "shop-app.service")
    first = systemd.property("shop-app.service", "InvocationID")
    database.psql("CREATE TABLE t AS SELECT g FROM generate_series(1, 10) g")
    shop.ok("commit", "-m", "ten", "--tag", "ten")
    database.psql("DELETE FROM t")
    report = shop.json("restore", "ten", "--yes")
    assert [(one["name"], one["healthy"]) for one in report["services"]] == [
        ("shop-app.service", True)
    ]
    assert database.psql("SELECT count(*) FROM t").strip() == "10"
    assert told.read_text() == "stopped\n"
    second = systemd.property("shop-app.service", "InvocationID")
    assert second != first
    # Whoever stops the unit this time dies of it: the supervisor must start it again.
    systemd.write_unit("shop-app.service", f"{unit}ExecStop=/bin/sh -c 'kill -9 $(cat {pid})'\n")
    script = 'cd "$1"; echo $$ > "$2"; exec "$3" undo --yes'
    killed = systemd.run(
        *("sh", "-c", script, "sh", str(shop.folder), str(pid), str(SNAP)),
        environ=shop.environ,
    )
    assert killed.code != 0
    deadline = time.monotonic() + WAIT_SECONDS
    while systemd.property("shop-app.service", "InvocationID") == second or (
        systemd.property("shop-app.service", "ActiveState") != "active"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert database.psql("SELECT count(*) FROM t").strip() == "10"
    assert shop.json("doctor", "--start-services")["services"] == []
