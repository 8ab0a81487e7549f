"""Repair of an encrypted repository: nothing can be found in sealed bytes but by their tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.maintenance.repair.repair import RepairReport, repair
from pgsnap.maintenance.verify.verify import verify
from support.dumps.scripted import shop, texts
from support.faults.damaging import flip, swap
from support.faults.kills import die_in_a_write
from support.repositories.encrypted import (
    index_folder,
    make_encrypted,
    opened,
    pack_files,
    unlocker,
)
from support.repositories.made import in_child, record

FIRST, SECOND = shop(3000), shop(500, seed=9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = make_encrypted(tmp_path / "backups")
    with opened(made) as repo:
        record(repo, FIRST, message="first")
        record(repo, SECOND, message="second")
    shutil.copytree(made, tmp_path / "copy")
    return made


def mend(path: Path, source: Path | None = None) -> RepairReport:
    return repair(path, source=source, unlock=unlocker(), index_folder=index_folder(path))


def is_whole(path: Path) -> bool:
    with opened(path) as repo:
        found = {repo.snapshot(one).message: texts(repo, one) for one in repo.newest("shop")}
        return (
            found == {"first": FIRST.texts, "second": SECOND.texts}
            and not verify(repo, data=True).findings
        )


def cut(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "deleted": lambda file, _: file.unlink(),
    "cut": lambda file, _: cut(file, file.stat().st_size * 2 // 3),
    "a bit flipped in a frame": lambda file, _: flip(file, file.stat().st_size // 2),
    "a bit flipped in its table": lambda file, _: flip(file, file.stat().st_size - 60),
    "a bit flipped in its seal": lambda file, _: flip(file, 20),
    "a bit flipped in its head": lambda file, _: flip(file, 7),
    "a byte appended": lambda file, _: file.write_bytes(file.read_bytes() + b"\0"),
    "swapped with another": swap,
    "renamed": lambda file, _: file.rename(file.with_name(64 * "0")),
}


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_a_sealed_pack_is_found_and_mended_from_a_copy(
    path: Path, damage: str, with_index: bool
) -> None:
    DAMAGES[damage](*pack_files(path))
    if not with_index:
        shutil.rmtree(index_folder(path))
    with opened(path) as repo:
        assert verify(repo, data=True).findings
    assert mend(path, path.parent / "copy").lost == ()
    assert is_whole(path)


@pytest.mark.parametrize(
    "damage", ["a bit flipped in its table", "a byte appended", "swapped with another", "renamed"]
)
def test_where_the_frames_are_whole_no_copy_is_needed(path: Path, damage: str) -> None:
    DAMAGES[damage](*pack_files(path))
    assert mend(path).lost == ()
    assert is_whole(path)


@pytest.mark.parametrize("is_opened", [False, True])
def test_what_is_left_of_a_cut_pack_is_saved_while_the_index_knows_its_frames(
    path: Path, is_opened: bool
) -> None:
    for file in pack_files(path):
        cut(file, file.stat().st_size - 100)
    if is_opened:
        # A command that looks at the packs must not forget what was in this one.
        with opened(path) as repo:
            repo.catch_up_packs()
    report = mend(path)
    assert report.lost == ()
    assert report.salvaged_chunks > 3
    assert is_whole(path)


def test_without_table_and_index_sealed_frames_are_lost_and_said_to_be(path: Path) -> None:
    for file in pack_files(path):
        cut(file, file.stat().st_size - 100)
    shutil.rmtree(index_folder(path))
    report = mend(path)
    assert len(report.lost) == 2
    assert report.salvaged_chunks == 0


@pytest.mark.parametrize("calls", range(6))
def test_a_repair_that_is_killed_forgets_no_frame_of_a_sealed_pack(path: Path, calls: int) -> None:
    for file in pack_files(path):
        cut(file, file.stat().st_size - 100)

    def die() -> None:
        die_in_a_write(calls)
        mend(path)

    assert in_child(die) in (0, 9)
    assert mend(path).lost == ()
    assert is_whole(path)


def test_a_frame_of_a_cut_pack_that_is_gone_is_not_counted_as_there(path: Path) -> None:
    with opened(path) as repo:
        made = {repo.snapshot(one).message: one for one in repo.newest("shop")}
    for file in pack_files(path):
        cut(file, file.stat().st_size // 3)
    with opened(path) as repo:
        for snapshot in made.values():
            with pytest.raises(CorruptionError):
                repo.check_present(repo.snapshot(snapshot))
        assert record(repo, FIRST).stored_bytes > 0
        assert texts(repo, repo.newest("shop")[0]) == FIRST.texts
