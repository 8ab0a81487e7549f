"""Folders that stay open during many reads: the same is read, nothing stays open afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pgsnap.errors import UntrustedPath
from pgsnap.files import open_folders
from pgsnap.files.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name in ("a", "b", "c/d"):
        (tmp_path / "it" / name).mkdir(parents=True)
        (tmp_path / "it" / name / "file").write_text(name)
    return Folder(tmp_path / "it")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def read(folder: Folder, name: str) -> str:
    return folder.read(name, 100).decode()


def test_many_reads_leave_nothing_open(folder: Folder) -> None:
    before = open_files()
    with folder.many_reads(), folder.many_reads():
        for _ in range(3):
            assert [read(folder, f"{name}/file") for name in ("a", "b", "c/d")] == ["a", "b", "c/d"]
        assert open_files() == before + 3
    assert open_files() == before
    assert read(folder, "a/file") == "a"
    assert open_files() == before


def test_beyond_the_bound_folders_are_not_kept(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_folders, "_FOLDERS_MAX", 1)
    before = open_files()
    with folder.many_reads():
        for name in ("a", "b", "c/d", "a"):
            assert read(folder, f"{name}/file") == name
        assert open_files() == before + 1
    assert open_files() == before


def test_threads_share_the_open_folders(folder: Folder) -> None:
    before = open_files()
    with folder.many_reads(), ThreadPoolExecutor(8) as pool:
        names = ["a", "b", "c/d"] * 200
        assert list(pool.map(lambda name: read(folder, f"{name}/file"), names)) == names
        assert open_files() == before + 3
    assert open_files() == before


def test_a_link_is_refused_in_a_folder_that_is_open(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with folder.many_reads():
        assert read(folder, "a/file") == "a"
        (tmp_path / "it/a/file").unlink()
        (tmp_path / "it/a/file").symlink_to(tmp_path / "secret")
        with pytest.raises(UntrustedPath):
            read(folder, "a/file")


def test_a_folder_that_became_a_link_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").write_text("somebody else's")
    with folder.many_reads():
        assert read(folder, "a/file") == "a"
        (tmp_path / "it/a").rename(tmp_path / "moved")
        (tmp_path / "it/a").symlink_to(tmp_path / "others")
        assert read(folder, "a/file") == "a"
    with pytest.raises(UntrustedPath):
        read(folder, "a/file")


def test_a_file_that_is_missing_is_looked_for_each_time(folder: Folder, tmp_path: Path) -> None:
    with folder.many_reads():
        with pytest.raises(FileNotFoundError):
            read(folder, "a/new")
        with pytest.raises(FileNotFoundError):
            read(folder, "new/file")
        (tmp_path / "it/a/new").write_text("new")
        (tmp_path / "it/new").mkdir()
        (tmp_path / "it/new/file").write_text("newer")
        assert [read(folder, "a/new"), read(folder, "new/file")] == ["new", "newer"]
