"""Nobody but its owner may enter a repository, whatever the umask of those who write to it."""

from __future__ import annotations

import os
import stat

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.mark.parametrize("umask", [0, 0o777])
def test_folders_are_0700_and_files_0600_whatever_the_umask(
    snap: CommandLine, sample_database: Database, umask: int
) -> None:
    before = os.umask(umask)
    try:
        snap.ok("init", "repo")
        assert (snap.work / "snap.toml").exists()
    finally:
        os.umask(before)
    (snap.work / "snap.toml").chmod(0o600)
    (snap.work / "snap.toml").write_text(f'repository = "repo"\ndsn = "{sample_database.dsn}"\n')
    os.umask(umask)
    try:
        snap.ok("commit", "-m", "one", "--tag", "a/b")
        snap.ok("forget", "--force", "latest")
        snap.ok("commit", "-m", "two")
        snap.ok("gc", "--grace", "0s")
        snap.ok("verify", "--data")
    finally:
        os.umask(before)
    modes = {}
    for path in [snap.work / "repo", *(snap.work / "repo").rglob("*")]:
        modes[path] = stat.S_IMODE(path.stat().st_mode)
    wrong = {
        str(path): oct(mode)
        for path, mode in modes.items()
        if mode != (0o700 if path.is_dir() else 0o600)
    }
    assert wrong == {}
