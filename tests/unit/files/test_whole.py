"""A file that snap writes is whole and durable under its name, or not there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgsnap.alerts.metrics import Metric, write_metrics
from pgsnap.files import whole
from pgsnap.files.folder import Folder
from pgsnap.schedulers.state import State
from pgsnap.targets.file import write_file
from pgsnap.web.reports.report import write_report


def write_export(path: Path) -> None:
    write_file(path, [b"SELECT 1;\n"], modified=datetime(2026, 1, 2, tzinfo=UTC))


def write_state(path: Path) -> None:
    State(path.parent.parent / "snap.toml").write(path.name, b"{}")


def write_text_file(path: Path) -> None:
    write_metrics(path, [Metric("x", "X.", [({}, 1)])])


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "any": (lambda path: whole.write_at(path, b"x"), "file"),
    "export": (write_export, "dump.sql"),
    "report": (lambda path: write_report(path, "x", force=False), "report.html"),
    "state": (write_state, ".snap/snap/check.json"),
    "metrics": (write_text_file, "snap.prom"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_is_synced_before_it_has_its_name_and_its_folder_afterwards(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, name = WRITERS[writer]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path.parent / f"first{path.suffix}")
    made: list[str] = []

    def recorded(call: Callable[..., Any]) -> Callable[..., Any]:
        def record(*words: Any, **more: Any) -> Any:
            target = ""
            if call is fsync:
                target = Path(f"/proc/self/fd/{words[0]}").readlink().name
            made.append(target if target == path.parent.name else call.__name__)
            return call(*words, **more)

        return record

    fsync = os.fsync
    for each in (fsync, os.replace, os.link):
        monkeypatch.setattr(os, each.__name__, recorded(each))
    write(path)
    assert made in (["fsync", one, path.parent.name] for one in ("replace", "link"))
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == ".partial") == []


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_is_the_same_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    for umask in (0o000, 0o022, 0o777):
        before = os.umask(umask)
        try:
            whole.write_at(tmp_path / f"{umask}", b"x", mode)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{umask}").stat().st_mode) == mode


def test_a_file_that_could_not_be_finished_leaves_the_old_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    whole.write(folder, "file", b"old")

    def fill(file: int) -> None:
        os.write(file, b"half")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"), whole.draft(folder, "unfinished", fill):
        whole.publish(folder, "unfinished", "file")
    assert [(entry.name, entry.size) for entry in folder.entries()] == [("file", 3)]


def test_a_name_that_is_taken_is_not_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hard links, and on file systems that have none."""

    def refuse(*words: Any, **more: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    folder = Folder(tmp_path)
    for link in (os.link, refuse):
        monkeypatch.setattr(os, "link", link)
        for text, taken in ((b"one", False), (b"two", True)):
            with whole.draft(folder, "new", lambda file, text=text: whole.write_all(file, [text])):  # type: ignore[misc]
                if taken:
                    with pytest.raises(FileExistsError):
                        whole.publish_new(folder, "new", "file")
                else:
                    whole.publish_new(folder, "new", "file")
        assert folder.read("file", 10) == b"one"
        assert [entry.name for entry in folder.entries()] == ["file"]
        folder.unlink("file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another user")
def test_in_a_folder_of_the_users_choice_files_may_belong_to_anyone(tmp_path: Path) -> None:
    """A file server may give root's new files to "nobody"."""
    folder = whole.chosen_folder(tmp_path)

    def fill(file: int) -> None:
        os.fchown(file, 65534, 65534)

    with whole.draft(folder, "new", fill):
        assert folder.status("new").st_uid == 65534
        whole.publish(folder, "new", "file")
    assert not folder.has_foreign
