"""A command imports only the rooms and libraries that it uses: each one more slows down every
start of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.documents.source import LEVEL
from support.dumps.texts import plain_dump
from support.running.commandline import SOURCE, CommandLine

SCRIPT = """
import sys
from pgsnap.cli import main
main(sys.argv[1:])
print("\\n", *sys.modules)
"""
STARTED = {
    *("cli", "errors", "extras", "files", "interrupts", "limits", "patterns", "values", "words"),
}
# How snap.toml names a repository, and programs of PostgreSQL.
SETTINGS = STARTED | {"repository", "runners", "stores"}
STORED = SETTINGS | {"codecs", "format", "model", "progress", "sealing", "workflows"}
# The notes of restores are those of targets.
NOTES = STORED | {"sessions", "targets"}
ROOMS = {
    "--version": {"cli"},
    "--help": SETTINGS,
    "help exit-codes": SETTINGS,
    "commit --help": SETTINGS | {"sessions"},
    "restore --help": SETTINGS,
    "init other": NOTES | {"sources"},
    "log": NOTES,
    "tag": STORED,
    "show latest": NOTES | {"dump", "sources"},
    "cat latest": STORED | {"dump"},
}
# In the order of what takes the longest.
LIBRARIES = {
    *("numpy", "psycopg", "sqlite_utils", "rich", "asyncio", "cryptography", "obstore"),
    *("concurrent.futures", "logging", "secrets", "random", "tempfile"),
}
USES = {
    # For the schema of a new index.
    "init other": {"sqlite_utils", "logging", "secrets", "random", "tempfile"},
    # Frames are read on threads.
    "cat latest": {"concurrent.futures", "logging"},
}
# What these do of rows, where they have to, they import then.
WITHOUT_NUMPY = (
    *("commit.commit", "diff.diff", "drill.drill", "history.cat", "history.log", "history.stats"),
    *("restore.plan", "restore.restore", "restore_changed.restore", "restore_rows.write"),
    *("restore_tables.restore", "retention.gc", "sync.transfer", "undo.undo", "warming.keep"),
    *("watch.check", "watch.doctor", "watch.status"),
)


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    snap.ok("init")
    (snap.work / "dump.sql").write_bytes(plain_dump("1"))
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    return snap


@pytest.mark.parametrize("command", ROOMS)
def test_a_command_imports_only_what_it_uses(shop: CommandLine, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()],
        env={"PYTHONPATH": str(SOURCE), "HOME": str(shop.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    rooms = {name.split(".")[1] for name in loaded if name.startswith("pgsnap.")}
    assert rooms <= LEVEL.keys()
    assert not rooms - ROOMS[command], sorted(rooms - ROOMS[command])
    unused = loaded & LIBRARIES - USES.get(command, set())
    assert not unused, sorted(unused)


def test_most_verbs_are_imported_without_numpy() -> None:
    imports = "\n".join(f"import pgsnap.workflows.{verb}" for verb in WITHOUT_NUMPY)
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\nimport sys\nprint('numpy' in sys.modules)"],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
