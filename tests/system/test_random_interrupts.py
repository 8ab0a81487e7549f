"""Each command of the installed snap, interrupted at random moments, ends in a documented way.

SNAP_INTERRUPTS sets how often each is (`make test-long`: hundreds of times).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest

from support.restoring.steps import backends_gone
from support.running.installed import Shop, gone, interrupt, wait_until_it_listens
from support.running.seeds import SEED

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]

INTERRUPTS = int(os.environ.get("SNAP_INTERRUPTS", "2"))
GC = ("gc", "--keep-last", "1", "--keep-tag", "old", "--grace", "0s")
RESTORE = ("restore", "old", "--yes", "--no-safety-snapshot")
COMMANDS = {
    "commit": ("commit", "-m", "again"),
    "restore": (*RESTORE, "--discard-old"),
    "commit by psql": ("commit", "-m", "again"),
    "restore by psql": (*RESTORE, "--discard-old"),
    "services": (*RESTORE, "--discard-old"),
    "table": (*RESTORE, "--table", "orders", "--replace"),
    "undo": ("undo", "--yes"),
    "discard": ("undo", "--discard", "--yes"),
    "drill": ("drill", "old"),
    "verify": ("verify", "--data"),
    "repair": ("repair",),
    "reindex": ("reindex",),
    "gc": GC,
    "diff": ("diff", "old"),
    "rows": ("diff", "old", "latest", "--table", "orders", "--rows"),
    "export": ("export", "old", "dump.sql.zst", "--force"),
    "import": ("import", "made.sql.zst", "--database", "other", "--use-mtime"),
    "cat": ("cat", "old"),
    "check": ("check",),
    "job": ("schedule", "run", "commit"),
    "streamed": ("commit", "-m", "again"),
    "changed": ("restore", "old", "--changed-only", "--yes"),
    "rows back": ("restore", "old", "--table", "orders", "--rows", "id < 9000", "--yes"),
    "query": ("query", "old", "select sum(id) from orders"),
    "csv": ("export", "old", "tables", "--format", "csv", "--force"),
    "push": ("push", "offsite"),
    "clone": ("clone", "{folder}/database/backups", "{folder}/copy"),
}
SERVICE = """
[services.app]
stop = "sleep 0.1; echo down > {state}"
start = "sleep 0.1; echo up > {state}"
"""


def prepare(shop: Shop, command: str) -> None:
    """Make what the command needs, before its first run."""
    shop.ok("commit", "-m", "new")
    if command == "services":
        state = shop.folder / "app.state"
        state.write_text("up")
        (shop.folder / "snap.toml").write_text(SERVICE.format(state=state))
    elif command.endswith("by psql"):
        (shop.folder / "snap.toml").write_text('client = "psql"\n')
    elif command == "undo":
        shop.ok(*RESTORE)
    elif command == "import":
        shop.ok("export", "old", "made.sql.zst")
    elif command == "streamed":
        (shop.folder / "snap.toml").write_text('source = "stream"\n')
    elif command == "push":
        shop.ok("init", str(shop.folder / "offsite"))
        shop.ok("remote", "add", "offsite", str(shop.folder / "offsite"))


def prepare_again(shop: Shop, command: str) -> None:
    """Give the command something to do, before each run."""
    if command == "gc":
        shop.ok("commit", "-m", "to be dropped")
        shop.database.psql("UPDATE orders SET pad = md5(pad) || md5(state) WHERE id % 3 = 0")
    elif command == "discard":
        # It may have been dropped, or not.
        shop.ok(*RESTORE, "--discard-old")
    elif command == "import":
        # A run that was whole leaves nothing to import.
        shop.run("forget", "latest", "--database", "other")
        shop.ok("gc", "--grace", "0s")
    elif command in ("changed", "rows back"):
        shop.database.psql("UPDATE orders SET state = 'newer' WHERE id % 10 = 0")
    elif command == "push":
        shop.ok("commit", "-m", "to be pushed")
    elif command == "clone":
        shutil.rmtree(shop.folder / "copy", ignore_errors=True)


def check_service_runs(shop: Shop) -> None:
    """A supervisor starts it, which outlives snap."""
    state = shop.folder / "app.state"
    deadline = time.monotonic() + 60
    while state.exists() and state.read_text().strip() != "up":
        assert time.monotonic() < deadline, "the service was left stopped"
        time.sleep(0.05)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_interrupted_ends_as_documented(shop: Shop, command: str) -> None:
    rng = random.Random(f"{SEED} {command}")
    arguments = tuple(one.format(folder=shop.folder) for one in COMMANDS[command])
    prepare(shop, command)
    prepare_again(shop, command)
    whole = shop.timed(*arguments)
    for _ in range(INTERRUPTS):
        prepare_again(shop, command)
        delay = rng.uniform(0, whole)
        number = rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        child = shop.start(*arguments)
        wait_until_it_listens(child)
        err, children = interrupt(child, delay, number)
        gone(children)
        told = f"{number.name} after {delay:.3f} of {whole:.3f} s, seed {SEED}: {err}"
        assert child.returncode in (0, 130, -number), told
        assert "Traceback" not in err, told
        assert "Exception ignored" not in err, told
        backends_gone(shop.database)
        assert shop.leftovers() == [], told
        half_dropped = "SELECT datname FROM pg_database WHERE datconnlimit = -2"
        assert shop.database.cluster.psql(half_dropped) == "", told
        check_service_runs(shop)
    assert shop.temporary_files() == []
    assert shop.cat_lines("old") == shop.old
    shop.ok("verify", "--data")
