"""Each command of the installed snap, interrupted at random moments, ends in a documented way.

SNAP_INTERRUPTS sets how often each is (`make test-long`: hundreds of times).
"""

from __future__ import annotations

import os
import random
import signal

import pytest

from support.installed import Shop, gone, interrupt
from support.restore_steps import backends_gone
from support.seeds import SEED

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]

INTERRUPTS = int(os.environ.get("SNAP_INTERRUPTS", "5"))
# Python's own start is over after it: in there Ctrl-C shows a traceback, and nothing can be done.
STARTED_SECONDS = 0.05

GC = ("gc", "--keep-last", "1", "--keep-tag", "old", "--grace", "0s")
COMMANDS = {
    "commit": ("commit", "-m", "again"),
    "restore": ("restore", "old", "--yes", "--no-safety-snapshot", "--discard-old"),
    "drill": ("drill", "old"),
    "verify": ("verify", "--data"),
    "gc": GC,
    "diff": ("diff", "old"),
    "export": ("export", "old", "dump.sql.zst", "--force"),
    "cat": ("cat", "old"),
    "check": ("check",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_interrupted_ends_as_documented(shop: Shop, command: str) -> None:
    rng = random.Random(f"{SEED} {command}")
    arguments = COMMANDS[command]
    shop.ok(*arguments)
    whole = shop.timed(*arguments)
    for _ in range(INTERRUPTS):
        if command == "gc":
            shop.ok("commit", "-m", "to be dropped")
            shop.database.psql("UPDATE orders SET pad = md5(pad) || md5(state) WHERE id % 3 = 0")
        delay = rng.uniform(STARTED_SECONDS, whole)
        number = rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        child = shop.start(*arguments)
        err, children = interrupt(child, delay, number)
        gone(children)
        told = f"{number.name} after {delay:.3f} of {whole:.3f} s, seed {SEED}: {err}"
        assert child.returncode in (0, 130, -number), told
        assert "Traceback" not in err, told
        assert "Exception ignored" not in err, told
        backends_gone(shop.database)
        assert shop.leftovers() == [], told
    assert shop.temporary_files() == []
    assert shop.cat_lines("old") == shop.old
    shop.ok("verify", "--data")
