"""The file that tells which services are stopped: whole at every moment, and its owner's alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pgsnap.files.folder import Folder
from pgsnap.services.commands import Service, own_service
from pgsnap.services.state import StateFile, find_stopped, taken
from support.faults.disk import KillAt, watched
from support.repositories.made import in_child


def service(name: str) -> Service:
    return own_service(name, {"stop": "true", "start": "true"}, Path("/"), 1.0)


def names(folder: Path) -> list[tuple[str, ...]]:
    return [found.names for found in find_stopped(folder)]


def test_a_kill_while_the_file_is_written_anew_leaves_the_old_list_or_the_new_one(
    tmp_path: Path,
) -> None:
    before, after = [service("app"), service("worker")], [service("worker")]
    seen = []
    for step in range(100):
        folder = tmp_path / str(step)

        def write(folder: Path = folder, step: int = step) -> None:
            state = StateFile(folder)
            state.write(before)
            with watched(folder, KillAt(step)):
                state.write(after)

        status = in_child(write)
        seen.append(names(folder))
        assert not find_stopped(folder)[0].is_watched
        if status == 0:
            break
        assert status == -signal.SIGKILL
    # Create, sync, replace, sync the folder: the change is at the third.
    assert seen == [[("app", "worker")]] * 3 + [[("worker",)]] * 2


def test_a_full_disk_leaves_what_was_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFile(tmp_path)
    state.write([service("app")])

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            state.write([service("worker")])
    (found,) = find_stopped(tmp_path)
    assert (found.names, found.is_watched) == (("app",), True)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    state.remove()
    assert list(tmp_path.iterdir()) == []


def test_who_looks_while_the_file_is_replaced_sees_that_its_supervisor_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFile(tmp_path)
    state.write([service("app")])
    whole = Folder.open
    opened = []

    def replaced_after_open(folder: Folder, name: str, flags: int = os.O_RDONLY) -> int:
        file = whole(folder, name, flags)
        if flags == os.O_RDONLY:
            opened.append(name)
            if len(opened) % 2:
                state.write([service("worker")])
        return file

    monkeypatch.setattr(Folder, "open", replaced_after_open)
    (found,) = find_stopped(tmp_path)
    assert (found.names, found.is_watched) == (("worker",), True)
    with taken(found) as held:
        assert held is None
    assert len(opened) == 4
