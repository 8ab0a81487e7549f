"""What --verbose prints about the time that each phase took."""

from __future__ import annotations

import pytest

from support.running.commandline import CommandLine, Result
from support.servers.databases import Database


def times(result: Result) -> dict[str, float]:
    """Return the table on standard error."""
    lines = result.err.partition("times:\n")[2].splitlines()
    rows = [line.rsplit(maxsplit=2) for line in lines if line.startswith("  ")]
    assert all(unit == "s" for *_, unit in rows)
    return {name.strip(): float(seconds) for name, seconds, _ in rows}


def test_verbose_prints_the_time_of_each_phase_of_a_commit_and_a_restore(
    snap: CommandLine, database: Database
) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t AS SELECT generate_series(1, 1000) a")
    snap.ok("init")
    committed = times(snap.ok("--verbose", "commit", "-m", "one"))
    assert list(committed) == [
        *("start", "look at the source", f"commit {database.name}", "publish", "total")
    ]
    restored = times(snap.ok("--verbose", "restore", "latest", "--yes"))
    phases = ("start", "safety snapshot", "create", "load", "analyze", "count", "swap", "finish")
    assert [name for name in restored if name in phases] == list(phases)
    for found in (committed, restored):
        total = found.pop("total")
        assert total > 0
        assert total == pytest.approx(sum(found.values()), abs=0.01)
    assert "times:" not in snap.ok("commit", "-m", "two").err
