"""What verify finds, what it lets commits know, and what it writes down."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.verify.section_walk import SectionWalk
from pgsnap.maintenance.verify.verify import VerifyReport, verify
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import ObjectInfo
from pgsnap.workflows.history.tag import set_tag
from support.dumps.scripted import shop, texts
from support.faults.damaging import flip
from support.repositories.made import make_read_only, make_writable, record


def packs(path: Path) -> list[Path]:
    return sorted(file for file in (path / "packs").rglob("*") if file.is_file())


def verified(path: Path, *, data: bool = False) -> VerifyReport:
    with Repository.open(path) as repo:
        return verify(repo, data=data)


def test_a_sound_repository_has_no_findings_and_counts_what_was_read(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo)
        record(repo, shop(300))
    for data in (False, True):
        report = verified(path, data=data)
        assert report.findings == ()
        assert len(report.snapshots) == 2
        assert report.sections == 12
        assert report.packs == len(packs(path))
        assert report.pack_bytes == sum(file.stat().st_size for file in packs(path))


def test_an_empty_repository_is_sound(path: Path) -> None:
    assert verified(path, data=True).findings == ()


def test_a_damaged_chunk_is_stored_again_by_the_next_commit_and_then_all_is_whole(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        made = record(repo, shop(4000)).snapshot_id
        (file,) = packs(path)
        flip(file, file.stat().st_size // 2)
        assert record(repo, shop(4000)).stored_bytes == 0
        report = verify(repo, data=True)
        assert [finding.kind for finding in report.findings] == ["pack", "section"]
        assert record(repo, shop(4000)).stored_bytes > 0
        assert texts(repo, made) == shop(4000).texts
        # All of the pack was stored again, so it has the name of the damaged one.
        assert verify(repo, data=True).findings == ()
        assert record(repo, shop(4000)).stored_bytes == 0


def test_marks_of_damage_outlive_a_new_opening_and_go_when_the_pack_is_sound_again(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        record(repo, shop(4000))
    (file,) = packs(path)
    flip(file, 2000)
    assert verified(path, data=True).findings
    with Repository.open(path) as repo:
        assert len(repo.index.damaged()) > 1
        assert sum(not readable for _, _, readable in repo.index.damaged()) == 1
    flip(file, 2000)
    assert verified(path, data=True).findings == ()
    with Repository.open(path) as repo:
        assert repo.index.damaged() == []
        assert record(repo, shop(4000)).stored_bytes == 0


def test_chunks_of_a_pack_whose_table_is_damaged_are_read_and_yet_stored_again(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
        (file,) = packs(path)
        flip(file, file.stat().st_size - 60)
        (finding,) = verify(repo).findings
        assert finding.kind == "pack"
        assert finding.snapshots == (made,)
        assert "data public.users" in finding.sections
        repo.check_present(repo.snapshot(made))
        assert texts(repo, made) == shop(200).texts
        assert record(repo).stored_bytes > 0


def test_a_wrong_row_of_the_index_is_found_and_the_pack_is_not_blamed(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
    for change in (
        'UPDATE chunks SET "offset" = "offset" + 1 WHERE kind = 0',
        "DELETE FROM chunks WHERE kind = 0",
        "INSERT INTO chunks SELECT randomblob(32), pack_no, 1, 1, 1, 0, 0, 0, 0, NULL FROM packs",
        "UPDATE snapshots SET time_us = 5",
        "UPDATE snapshots SET manifest = x'00'",
    ):
        with sqlite3.connect(path / "index.sqlite") as index:
            index.execute(change)
        index.close()
        found = verified(path).findings
        assert {finding.kind for finding in found} == {"index"}, change
        assert found[0].next == "snap reindex"
        with Repository.open(path) as repo:
            assert texts(repo, made) == shop(200).texts
        if "INSERT" in change:
            reindex(path)


def test_only_the_chosen_snapshots_are_read(path: Path) -> None:
    with Repository.open(path) as repo:
        first = record(repo, shop(4000)).snapshot_id
        second = record(repo, shop(200, seed=9), database="other").snapshot_id
        file = next(file for file in packs(path) if file.stat().st_size > 200_000)
        flip(file, file.stat().st_size // 2)
        assert verify(repo, snapshots=[second], data=True).findings == ()
        (finding,) = verify(repo, snapshots=[first], data=True).findings
        assert finding.kind == "section"
        assert finding.sections[0].startswith("data public.")
        assert record(repo, shop(4000)).stored_bytes > 0


def test_every_verdict_says_how_its_snapshot_stands(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo, shop(4000))
        sound = record(repo, shop(200, seed=9), database="other").snapshot_id
        assert repo.notes("verdict") == []
        verify(repo)
        assert repo.notes("verdict") == []
        file = next(file for file in packs(path) if file.stat().st_size > 200_000)
        flip(file, file.stat().st_size // 2)
        verify(repo, data=True)
        counts = {note.snapshot: note.body["findings"] for note in repo.notes("verdict")}
    assert counts.pop(sound) == 0
    assert list(counts.values()) == [1]


def test_a_snapshot_whose_manifest_vanished_is_missed_unless_it_was_forgotten(path: Path) -> None:
    from datetime import UTC, datetime

    from pgsnap.model import Note

    with Repository.open(path) as repo:
        gone = record(repo).snapshot_id
    (path / "snapshots" / gone.hex()).unlink()
    (finding,) = verified(path).findings
    assert finding.snapshots == (gone,)
    assert finding.next == "snap repair"
    with Repository.open(path) as repo:
        repo.add_note(Note("forgotten", "shop", datetime.now(UTC), gone))
        assert verify(repo).findings == ()


def test_a_tag_of_a_snapshot_that_is_gone_comes_with_the_command_that_deletes_it(
    path: Path,
) -> None:
    with Repository.open(path) as repo:
        gone = record(repo).snapshot_id
        set_tag(repo, "it's", gone)
    (path / "snapshots" / gone.hex()).unlink()
    found = {finding.kind: finding for finding in verified(path).findings}
    assert found["tag"].next == "snap tag --delete 'it'\"'\"'s' --database shop"


def test_stray_files_are_told_and_are_no_damage(path: Path) -> None:
    (path / "packs").mkdir(exist_ok=True)
    (path / "packs" / "README").write_text("mine")
    report = verified(path)
    assert report.findings == ()
    assert any("packs/README" in notice for notice in report.notices)


def test_what_snapshots_share_is_walked_once(path: Path) -> None:
    with Repository.open(path) as repo:
        first = record(repo, shop(4000)).snapshot_id
        second = record(repo, shop(4000)).snapshot_id
        walk = SectionWalk(repo)
        repo.catch_up_packs()
        walk.check(first, repo.snapshot(first))
        asked: list[int] = []
        look = repo.index.known
        repo.index.known = lambda chunks: asked.append(len(chunks)) or look(chunks)  # type: ignore
        walk.check(second, repo.snapshot(second))
    assert sum(asked) == 0


def test_a_read_only_repository_is_verified_without_verdicts(path: Path) -> None:
    from support.repositories.made import UNPRIVILEGED, in_child

    with Repository.open(path) as repo:
        record(repo)
    make_read_only(path)

    def look() -> None:
        with Repository.open(path) as repo:
            report = verify(repo, data=True)
            assert report.findings == ()
            assert any("verdict" in notice for notice in report.notices)

    try:
        assert in_child(look, user=UNPRIVILEGED) == 0
    finally:
        make_writable(path)


def test_a_pack_that_another_commit_is_about_to_index_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository.open(path) as repo, Repository.open(path) as other:
        record(repo)
        known = repo.index.packs()
        record(other, shop(300))
        (new,) = repo.index.packs().keys() - known.keys()
        list_all = repo.store.list

        def list_and_lose(prefix: str) -> Iterator[ObjectInfo]:
            infos = list(list_all(prefix))
            if prefix == layout.PACKS:
                repo.index.drop_pack(new)
            return iter(infos)

        # As if it had come between the opening and the look at the packs.
        repo.catch_up_packs()
        repo.index.drop_pack(new)
        monkeypatch.setattr(repo.store, "list", list_and_lose)
        found = verify(repo, snapshots=repo.newest("shop")[1:]).findings
        assert found == ()
        assert new not in repo.index.packs()


def test_a_stray_file_among_the_notes_is_no_note(path: Path) -> None:
    with Repository.open(path) as repo:
        record(repo)
        verify(repo, data=True)
        (path / "notes" / "verdict" / ".DS_Store").write_bytes(b"x")
        assert len(repo.notes("verdict")) == 1
        (path / "notes" / "verdict" / "renamed").write_bytes(
            next(
                f for f in (path / "notes" / "verdict").iterdir() if len(f.name) == 64
            ).read_bytes()
        )
        with pytest.raises(CorruptionError):
            repo.notes("verdict")
