"""The installed command, killed and interrupted at ten moments of a commit and of a restore."""

from __future__ import annotations

import signal

import pytest

from support.restoring.steps import backends_gone
from support.running.installed import Shop, gone, interrupt, wait_until_it_listens

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MOMENTS = 10
COMMIT = ("commit", "-m", "again")
RESTORE = ("restore", "old", "--yes", "--no-safety-snapshot", "--discard-old")


def moments(seconds: float, count: int = MOMENTS) -> list[float]:
    return [seconds * (number + 0.5) / count for number in range(count)]


@pytest.mark.parametrize("tool", ["", "pg_dump"], ids=["snap", "pg_dump"])
def test_a_commit_of_which_a_process_is_killed_leaves_all_or_nothing(shop: Shop, tool: str) -> None:
    snapshots = 2
    for delay in moments(shop.timed(*COMMIT)):
        child = shop.start(*COMMIT)
        err, children = interrupt(child, delay, signal.SIGKILL, tool=tool)
        gone(children)
        backends_gone(shop.database)
        entries = shop.history()
        assert entries in (snapshots, snapshots + 1)
        if tool and child.returncode:
            assert (child.returncode, entries) == (30, snapshots), err
            assert "killed by signal 9" in err
        snapshots = entries
        assert shop.live() == shop.new
    shop.ok(*COMMIT)
    assert shop.cat_lines("latest") == shop.new
    assert shop.history() == snapshots + 1
    assert shop.temporary_files() == []


@pytest.mark.parametrize("tool", ["", "psql"], ids=["snap", "psql"])
def test_a_restore_of_which_a_process_is_killed_leaves_the_live_database_whole(
    shop: Shop, tool: str
) -> None:
    live = shop.old
    for delay in moments(shop.timed(*RESTORE)):
        if live == shop.old:
            shop.change()
        child = shop.start(*RESTORE)
        err, children = interrupt(child, delay, signal.SIGKILL, tool=tool)
        gone(children)
        backends_gone(shop.database)
        live = shop.live()
        assert live in (shop.old, shop.new)
        if tool and child.returncode:
            # 30: it was only asked for its version.
            assert child.returncode == (30 if "psql does not work" in err else 40), err
            assert live == shop.new
            assert shop.leftovers() == []
        assert shop.history() == 1
    shop.ok(*RESTORE)
    assert shop.live() == shop.old
    assert shop.leftovers() == []
    assert shop.temporary_files() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_commit_that_is_interrupted_stops_cleanly(shop: Shop, number: signal.Signals) -> None:
    stopped = 0
    for delay in moments(shop.timed(*COMMIT), 5):
        child = shop.start(*COMMIT)
        wait_until_it_listens(child)
        err, children = interrupt(child, delay, number)
        gone(children)
        assert child.returncode in (0, 130, -number), err
        stopped += child.returncode == 130
        if child.returncode == 130:
            assert "Traceback" not in err
            assert "snap: error: " in err
        backends_gone(shop.database)
        assert shop.temporary_files() == []
        assert shop.cat_lines("old") == shop.old
    assert stopped >= 2
    shop.ok(*COMMIT)
    assert shop.cat_lines("latest") == shop.new


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_restore_that_is_interrupted_drops_its_scratch_database_at_once(
    shop: Shop, number: signal.Signals
) -> None:
    stopped = 0
    live = shop.old
    for delay in moments(shop.timed(*RESTORE), 6):
        if live == shop.old:
            shop.change()
        child = shop.start(*RESTORE)
        wait_until_it_listens(child)
        err, children = interrupt(child, delay, number)
        gone(children)
        assert child.returncode in (0, 130, -number), err
        live = shop.live()
        assert live in (shop.old, shop.new)
        assert shop.leftovers() == [], err
        if child.returncode == 130:
            stopped += 1
            assert "Traceback" not in err
        backends_gone(shop.database)
    assert stopped >= 3
    shop.ok(*RESTORE)
    assert shop.live() == shop.old
