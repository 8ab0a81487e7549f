"""The tests' own temporary folder: in memory where there is room, and gone whatever ends a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.running import temporary

# A test run in small: what it leaves in its folder, a reader cannot simply remove.
RUN = """
import os, sys, tempfile
from pathlib import Path
from support.running import temporary
temporary.MEMORY = Path(sys.argv[1])
temporary.in_memory = lambda: True
remove = temporary.use_temporary_folder()
closed = Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"])) / "closed"
closed.mkdir()
(closed / "file").touch()
closed.chmod(0o500)
print(tempfile.gettempdir(), flush=True)
if sys.stdin.readline() == "end\\n":
    remove()
    print(os.environ["TMPDIR"], tempfile.gettempdir(), flush=True)
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_runs_folder_is_gone_after_it_also_when_it_is_killed(
    tmp_path: Path, is_killed: bool
) -> None:
    before, memory = tmp_path / "before", tmp_path / "memory"
    before.mkdir()
    memory.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SNAP_")}
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(before)},
    )
    assert run.stdout
    folder = Path(run.stdout.readline().strip())
    assert folder.parent == memory
    assert folder.is_dir()
    if is_killed:
        run.send_signal(signal.SIGKILL)
        run.communicate()
        deadline = time.monotonic() + 30
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    else:
        assert run.communicate("end\n")[0] == f"{before} {before}\n"
    assert not folder.exists()


def test_a_folder_in_memory_is_used_only_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal: 9 kB\nMemAvailable:   1000 kB\n")
    monkeypatch.setattr(temporary, "ROOM_BYTES", 500 * 1024)
    assert temporary.in_memory(tmp_path, memory)
    monkeypatch.setattr(temporary, "ROOM_BYTES", 501 * 1024)
    assert not temporary.in_memory(tmp_path, memory)
    memory.write_text(f"MemAvailable: {1 << 62} kB\n")
    assert temporary.in_memory(tmp_path, memory)
    monkeypatch.setattr(temporary, "ROOM_BYTES", 1 << 62)
    assert not temporary.in_memory(tmp_path, memory)
    assert not temporary.in_memory(tmp_path / "nowhere", memory)
    assert not temporary.in_memory(tmp_path, tmp_path / "nowhere")
