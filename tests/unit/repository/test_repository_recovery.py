"""What an open repository finishes, rebuilds and clears away after a kill, a loss or damage."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pgsnap.errors import CorruptionError, SnapError, StoreFull
from pgsnap.repository import catching_up
from pgsnap.repository.index.index import Index
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.log import log, show
from pgsnap.workflows.history.tag import delete_tag, set_tag
from support.dumps.scripted import shop, texts
from support.faults.damaging import flip
from support.repositories.made import kill_after_the_manifest, record


def names(repo: Repository) -> dict[str, str]:
    return {tag.name: tag.snapshot.hex() for tag in repo.tags.all()}


def remove_index(path: Path) -> None:
    for file in path.glob("index.sqlite*"):
        file.unlink()


# -- killed after the commit point --------------------------------------------------------------


def test_a_commit_killed_after_the_manifest_is_there_with_its_tags_at_the_next_open(
    path: Path,
) -> None:
    killed = kill_after_the_manifest(path, tags=("pre", "before/x"))
    with Repository.open(path) as repo:
        assert repo.newest("shop") == [killed]
        assert names(repo) == {"before/x": killed.hex(), "pre": killed.hex()}
        assert texts(repo, killed) == shop(300).texts


def test_a_tag_that_a_killed_commit_wished_to_move_is_moved_at_the_next_open(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo, tags=("release",))
    killed = kill_after_the_manifest(path, tags=("release",), force=True)
    with Repository.open(path) as repo:
        assert names(repo) == {"release": killed.hex()}


def test_a_tag_that_was_moved_after_a_killed_commit_stays_there(path: Path) -> None:
    with Repository.open(path) as repo:
        first = record(repo, tags=("release",)).snapshot_id
    killed = kill_after_the_manifest(path, tags=("release",), force=True)
    with Repository.open(path) as repo:
        set_tag(repo, "release", first, force=True)
    # A power cut may take the last rows of the index.
    with sqlite3.connect(path / "index.sqlite") as index:
        index.execute("DELETE FROM snapshots WHERE id = ?", (killed,))
    index.close()
    with Repository.open(path) as repo:
        assert names(repo) == {"release": first.hex()}
        assert repo.has_snapshot(killed)


def test_a_damaged_tag_that_a_killed_commit_wished_for_does_not_close_the_repository(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        record(repo, tags=("release",))
    killed = kill_after_the_manifest(path, tags=("release",), force=True)
    flip(path / "tags" / "shop" / "release", 20)
    with Repository.open(path) as repo:
        assert repo.has_snapshot(killed)


@pytest.mark.parametrize("call", ["add_snapshot", "add_packs"])
def test_what_the_index_knows_is_read_though_it_has_no_room_for_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
        known = repo.index.packs()
    killed = kill_after_the_manifest(path)
    index = Index(path / "index.sqlite")
    (new,) = index.packs().keys() - known.keys()
    index.drop_pack(new)
    index.close()

    def full(*_: object) -> None:
        raise StoreFull("no space left for the index")

    monkeypatch.setattr(Index, call, full)
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts
    monkeypatch.undo()
    with Repository.open(path) as repo:
        assert texts(repo, killed) == shop(300).texts


def test_wished_tags_are_finished_once_and_a_later_deletion_stays(path: Path) -> None:
    kill_after_the_manifest(path, tags=("pre",))
    with Repository.open(path) as repo:
        delete_tag(repo, "pre", database="shop")
    with Repository.open(path) as repo:
        assert names(repo) == {}


def test_of_two_killed_commits_the_later_one_gets_the_tag_that_both_move(path: Path) -> None:
    killed = []
    for _ in range(6):
        killed.append(kill_after_the_manifest(path, tags=("release",), force=True))
        # As if no one had opened the repository between the two.
        with sqlite3.connect(path / "index.sqlite") as index:
            index.execute("DELETE FROM snapshots")
        index.close()
    with Repository.open(path) as repo:
        assert names(repo) == {"release": killed[-1].hex()}


def test_a_rebuilt_index_brings_back_no_deleted_tag_and_moves_none(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo, tags=("gone", "moved"))
        later = record(repo, shop(210), tags=("release",), force_tags=True).snapshot_id
        last = record(repo, shop(220)).snapshot_id
        delete_tag(repo, "gone", database="shop")
        set_tag(repo, "moved", later, force=True)
        set_tag(repo, "release", last, force=True)
        before = names(repo)
    remove_index(path)
    with Repository.open(path) as repo:
        assert names(repo) == before
        assert len(repo.newest("shop")) == 3


def test_an_index_whose_rebuilding_was_killed_brings_back_no_deleted_tag(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo, tags=("gone",))
        record(repo, shop(210), tags=("gone-too",))
        for tag in ("gone", "gone-too"):
            delete_tag(repo, tag, database="shop")
    remove_index(path)
    child = os.fork()
    if child == 0:
        try:
            add = catching_up.admit

            def admit_and_die(*words: Any, **more: Any) -> NoReturn:
                add(*words, **more)
                os._exit(9)

            catching_up.admit = admit_and_die
            Repository.open(path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Repository.open(path) as repo:
        assert len(repo.newest("shop")) == 2
        assert names(repo) == {}


# -- store and index disagree -------------------------------------------------------------------


def test_packs_that_the_index_does_not_know_are_read(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
        for pack in repo.index.packs():
            repo.index.drop_pack(pack)
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts
        assert record(repo).stored_bytes == 0


def test_packs_that_are_gone_are_unknown_to_the_next_commit_which_stores_them_again(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    for file in (path / "packs").rglob("*"):
        if file.is_file():
            file.unlink()
    with Repository.open(path) as repo, pytest.raises(CorruptionError):
        texts(repo, made)
    with Repository.open(path) as repo:
        assert record(repo).stored_bytes > 0
        assert texts(repo, made) == shop(200).texts


@pytest.mark.parametrize("keep", [0, 7, 35, -1])
def test_a_pack_that_was_cut_short_is_no_pack(path: Path, keep: int) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    (file,) = (file for file in (path / "packs").rglob("*") if file.is_file())
    file.write_bytes(file.read_bytes()[:keep])
    with Repository.open(path) as repo:
        with pytest.raises(CorruptionError):
            repo.check_present(repo.snapshot(made))
        assert record(repo).stored_bytes > 0
        assert texts(repo, made) == shop(200).texts


def test_a_snapshot_whose_file_was_removed_is_gone_from_the_index_too(path: Path) -> None:
    with Repository.open(path) as repo:
        gone = record(repo).snapshot_id
        kept = record(repo, shop(210)).snapshot_id
    (path / "snapshots" / gone.hex()).unlink()
    with Repository.open(path) as repo:
        assert repo.newest("shop") == [kept]
        assert not repo.has_snapshot(gone)
        assert texts(repo, kept) == shop(210).texts
        assert show(repo, kept).snapshot.parent == gone


def test_stray_files_between_the_objects_do_no_harm(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    for name in ("packs/README", "packs/ab/x.tmp", "snapshots/.DS_Store", "snapshots/abc"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"stray")
    with Repository.open(path) as repo:
        assert repo.newest(None) == [made]
        assert texts(repo, made) == shop(200).texts


def test_a_damaged_manifest_hides_only_its_own_snapshot_when_the_index_is_rebuilt(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        damaged = record(repo).snapshot_id
        sound = record(repo, shop(210)).snapshot_id
    (path / "snapshots" / damaged.hex()).write_bytes(b"\x89snapM\x02\x00 no more")
    remove_index(path)
    with Repository.open(path) as repo:
        assert repo.newest(None) == [sound]
        assert texts(repo, sound) == shop(210).texts


# -- the index is lost or damaged ---------------------------------------------------------------


def test_a_deleted_index_is_rebuilt_from_the_store(path: Path) -> None:
    with Repository.open(path) as repo:
        first = record(repo, tags=("one",)).snapshot_id
        second = record(repo, shop(210), database="other").snapshot_id
        before = [(entry.snapshot_id, entry.tags) for entry in log(repo, database=None)]
        dumped = dump_index(path)
    remove_index(path)
    with Repository.open(path) as repo:
        assert [(entry.snapshot_id, entry.tags) for entry in log(repo, database=None)] == before
        assert texts(repo, first) == shop(200).texts
        assert texts(repo, second) == shop(210).texts
    assert dump_index(path) == dumped


def dump_index(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path / "index.sqlite") as index:
        found = index.execute(
            'SELECT packs.id, chunks.id, "offset", frame_bytes, chunk_bytes, kind, codec, depth'
            " FROM chunks JOIN packs USING (pack_no) ORDER BY packs.id, chunks.id"
        ).fetchall()
        found += index.execute("SELECT * FROM snapshots ORDER BY id").fetchall()
    index.close()
    return found


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 9000, b"x"]
)
def test_an_index_that_is_garbage_is_put_aside_and_rebuilt(path: Path, content: bytes) -> None:
    with Repository.open(path) as repo:
        made = record(repo, tags=("one",)).snapshot_id
    (path / "index.sqlite").write_bytes(content)
    with Repository.open(path) as repo:
        assert repo.newest("shop") == [made]
        assert names(repo) == {"one": made.hex()}
        assert texts(repo, made) == shop(200).texts
    if len(content) > 1:
        assert (path / "index.sqlite.damaged").read_bytes()[:1000] == content[:1000]


def test_an_index_of_a_newer_schema_is_put_aside_and_rebuilt(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    with sqlite3.connect(path / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 99")
    index.close()
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts
    assert (path / "index.sqlite.damaged").exists()


def test_any_damage_of_the_index_is_told_in_words_and_gone_at_the_next_open_or_its_deletion(
    path: Path,
) -> None:
    """SQLite has no checksums, so some damage is only seen when a chunk does not hash: never is a
    wrong byte given out, never does it end in anything but a SnapError."""
    with Repository.open(path) as repo:
        made = record(repo, tags=("one",)).snapshot_id
    whole = (path / "index.sqlite").read_bytes()
    chance = random.Random(7)
    right = 0
    for _ in range(150):
        damaged = bytearray(whole)
        start = chance.randrange(len(damaged))
        for position in range(start, min(start + chance.choice([1, 8, 200, 4096]), len(damaged))):
            damaged[position] = chance.randrange(256)
        (path / "index.sqlite").write_bytes(damaged)
        with contextlib.suppress(SnapError), Repository.open(path) as repo:
            for entry in log(repo, database=None):
                assert texts(repo, entry.snapshot_id) == shop(200).texts
                right += 1
        remove_index(path)
    assert right > 50
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts


def test_an_index_with_a_damaged_manifest_gives_the_one_in_the_store(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo, message="the truth").snapshot_id
    with sqlite3.connect(path / "index.sqlite") as index:
        index.execute("UPDATE snapshots SET manifest = ?", (b"\x89snapM garbage",))
    index.close()
    with Repository.open(path) as repo:
        assert repo.snapshot(made).message == "the truth"


def test_an_index_that_breaks_while_it_is_open_is_rebuilt_at_the_next_open(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    with sqlite3.connect(path / "index.sqlite") as index:
        index.execute("UPDATE chunks SET kind = 77")
    index.close()
    with Repository.open(path) as repo, pytest.raises(CorruptionError) as caught:
        texts(repo, made)
    assert "run the command again" in caught.value.hint.lower()
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts


# -- leftovers ----------------------------------------------------------------------------------


def test_what_a_killed_writer_left_is_removed_when_nobody_else_is_there(path: Path) -> None:
    (path / "tmp" / "0123").write_bytes(b"half a pack")
    Repository.open(path).close()
    assert list((path / "tmp").iterdir()) == []


def test_what_another_process_is_writing_is_not_removed(path: Path) -> None:
    with (path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        (path / "tmp" / "0123").write_bytes(b"half a pack")
        Repository.open(path).close()
        assert [file.name for file in (path / "tmp").iterdir()] == ["0123"]
    Repository.open(path).close()
    assert list((path / "tmp").iterdir()) == []


def test_a_repository_without_its_empty_folders_is_one(path: Path) -> None:
    (path / "tmp").rmdir()
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    (path / "tmp").rmdir()
    with Repository.open(path) as repo:
        assert texts(repo, made) == shop(200).texts


def test_an_index_of_another_time_gives_no_deleted_tag_back_to_a_snapshot_with_a_child(
    path: Path, tmp_path: Path
) -> None:
    with Repository.open(path) as repo:
        record(repo)
    shutil.copy(path / "index.sqlite", tmp_path / "old.sqlite")
    with Repository.open(path) as repo:
        record(repo, shop(210), tags=("gone",))
        delete_tag(repo, "gone", database="shop")
        record(repo, shop(220))
    killed = kill_after_the_manifest(path, tags=("wished",))
    remove_index(path)
    shutil.copy(tmp_path / "old.sqlite", path / "index.sqlite")
    with Repository.open(path) as repo:
        assert names(repo) == {"wished": killed.hex()}
        assert len(repo.newest("shop")) == 4
