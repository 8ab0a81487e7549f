"""Forgotten snapshots: hidden everywhere, brought back whole, and what notes and index say."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, UnknownRevision
from pgsnap.format.small import encode_note, note_id
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots import forgetting
from pgsnap.repository.snapshots.revisions import resolve, resolve_forgotten
from pgsnap.workflows.notes.verdicts import proofs
from support.dumps.scripted import shop
from support.repositories.made import (
    UNPRIVILEGED,
    day,
    in_child,
    make,
    make_read_only,
    make_writable,
    record,
)
from support.repositories.stores import RecordingStore, use_store


def history(path: Path, count: int = 4) -> list[SnapshotId]:
    """Make a repository of *count* snapshots, oldest first."""
    with Repository.open(make(path)) as repo:
        return [
            record(repo, shop(10 + number), at=day(number)).snapshot_id
            for number in range(1, count + 1)
        ]


def forget(path: Path, *snapshots: SnapshotId) -> None:
    with Repository.open(path) as repo:
        for snapshot in snapshots:
            repo.forget(snapshot, by="test", reason="a test")


def add_note(path: Path, kind: str, snapshot: SnapshotId | None, micros: int) -> Path:
    """Write a note as another process or a push would: the index does not know of it."""
    data = encode_note(Note(kind, "shop", day(9) + timedelta(microseconds=micros), snapshot))
    file = path / layout.note_name(kind, note_id(data))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def visible(path: Path) -> list[SnapshotId]:
    with Repository.open(path) as repo:
        return repo.newest("shop")[::-1]


def test_a_forgotten_snapshot_is_hidden_everywhere_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    with Repository.open(path) as repo:
        record(repo, shop(99), database="blog", at=day(1))
        repo.forget(made[3], by="test", reason="")
        repo.forget(made[1], by="test", reason="")

        def names(text: str) -> SnapshotId:
            return resolve(repo, text, database="shop")

        assert repo.newest("shop") == [made[2], made[0]]
        assert made[3] not in repo.newest(None)
        assert set(made) < set(repo.newest(None, also_forgotten=True))
        assert names("latest") == names("@2026-01-31") == made[2]
        assert names("@2026-01-02") == made[0]
        assert names("latest~1") == made[0], "its parent is forgotten, and is no step"
        assert list(repo.forgotten()) == [made[3], made[1]]
        for length in (6, 64):
            with pytest.raises(UnknownRevision, match="is forgotten") as caught:
                names(made[3].hex()[:length])
            assert caught.value.hint.endswith(f"snap unforget {made[3].hex()[:12]}")
            assert resolve_forgotten(repo, made[3].hex()[:length].upper()) == made[3]
        since = repo.forgotten()[made[3]]
        repo.forget(made[3], by="again", reason="")
        assert repo.forgotten()[made[3]] == since, "the grace period does not begin again"
        later = record(repo, shop(33), at=day(5))
        assert later.snapshot.parent == made[2]
        repo.unforget(made[3])
        assert repo.newest("shop") == [later.snapshot_id, made[3], made[2], made[0]]
        assert verify(repo, data=True).findings == ()


def test_a_label_whose_snapshots_are_all_forgotten_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path, 1)
    with Repository.open(path) as repo:
        record(repo, shop(99), database="blog", at=day(1))
        repo.forget(made[0], by="test", reason="")
        assert repo.databases() == ["blog"]
        assert record(repo, shop(5), at=day(3)).snapshot.parent is None


def test_a_tag_of_a_forgotten_snapshot_tells_how_to_bring_it_back(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = record(repo, tags=("v1",)).snapshot_id
        record(repo, shop(3))
        repo.forget(made, by="test", reason="")
        with pytest.raises(UnknownRevision, match='"v1" is forgotten') as caught:
            resolve(repo, "v1", database=None)
        assert "snap unforget" in caught.value.hint
        repo.unforget(made)
        assert resolve(repo, "v1", database=None) == made


def test_steps_pass_over_what_was_dropped_for_good(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    forget(path, made[1], made[2])
    for snapshot in made[1:3]:
        (path / layout.snapshot_name(snapshot)).unlink()
    with Repository.open(path) as repo:
        assert resolve(repo, "latest~1", database="shop") == made[0]
        assert repo.forgotten() == {}
        with pytest.raises(UnknownRevision, match="no forgotten snapshot"):
            resolve_forgotten(repo, made[1].hex())
        with pytest.raises(UnknownRevision):
            repo.unforget(made[1])
        assert verify(repo).findings == (), "it was deleted on purpose"


@pytest.mark.parametrize("rebuild", ["reopened", "index deleted", "reindexed"])
def test_what_is_forgotten_is_what_the_notes_say(tmp_path: Path, rebuild: str) -> None:
    path = tmp_path / "backups"
    made = history(path)
    add_note(path, "forgotten", made[0], 5)
    add_note(path, "forgotten", made[1], 5)
    add_note(path, "unforgotten", made[1], 5)
    add_note(path, "forgotten", made[2], 5)
    add_note(path, "unforgotten", made[2], 7)
    add_note(path, "forgotten", made[2], 9)
    add_note(path, "unforgotten", made[3], 1)
    add_note(path, "forgotten", bytes(32), 1)
    add_note(path, "forgotten", None, 1)
    (path / "notes" / "forgotten" / "stray").write_bytes(b"x")
    if rebuild == "index deleted":
        for file in path.glob("index.sqlite*"):
            file.unlink()
    elif rebuild == "reindexed":
        reindex(path)
        with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as index:
            assert index.execute("SELECT count(*) FROM notes").fetchone() == (9,)
    assert visible(path) == [made[1], made[3]], "of two notes of the same time unforgotten holds"
    with Repository.open(path) as repo:
        assert repo.forgotten()[made[2]] == day(9) + timedelta(microseconds=9)


def test_a_note_that_vanishes_counts_no_more(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    first = add_note(path, "forgotten", made[0], 1)
    assert visible(path) == made[1:]
    back = add_note(path, "unforgotten", made[0], 2)
    assert visible(path) == made
    back.unlink()
    assert visible(path) == made[1:]
    first.unlink()
    assert visible(path) == made


def test_opening_reads_no_note_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backups"
    made = history(path, 2)
    for micros in range(50):
        add_note(path, "forgotten", made[0], micros)
    with Repository.open(path) as repo:
        add_note(path, "unforgotten", made[0], 99)
        store = RecordingStore(repo.store)
        forgetting.catch_up(store, repo.index, repo.naming)
        assert len(store.names("get")) == 1
        assert repo.newest("shop") == made[::-1]
        store.calls.clear()
        forgetting.catch_up(store, repo.index, repo.naming)
        assert store.calls == [("list", "notes/forgotten/"), ("list", "notes/unforgotten/")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data.replace(b"shop", b"shoq"),
    ],
    ids=["cut", "empty", "changed"],
)
def test_a_damaged_note_does_not_keep_a_repository_from_being_opened(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "backups"
    made = history(path)
    note = add_note(path, "forgotten", made[0], 1)
    whole = note.read_bytes()
    note.write_bytes(damage(whole))
    add_note(path, "forgotten", made[1], 1)
    assert visible(path) == [made[0], *made[2:]]
    with Repository.open(path) as repo:
        assert [finding.kind for finding in verify(repo).findings] == ["note"]
        # What it said is unknown, so nothing may be dropped for good.
        with pytest.raises(CorruptionError, match=note.name):
            forgetting.check_notes(repo.store, repo.index, repo.naming)
    note.write_bytes(whole)
    assert visible(path) == made[2:]
    with Repository.open(path) as repo:
        forgetting.check_notes(repo.store, repo.index, repo.naming)


@pytest.mark.parametrize("kind", ["forgotten", "unforgotten"])
def test_reindex_keeps_what_the_index_knows_of_a_note_that_is_damaged_now(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "backups"
    made = history(path)
    notes = {name: add_note(path, name, made[0], 1) for name in ("forgotten", kind)}
    before = visible(path)
    assert (made[0] in before) is (kind == "unforgotten")
    notes[kind].write_bytes(b"")
    reindex(path)
    assert visible(path) == before


def test_a_clock_that_was_set_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return next(ticks)

    path = tmp_path / "backups"
    made = history(path)
    ticks = iter(datetime(year, 1, 1, tzinfo=UTC) for year in (2030, 2029, 2028, 2027))
    monkeypatch.setattr(forgetting, "datetime", Clock)
    with Repository.open(path) as repo:
        for _ in range(2):
            repo.forget(made[0], by="test", reason="")
            assert made[0] in repo.forgotten()
            repo.unforget(made[0])
            assert made[0] not in repo.forgotten()
    for file in path.glob("index.sqlite*"):
        file.unlink()
    assert visible(path) == made


def test_two_processes_see_what_either_forgets(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    with Repository.open(path) as repo:
        assert in_child(lambda: forget(path, made[0])) == 0
        assert repo.newest("shop") == [made[3], made[2], made[1]]
        repo.unforget(made[0])
        assert in_child(lambda: forget(path, made[1])) == 0
        assert list(repo.forgotten()) == [made[1]]
    assert visible(path) == [made[0], made[2], made[3]]


def test_forgetting_from_many_threads_and_opens_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    errors: list[BaseException] = []

    def work(snapshot: SnapshotId) -> None:
        try:
            for _ in range(5):
                with Repository.open(path) as repo:
                    repo.forget(snapshot, by="test", reason="")
                    assert repo.forgotten_since(snapshot) is not None
                    repo.unforget(snapshot)
                    assert repo.forgotten_since(snapshot) is None
            forget(path, snapshot)
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(snapshot,)) for snapshot in made[:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert visible(path) == made[3:]


def test_read_only_media_hide_what_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    forget(path, made[3])
    for file in path.glob("index.sqlite*"):
        file.unlink()
    make_read_only(path)

    def look() -> None:
        assert visible(path) == made[:3]

    try:
        assert in_child(look, user=UNPRIVILEGED) == 0
    finally:
        make_writable(path)


def test_a_snapshot_that_is_made_anew_to_the_last_byte_is_visible(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path, 2)
    with Repository.open(path) as repo:
        snapshot = repo.snapshot(made[1])
        repo.forget(made[1], by="test", reason="")
        assert repo.publish(snapshot)[0] == made[1]
        assert repo.newest("shop") == made[::-1]
        other, _ = repo.publish(replace(snapshot, message="another"))
        assert repo.newest("shop")[0] in (other, made[1])
        assert not (path / "notes" / "forgotten").exists() or repo.forgotten() == {}


def test_a_forgotten_snapshot_is_verified_and_repaired_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    forget(path, made[0])
    with Repository.open(path) as repo:
        use_store(repo, RecordingStore(repo.store))
        assert made[0] in verify(repo).snapshots


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE forgotten SET time_us = time_us - 1",
        "UPDATE forgotten SET snapshot = zeroblob(32)",
        "DELETE FROM forgotten",
        "INSERT INTO forgotten VALUES (zeroblob(32), 5)",
        "UPDATE notes SET kind = 'unforgotten'",
        "UPDATE notes SET time_us = 5",
        "UPDATE notes SET snapshot = zeroblob(32)",
    ],
)
def test_verify_finds_that_the_index_says_otherwise_than_the_notes_and_mends_it(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "backups"
    made = history(path)
    forget(path, made[0], made[1])
    with Repository.open(path) as repo:
        repo.unforget(made[1])
        truth = repo.forgotten()
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as index:
        assert index.execute(change).rowcount > 0
        index.commit()
    with Repository.open(path) as repo:
        (finding,) = verify(repo).findings
        assert finding.kind == "index"
        assert "forgotten" in finding.problem
        assert repo.forgotten() == truth
        assert verify(repo).findings == ()


def test_a_row_of_a_note_that_is_damaged_now_is_not_wrong(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    note = add_note(path, "forgotten", made[0], 1)
    assert visible(path) == made[1:]
    note.write_bytes(b"")
    with Repository.open(path) as repo:
        assert not forgetting.mend_forgotten(repo.store, repo.index, repo.naming)
    assert visible(path) == made[1:]


def test_a_note_whose_body_is_no_object_is_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "backups"
    made = history(path)
    note = Note("verdict", "shop", day(9), made[0], ["passed"])  # type: ignore[arg-type]
    data = encode_note(note)
    file = path / layout.note_name("verdict", note_id(data))
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    with Repository.open(path) as repo:
        assert proofs(repo) == {}
        (finding,) = verify(repo).findings
        assert finding.name.endswith(file.name)
