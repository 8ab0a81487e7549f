"""A new index: what is in it, what is kept of the old one, and a kill half-way."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryLocked
from pgsnap.maintenance import rebuild
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import delete_tag
from support.dumps.scripted import shop, texts
from support.faults.damaging import flip
from support.repositories.made import in_child, make, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = make(tmp_path / "backups")
    with Repository.open(made) as repo:
        record(repo, shop(4000), tags=("one", "gone"))
        record(repo, shop(300), database="other")
        delete_tag(repo, "gone", database="shop")
    return made


def rows(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path / "index.sqlite") as index:
        found = index.execute(
            'SELECT packs.id, chunks.id, "offset" FROM chunks JOIN packs USING (pack_no)'
            " ORDER BY 1, 2"
        ).fetchall()
        found += index.execute("SELECT * FROM snapshots ORDER BY id").fetchall()
    index.close()
    return list(found)


def test_the_new_index_holds_what_the_old_one_did_and_brings_back_no_tag(path: Path) -> None:
    before = rows(path)
    report = reindex(path)
    assert rows(path) == before
    assert (report.packs, report.snapshots, report.left_out) == (2, 2, ())
    assert sorted(file.name for file in path.glob("index*")) == ["index.sqlite"]
    with Repository.open(path) as repo:
        assert [tag.name for tag in repo.tags.all()] == ["one"]
        assert verify(repo, data=True).findings == ()


def test_what_is_wrong_in_the_old_index_is_right_in_the_new_one(path: Path) -> None:
    before = rows(path)
    with sqlite3.connect(path / "index.sqlite") as index:
        index.execute("DELETE FROM chunks WHERE kind = 0")
        index.execute("UPDATE snapshots SET database = x'00'")
    index.close()
    reindex(path)
    assert rows(path) == before


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_an_index_that_is_none_is_replaced(path: Path, content: bytes) -> None:
    before = rows(path)
    (path / "index.sqlite").write_bytes(content)
    reindex(path)
    assert rows(path) == before


def test_marks_of_damage_are_kept(path: Path) -> None:
    file = max(
        (f for f in (path / "packs").rglob("*") if f.is_file()), key=lambda f: f.stat().st_size
    )
    flip(file, 2000)
    with Repository.open(path) as repo:
        verify(repo, data=True)
        marks = repo.index.damaged()
    reindex(path)
    with Repository.open(path) as repo:
        assert sorted(repo.index.damaged()) == sorted(marks) != []
        assert record(repo, shop(4000)).stored_bytes > 0


def test_unsound_packs_and_manifests_are_left_out_and_named(path: Path) -> None:
    file = next(f for f in (path / "packs").rglob("*") if f.is_file())
    flip(file, file.stat().st_size - 60)
    manifest = next((path / "snapshots").iterdir())
    flip(manifest, 50)
    report = reindex(path)
    assert (report.packs, report.snapshots) == (1, 1)
    names = sorted(name for name, _ in report.left_out)
    assert names == [f"packs/{file.parent.name}/{file.name}", f"snapshots/{manifest.name}"]


def test_a_manifest_that_only_the_old_index_has_whole_is_not_lost(path: Path) -> None:
    manifest = next((path / "snapshots").iterdir())
    before = manifest.read_bytes()
    flip(manifest, 50)
    for _ in range(2):
        assert [name for name, _ in reindex(path).left_out] == [f"snapshots/{manifest.name}"]
    assert repair(path).lost == ()
    assert manifest.read_bytes() == before
    gone = next((path / "snapshots").iterdir())
    gone.unlink()
    reindex(path)
    with Repository.open(path) as repo:
        assert not repo.has_snapshot(bytes.fromhex(gone.name))
        assert repo.index.lost_snapshots() == {}


def test_a_reindex_waits_for_whoever_has_the_repository_open(path: Path) -> None:
    with Repository.open(path), pytest.raises(RepositoryLocked):
        reindex(path, lock_timeout_seconds=0.1)


@pytest.mark.parametrize("step", ["_fill", "_take_over", "sync_folder"])
def test_a_reindex_that_is_killed_leaves_an_index_that_is_right(path: Path, step: str) -> None:
    before = rows(path)
    real = getattr(rebuild, step)

    def die() -> None:
        def run_and_die(*words: object) -> None:
            real(*words)
            os._exit(9)

        setattr(rebuild, step, run_and_die)
        reindex(path)

    assert in_child(die) == 9
    with Repository.open(path) as repo:
        assert [tag.name for tag in repo.tags.all()] == ["one"]
        (made,) = repo.newest("shop")
        assert texts(repo, made) == shop(4000).texts
    assert rows(path) == before
    assert reindex(path).packs == 2
