"""Leases of two hosts: namespaces of names and processes of their own, over one folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgsnap.files.folder import Folder
from pgsnap.stores import lease
from support.running.commandline import SOURCE

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare: util-linux"),
]

TAKES_TURNS = """
import sys, time
from pathlib import Path
from pgsnap.files.folder import Folder
from pgsnap.stores import lease
base = Path(sys.argv[1])
for _ in range(8):
    with lease.hold(Folder(base).below("leases"), alone=True, timeout_seconds=120) as held:
        (base / "inside").mkdir()
        time.sleep(0.01)
        assert held.is_held()
        (base / "inside").rmdir()
"""
HOLDS = """
import sys, time
from pathlib import Path
from pgsnap.files.folder import Folder
from pgsnap.stores import lease
base = Path(sys.argv[1])
with lease.hold(Folder(base).below("leases"), alone=True, timeout_seconds=10):
    (base / "held").touch()
    time.sleep(600)
"""


def on_host(name: str, script: str, folder: Path) -> subprocess.Popen[str]:
    """Start a script on a host of that name, on which no process of this one is seen."""
    shell = f'hostname {name}; exec "$0" -c "$1" "$2"'
    return subprocess.Popen(
        [
            *("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", shell, sys.executable, script, str(folder)),
        ],
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_hosts_that_want_it_alone_never_have_it_together(tmp_path: Path) -> None:
    hosts = [on_host(name, TAKES_TURNS, tmp_path) for name in ("one", "two", "two", "three")]
    for host in hosts:
        _, errors = host.communicate(timeout=240)
        assert host.returncode == 0, errors


def test_a_host_that_died_is_waited_for_and_one_that_lives_is_never_taken_for_dead(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path).below("leases")
    # Under the name of this host too, where no process of that number may live.
    host = on_host(lease.place().split()[0], HOLDS, tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "held").exists():
        assert time.monotonic() < deadline
        assert host.poll() is None
        time.sleep(0.01)
    with pytest.raises(lease.LeaseTaken), lease.hold(folder, alone=False, timeout_seconds=0):
        pass
    host.kill()
    host.communicate()
    # Nobody here can tell its death from its silence.
    with pytest.raises(lease.LeaseTaken), lease.hold(folder, alone=False, timeout_seconds=0):
        pass
