"""What commands that read or load a database import: see test_imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.restoring.clients import databases_like
from support.running.commandline import SOURCE, CommandLine
from support.servers.databases import Database, new_name

SCRIPT = """
import sys
from pgsnap.cli import main
assert main(sys.argv[1:]) == 0
print("\\n", *sys.modules)
"""
# By what a command may do where it is asked to.
DIRECT = {"sources.direct.since", "sources.changes.moment", "repository.splicing.splicing"}
SINGLE_TABLES = {"workflows.restore_tables.plan", "workflows.restore_rows.plan"}
SAFETY = {"workflows.commit.commit", "workflows.diff.diff"}
REMOTES = {"workflows.sync.fetch", "stores.objects.store", "stores.sftp.store"}
LOAD = {"targets.load.feeder", "workflows.restore.restore"}


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)")
    snap.ok("--repo", "shop", "init")
    (snap.work / "snap.toml").write_text('repository = "shop"\nsource = "stream"\n')
    snap.ok("commit", "-m", "first")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


def imported(shop: CommandLine, database: Database, *arguments: str) -> set[str]:
    """Run the command in a process; return the modules that it imported, ours without `pgsnap`."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={
            **database.cluster.environment(),
            "PYTHONPATH": str(SOURCE),
            "HOME": str(shop.folder),
            "DATABASE_URL": database.dsn,
            "SNAP_PG_BINDIR": str(Path(database.cluster.binaries.program("psql")).parent),
        },
        cwd=shop.work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.removeprefix("pgsnap.") for name in done.stdout.splitlines()[-1].split()}


def test_a_streamed_commit_imports_neither_a_restore_nor_other_ways_to_read(
    shop: CommandLine, database: Database
) -> None:
    loaded = imported(shop, database, "commit", "-m", "second")
    unused = DIRECT | SINGLE_TABLES | REMOTES | LOAD | {"workflows.diff.diff"}
    assert not loaded & unused
    assert "workflows.commit.commit" in loaded


def test_a_restore_beside_imports_nothing_for_tables_remotes_or_what_is_replaced(
    shop: CommandLine, database: Database
) -> None:
    copy = new_name("copy")
    loaded = imported(shop, database, "restore", "latest", "--to", copy, "--yes")
    database.cluster.drop_database(copy)
    assert not loaded & (SINGLE_TABLES | SAFETY | REMOTES | {"numpy"})
    assert loaded >= LOAD
