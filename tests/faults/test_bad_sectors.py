"""A disk that gives an error for some of its bytes: damage, named and mended like any other."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import list_tags
from support.dumps.scripted import shop, texts
from support.repositories.made import make, record

SECTOR = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = make(tmp_path / "backups")
    with Repository.open(made) as repo:
        record(repo, shop(4000), tags=("one",))
        verify(repo, data=True)
    return made


def break_sector(file: Path, position: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no read get the sector of *file* that *position* is in, wherever the file is moved."""
    bad, first = file.stat().st_ino, position // SECTOR * SECTOR
    real = os.pread

    def pread(number: int, size: int, start: int) -> bytes:
        if os.fstat(number).st_ino == bad and start < first + SECTOR and first < start + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(number, size, start)

    monkeypatch.setattr(os, "pread", pread)


def file_in(folder: Path) -> Path:
    (file,) = (file for file in folder.rglob("*") if file.is_file())
    return file


@pytest.mark.parametrize("where", ["frame", "table"])
def test_a_bad_sector_of_a_pack_costs_the_chunks_in_it_alone(
    path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = file_in(path / "packs")
    size = pack.stat().st_size
    break_sector(pack, size // 2 if where == "frame" else size - 1, monkeypatch)
    with Repository.open(path) as repo:
        kinds = {finding.kind for finding in verify(repo, data=True).findings}
        assert "pack" in kinds
    report = repair(path)
    assert report.salvaged_chunks > 0
    with Repository.open(path) as repo:
        record(repo, shop(4000))
        assert verify(repo, data=True).findings == ()
        for made in repo.newest("shop"):
            assert texts(repo, made) == shop(4000).texts


@pytest.mark.parametrize("folder", ["snapshots", "tags", "notes", "config"])
def test_a_bad_sector_of_a_small_object_is_damage_of_that_object(
    path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = path / "config" if folder == "config" else file_in(path / folder)
    break_sector(file, 0, monkeypatch)
    if folder != "config":
        with Repository.open(path) as repo:
            kinds = [finding.kind for finding in verify(repo).findings]
            assert kinds[0] == folder.removesuffix("s")
    repair(path)
    with Repository.open(path) as repo:
        assert verify(repo, data=True).findings == ()
        (made,) = repo.newest("shop")
        assert texts(repo, made) == shop(4000).texts
        assert len(list_tags(repo)) == (folder != "tags")
