"""What repair saves out of damaged packs, what it rebuilds, and a kill half-way."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import (
    NotARepository,
    RepositoryLocked,
    RepositoryNotFound,
    StoreFull,
    UsageError,
)
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.repair.salvage import Gaps, salvage
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Data
from pgsnap.stores.local import LocalStore
from support.dumps.scripted import dump, rows, shop, table, texts
from support.faults.damaging import flip
from support.faults.kills import die_in_a_write
from support.repositories.collecting import collect
from support.repositories.made import in_child, make, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = make(tmp_path / "backups")
    with Repository.open(made) as repo:
        record(repo, shop(4000), tags=("one",))
    return made


def pack_of(path: Path) -> Path:
    (file,) = (file for file in (path / "packs").rglob("*") if file.is_file())
    return file


def remove_index(path: Path) -> None:
    for file in path.glob("index.sqlite*"):
        file.unlink()


def is_whole(path: Path) -> bool:
    with Repository.open(path) as repo:
        (made,) = repo.newest("shop")
        return verify(repo, data=True).findings == () and texts(repo, made) == shop(4000).texts


def test_a_sound_repository_is_left_as_it_is(path: Path) -> None:
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    report = repair(path)
    assert (report.mended, report.lost, report.put_aside, report.warnings) == ((), (), (), ())
    names = ("packs", "snapshots", "tags", "config")
    for file, data in before.items():
        if file.relative_to(path).parts[0] in names:
            assert file.read_bytes() == data


@pytest.mark.parametrize("with_index", [True, False])
def test_a_pack_without_its_table_gives_back_every_frame(path: Path, with_index: bool) -> None:
    file = pack_of(path)
    file.write_bytes(file.read_bytes()[:-200])
    if not with_index:
        remove_index(path)
    report = repair(path)
    assert report.lost == ()
    assert report.salvaged_chunks > 3
    assert is_whole(path)
    assert len(list((path / "damaged" / "packs").rglob(file.name))) == 1


def test_a_cut_pack_gives_back_what_stands_before_the_cut(path: Path) -> None:
    file = pack_of(path)
    whole = file.read_bytes()
    file.write_bytes(whole[: 3 * len(whole) // 4])
    report = repair(path)
    assert report.salvaged_chunks > 0
    assert report.lost
    stored = sum(f.stat().st_size for f in (path / "packs").rglob("*") if f.is_file())
    assert len(whole) // 4 < stored < len(whole)
    # The rest comes with the next commit, and then the first snapshot is whole too.
    with Repository.open(path) as repo:
        again = record(repo, shop(4000))
        assert 0 < again.stored_bytes < len(whole)
        assert texts(repo, again.snapshot_id) == shop(4000).texts
        assert verify(repo, data=True).findings == ()


def test_a_raw_chunk_between_two_others_is_found_without_any_table(tmp_path: Path) -> None:
    path = make(tmp_path / "mixed")
    noise = [bytes(random.Random(n).choices(range(11, 256), k=900)) for n in range(300)]
    rows = [row.replace(b"\\", b"x") for row in noise]
    mixed = dump(
        table("public", "users", [b"%d\tsome text" % n for n in range(60_000)]),
        table("public", "noise", rows),
    )
    with Repository.open(path) as repo:
        made = record(repo, mixed).snapshot_id
    file = pack_of(path)
    file.write_bytes(file.read_bytes()[:-200])
    remove_index(path)
    repair(path)
    with Repository.open(path) as repo:
        assert texts(repo, made) == mixed.texts


def test_salvage_gives_only_what_hashes_to_its_name(path: Path) -> None:
    data = pack_of(path).read_bytes()
    chance = random.Random(3)
    with Repository.open(path) as repo:
        real = {frame.chunk for frame, _ in salvage(data, [], repo.chunks, Gaps())}
        assert real
        for _ in range(30):
            damaged = bytearray(data)
            for _ in range(20):
                damaged[chance.randrange(len(data))] = chance.randrange(256)
            for frame, packed in salvage(bytes(damaged), [], repo.chunks, Gaps()):
                plain = decompress(frame.codec, packed, frame.chunk_bytes)
                assert blake3(plain).digest() == frame.chunk


def test_chunks_come_from_any_repository_that_has_them(tmp_path: Path, path: Path) -> None:
    other = make(tmp_path / "other")
    with Repository.open(other) as repo:
        record(repo, shop(4000), database="elsewhere")
    pack_of(path).unlink()
    report = repair(path, source=other)
    # The two dumps are the same; their section tables too.
    assert report.lost == ()
    assert report.fetched_chunks > 3
    assert is_whole(path)
    with Repository.open(path) as repo:
        assert repo.databases() == ["shop"]


def test_damage_of_the_copy_is_not_copied(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    flip(pack_of(copy), 2000)
    pack_of(path).unlink()
    report = repair(path, source=copy)
    assert report.lost
    with Repository.open(path) as repo:
        assert {f.kind for f in verify(repo, data=True).findings} == {"section"}


def test_a_lost_config_is_made_anew_with_the_identity_that_the_index_knows(path: Path) -> None:
    with Repository.open(path) as repo:
        before = repo.config
    (path / "config").unlink()
    with pytest.raises(NotARepository) as caught:
        Repository.open(path)
    assert "snap repair" in caught.value.hint
    report = repair(path)
    assert [mended.kind for mended in report.mended] == ["config"]
    assert report.warnings
    with Repository.open(path) as repo:
        assert repo.config.repository_id == before.repository_id
        assert repo.config.chunker == before.chunker
    assert is_whole(path)


def test_a_strange_repository_s_config_is_not_taken(tmp_path: Path, path: Path) -> None:
    stranger = make(tmp_path / "stranger")
    (path / "config").unlink()
    repair(path, source=stranger)
    with Repository.open(path) as repo, Repository.open(stranger) as other:
        assert repo.config.repository_id != other.config.repository_id


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(NotARepository):
        repair(tmp_path / "folder")
    with pytest.raises(RepositoryNotFound):
        repair(tmp_path / "nothing")


def test_a_repository_is_no_copy_of_itself(path: Path) -> None:
    with pytest.raises(UsageError):
        repair(path, source=path)


def test_a_repair_waits_for_whoever_has_the_repository_open(path: Path) -> None:
    with Repository.open(path), pytest.raises(RepositoryLocked):
        repair(path, lock_timeout_seconds=0.1)


@pytest.mark.parametrize("calls", range(5))
def test_a_repair_that_is_killed_is_finished_by_the_next_one(path: Path, calls: int) -> None:
    file = pack_of(path)
    file.write_bytes(file.read_bytes()[:-200])
    flip(next((path / "snapshots").iterdir()), 50)
    flip(path / "config", 20)

    def die() -> None:
        die_in_a_write(calls)
        repair(path)

    assert in_child(die) == 9
    report = repair(path)
    assert report.lost == ()
    assert is_whole(path)


@pytest.mark.parametrize(
    "reason",
    [StoreFull("no space left in the repository"), KeyboardInterrupt()],
    ids=["full", "^C"],
)
@pytest.mark.parametrize("damage", ["appended", "table", "frame"])
def test_a_repair_that_cannot_go_on_leaves_what_can_be_read(
    path: Path, damage: str, reason: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack_of(path)
    data = file.read_bytes()
    if damage == "appended":
        file.write_bytes(data + b"x")
    else:
        flip(file, len(data) - 60 if damage == "table" else 2000)
    real = LocalStore.put

    def full(store: LocalStore, name: str, data: Data) -> None:
        if name.startswith("packs/"):
            raise reason
        real(store, name, data)

    monkeypatch.setattr(LocalStore, "put", full)
    with pytest.raises(type(reason)):
        repair(path)
    assert pack_of(path) == file
    with Repository.open(path) as repo:
        (made,) = repo.newest("shop")
        if damage != "frame":
            assert texts(repo, made) == shop(4000).texts
    monkeypatch.undo()
    assert (repair(path).lost == ()) == (damage != "frame")
    with Repository.open(path) as repo:
        record(repo, shop(4000))
        (*_, made) = repo.newest("shop")
        assert texts(repo, made) == shop(4000).texts


def test_a_tag_that_a_killed_repair_put_aside_is_taken_from_the_copy(
    path: Path, tmp_path: Path
) -> None:
    shutil.copytree(path, copy := tmp_path / "copy")
    tag, aside = path / "tags" / "shop" / "one", path / "damaged" / "tags" / "shop" / "one"
    flip(tag, 20)
    # So far it came.
    aside.parent.mkdir(parents=True)
    tag.rename(aside)
    assert [one.kind for one in repair(path, source=copy).mended] == ["tag"]
    with Repository.open(path) as repo:
        assert [one.name for one in repo.tags.all()] == ["one"]


def test_what_a_gc_dropped_is_not_missed_while_the_note_about_it_is_damaged(
    path: Path, tmp_path: Path
) -> None:
    with Repository.open(path) as repo:
        repo.tags.delete("shop", "one")
        kept = record(repo, dump(table("public", "other", rows(3000, seed=1)))).snapshot_id
    # Another host that shares the repository still has the manifest in its index.
    index = (path / "index.sqlite").read_bytes()
    collect(path, 1)
    remove_index(path)
    (path / "index.sqlite").write_bytes(index)
    shutil.copytree(path, copy := tmp_path / "copy")
    (note,) = (path / "notes" / "forgotten").iterdir()
    flip(note, 20)
    report = repair(path, source=copy)
    assert ([one.kind for one in report.mended], report.lost) == (["note"], ())
    with Repository.open(path) as repo:
        assert repo.newest(None, also_forgotten=True) == [kept]
