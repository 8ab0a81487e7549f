"""gc: what is dropped and when, what is freed, and that all that is kept reads back."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, RepositoryLocked, UnknownRevision
from pgsnap.files.folder import Folder
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Tag
from pgsnap.repository.footprint import footprint
from pgsnap.repository.lock import exclusive
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import dump, rows, shop, table, texts
from support.repositories.collecting import (
    AT_ONCE,
    NOW,
    check_versions,
    collect,
    commit_versions,
    version,
)
from support.repositories.made import day, in_child, make, record

WEEK = timedelta(days=7)


def fill(path: Path, count: int) -> list[bytes]:
    with Repository.open(path) as repo:
        return commit_versions(repo, range(count))


def packs_in(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in path.glob("packs/*/*")}


def findings(path: Path) -> list[object]:
    with Repository.open(path) as repo:
        return list(verify(repo, data=True).findings)


def test_what_the_policy_drops_is_hidden_at_once_and_freed_after_the_grace_period(
    path: Path,
) -> None:
    ids = fill(path, 4)
    first = collect(path, 2, grace=WEEK)
    assert [one.snapshot_id for one in first.decisions if not one.keep] == ids[1::-1]
    assert (first.expired, first.waiting) == ((), 2)
    assert check_versions(path) == {2, 3}
    with Repository.open(path) as repo:
        repo.unforget(ids[0])
        assert texts(repo, ids[0]) == version(0).texts
        repo.forget(ids[0], by="test", reason="")
        since = repo.forgotten_since(ids[0])
        assert since is not None
    with Repository.open(path, alone=True) as repo:
        early = gc(repo, Policy(last=2), grace=WEEK, now=since + WEEK - timedelta(seconds=1))
        assert ids[0] not in [one.snapshot_id for one in early.expired]
        late = gc(repo, Policy(last=2), grace=WEEK, now=since + WEEK)
        assert {one.snapshot_id for one in (*early.expired, *late.expired)} == set(ids[:2])
        with pytest.raises(UnknownRevision):
            repo.snapshot(ids[0])
        # The note stays, and tells that it is gone on purpose.
        assert repo.forgotten_since(ids[0]) == since
    assert findings(path) == []


def test_gc_down_to_one_snapshot_leaves_hardly_more_than_a_fresh_repository(
    path: Path, tmp_path: Path
) -> None:
    fill(path, 12)
    report = collect(path, 1)
    assert report.chunks_reencoded > 0
    # SQLite's shared memory goes when the index is closed.
    assert 0 <= report.bytes_after - footprint(path).total < 50_000
    fresh = make(tmp_path / "fresh")
    with Repository.open(fresh) as repo:
        record(repo, version(11))
    assert check_versions(path) == {11}
    assert footprint(path).packs < footprint(fresh).packs * 1.05
    assert footprint(path).index <= footprint(fresh).index * 1.05
    assert findings(path) == []
    again = collect(path, 1)
    assert (again.packs_deleted, again.packs_rewritten, again.chunks_reencoded) == (0, 0, 0)
    with Repository.open(path) as repo:
        commit_versions(repo, [12])
    assert check_versions(path) == {11, 12}


def test_a_daily_gc_moves_little_of_what_stays(path: Path) -> None:
    lines = rows(4000, seed=3, width=200)
    with Repository.open(path) as repo:
        for number in range(8):
            changing = table("public", "log", rows(300, seed=number, width=100))
            record(repo, dump(table("public", "old", lines), changing), at=day(number + 1))
    largest = set()
    for number in range(8, 14):
        collect(path, 7)
        largest.add(max(path.glob("packs/*/*"), key=lambda file: file.stat().st_size).name)
        with Repository.open(path) as repo:
            changing = table("public", "log", rows(300, seed=number, width=100))
            record(repo, dump(table("public", "old", lines), changing), at=day(number + 1))
    # What does not change was moved once or twice, and not day after day.
    assert len(largest) <= 3
    quiet = [collect(path, 7) for _ in range(2)][1]
    assert (quiet.packs_rewritten, quiet.chunks_reencoded) == (0, 0)


def test_a_dry_run_writes_nothing_and_foresees_what_is_done(path: Path) -> None:
    fill(path, 10)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    plan = collect(path, 2, dry_run=True)
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert {name.name for name in before} >= {name.name for name in after}
    assert all(before[file] == data for file, data in after.items() if "index" not in file.name)
    assert len([one for one in plan.decisions if not one.keep]) == 8
    done = collect(path, 2)
    assert done.chunks_reencoded == plan.chunks_reencoded
    assert abs(plan.freed_bytes - done.freed_bytes) < 0.15 * done.bytes_before
    assert check_versions(path) == {8, 9}


def test_an_unfinished_commit_is_collected_and_a_tag_goes_with_its_snapshot(path: Path) -> None:
    ids = fill(path, 2)
    whole = packs_in(path)
    with Repository.open(path) as repo:
        repo.tags.set(Tag("shop", "nightly", ids[0], day(3)))
        from pgsnap.repository.chunks.ingest import Ingest
        from support.dumps.scripted import ScriptedSource

        ingest = Ingest(repo.chunk_store)
        ingest.store(ScriptedSource(shop(2000)).all_events())
        ingest.finish()
    assert len(packs_in(path)) > len(whole)
    with Repository.open(path, alone=True) as repo:
        report = gc(repo, Policy(last=1, tags=("pre-*",)), grace=AT_ONCE, now=NOW)
        assert [one.snapshot_id for one in report.expired] == [ids[0]]
        assert repo.tags.all() == []
    assert report.packs_deleted >= 1
    assert check_versions(path) == {1}
    assert findings(path) == []


def test_gc_refuses_a_damaged_repository_and_deletes_nothing(path: Path) -> None:
    ids = fill(path, 3)
    manifest = path / "snapshots" / ids[2].hex()
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-1] + b"!")
    before = packs_in(path)
    with pytest.raises(CorruptionError) as caught:
        collect(path, 1)
    assert "snap verify" in caught.value.hint
    manifest.unlink()
    with pytest.raises(CorruptionError) as caught:
        collect(path, 1)
    assert "snap repair" in caught.value.hint
    manifest.write_bytes(whole)
    file = next(iter(sorted(path.glob("packs/*/*"), key=lambda one: -one.stat().st_size)))
    data = file.read_bytes()
    file.unlink()
    with pytest.raises(CorruptionError):
        collect(path, 1)
    assert len(list(path.glob("snapshots/*"))) == 3
    assert packs_in(path).keys() == before.keys() - {file.name}
    file.write_bytes(data)
    collect(path, 1)
    assert check_versions(path) == {2}


def test_gc_drops_nothing_where_a_note_that_may_have_brought_it_back_is_damaged(path: Path) -> None:
    with Repository.open(path) as repo:
        made = commit_versions(repo, range(3))
        repo.forget(made[0], by="test", reason="test")
        repo.unforget(made[0])
    (note,) = (path / "notes" / "unforgotten").iterdir()
    note.write_bytes(note.read_bytes()[:-3] + b"bad")
    for file in path.glob("index.sqlite*"):
        file.unlink()
    with pytest.raises(CorruptionError, match="note"):
        collect(path, 1)
    assert (path / "snapshots" / made[0].hex()).exists()


def test_a_damaged_frame_is_never_copied(path: Path) -> None:
    fill(path, 8)
    file = max(path.glob("packs/*/*"), key=lambda one: one.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptionError) as caught:
        collect(path, 1)
    assert "snap verify" in caught.value.hint
    assert file.exists()


def test_gc_waits_for_commits_and_for_another_gc(path: Path) -> None:
    fill(path, 2)
    with exclusive(Folder(path), 1.0), pytest.raises(RepositoryLocked):
        Repository.open(path, alone=True, lock_timeout_seconds=0.1)
    with Repository.open(path), pytest.raises(RepositoryLocked):
        Repository.open(path, alone=True, lock_timeout_seconds=0.1)


def test_committers_and_collectors_at_the_same_time_lose_nothing(path: Path) -> None:
    fill(path, 3)
    statuses: list[int] = []

    def commit_some(first: int) -> None:
        for number in range(first, first + 4):
            with Repository.open(path, lock_timeout_seconds=60) as repo:
                record(repo, version(number), database=f"db{first}", message=str(number))

    def collect_some() -> None:
        for _ in range(5):
            collect(path, 2)

    def run(task: object) -> None:
        statuses.append(in_child(task))  # type: ignore[arg-type]

    tasks = [lambda: commit_some(10), lambda: commit_some(20), collect_some, collect_some]
    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0, 0, 0]
    assert {12, 13, 22, 23} <= check_versions(path)
    collect(path, 2)
    assert check_versions(path) == {1, 2, 12, 13, 22, 23}
    assert findings(path) == []


def test_what_a_gc_forgets_has_its_grace_period_from_the_gc_s_own_time_on(path: Path) -> None:
    ids = fill(path, 3)
    with Repository.open(path, alone=True) as repo:
        later = NOW + timedelta(days=4000)
        report = gc(repo, Policy(last=1), grace=WEEK, now=later)
        assert (report.expired, report.waiting, report.waiting_until) == ((), 2, later + WEEK)
        assert set(repo.forgotten().values()) == {later}
        repo.unforget(ids[0])
        assert texts(repo, ids[0]) == version(0).texts


def test_gc_drops_what_the_notes_say_and_not_what_a_wrong_row_of_the_index_does(path: Path) -> None:
    ids = fill(path, 3)
    with Repository.open(path) as repo:
        repo.forget(ids[0], by="test", reason="")
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as index:
        index.execute("UPDATE forgotten SET snapshot = ?", (ids[2],))
        index.commit()
    report = collect(path, 3)
    assert [one.snapshot_id for one in report.expired] == [ids[0]]
    assert check_versions(path) == {1, 2}


def test_gc_keeps_what_a_lost_manifest_needs_until_the_grace_period_is_over(path: Path) -> None:
    with Repository.open(path) as repo:
        lost = record(repo, shop(3000), at=day(1)).snapshot_id
        record(repo, dump(table("public", "other", rows(3000, seed=5, width=100))), at=day(2))
        repo.forget(lost, by="test", reason="")
    manifest = path / "snapshots" / lost.hex()
    manifest.unlink()
    assert collect(path, 1, grace=WEEK).expired == ()
    with Repository.open(path) as repo:
        report = verify(repo, data=True)
        assert report.findings == ()
        assert any("snap repair" in notice for notice in report.notices)
    (mended,) = repair(path).mended
    assert mended.name.endswith(lost.hex())
    with Repository.open(path) as repo:
        assert lost in repo.forgotten()
        repo.unforget(lost)
        assert texts(repo, lost) == shop(3000).texts
        repo.forget(lost, by="test", reason="")
    manifest.unlink()
    assert collect(path, 1).freed_bytes > 0
    assert repair(path).mended == ()


def test_what_a_gc_dropped_is_not_put_back_though_all_that_it_needs_is_there(path: Path) -> None:
    ids = fill(path, 3)
    with Repository.open(path) as repo:
        repo.forget(ids[0], by="test", reason="")
    (path / "snapshots" / ids[0].hex()).unlink()
    collect(path, 1)
    assert repair(path).mended == ()
    assert check_versions(path) == {2}
