"""A gc of a remote store deletes nothing that a writer which comes, goes, sleeps or wakes needs."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, RepositoryLocked, StoreError
from pgsnap.format.small import encode_note, note_id
from pgsnap.maintenance.verify.object_faults import manifest_faults
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, SnapshotId
from pgsnap.progress import Silent
from pgsnap.repository.repository import Repository
from pgsnap.repository.rounds import read_rounds
from pgsnap.stores.base import ObjectInfo
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import texts
from support.repositories.collecting import commit_versions, sound_versions_in, version
from support.repositories.made import in_child, record

AT_ONCE = timedelta(0)
A_DAY = timedelta(days=1)


class Remote:
    """A repository that a URL names, and hosts with caches of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.url = self.folder.as_uri()
        self._caches = folder
        Repository.create(self.url)

    def open(self, host: str = "here", *, alone: bool = False) -> Repository:
        return Repository.open(
            self.url, index_folder=self._caches / host, alone=alone, lock_timeout_seconds=0.5
        )

    def gc(self, last: int, *, pack_grace: timedelta = AT_ONCE) -> GcReport:
        with self.open("collector", alone=True) as repo:
            return gc(repo, Policy(last=last), grace=AT_ONCE, pack_grace=pack_grace)

    def packs(self) -> set[str]:
        return {file.name for file in (self.folder / "packs").rglob("*") if file.is_file()}

    def check(self) -> set[int]:
        """Check that all that is seen reads back; return the numbers of the versions."""
        with self.open("checker") as repo:
            return sound_versions_in(repo)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def commit(repo: Repository, number: int) -> SnapshotId:
    return record(repo, version(number), message=str(number)).snapshot_id


def test_packs_are_marked_first_and_deleted_after_the_grace_period(remote: Remote) -> None:
    with remote.open() as repo:
        commit_versions(repo, range(0, 29, 7))
    before = remote.packs()
    marking = remote.gc(1, pack_grace=A_DAY)
    assert marking.packs_marked > 0
    assert marking.packs_deleted == 0
    assert marking.marked_until is not None
    assert before <= remote.packs()
    waiting = remote.gc(1, pack_grace=A_DAY)
    assert waiting.packs_marked == marking.packs_marked
    assert before <= remote.packs()
    swept = remote.gc(1)
    assert swept.packs_deleted == marking.packs_marked
    assert len(before & remote.packs()) == len(before) - len(before - remote.packs()) < len(before)
    assert remote.check() == {28}
    assert remote.gc(1).packs_deleted == 0


def test_a_commit_that_relies_on_marked_packs_claims_them(remote: Remote) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0, 29])
    with remote.open() as writer:
        writer.catch_up_packs()
        remote.gc(1, pack_grace=A_DAY)
        # The same as the version whose packs were marked: nothing of it is stored again.
        assert record(writer, version(0), message="0").stored_bytes < 10_000
    assert list((remote.folder / "claims").iterdir())
    remote.gc(2)
    assert remote.check() == {0, 29}


def test_packs_of_a_commit_that_is_under_way_are_claimed_when_it_publishes(
    remote: Remote,
) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0])
    with remote.open("writer") as writer:
        during(writer, lambda: remote.gc(1, pack_grace=A_DAY))
        commit(writer, 1)
    remote.gc(9)
    assert remote.check() == {0, 1}


def during(writer: Repository, act: object) -> None:
    """Let *act* happen once the next pack was written."""
    create = writer.place.store.create

    def create_then_act(name: str, data: bytes) -> None:
        create(name, data)
        if name.startswith("packs/"):
            writer.place.store.create = create  # type: ignore[method-assign]
            act()  # type: ignore[operator]

    writer.place.store.create = create_then_act  # type: ignore[method-assign]


@pytest.mark.parametrize("dry_run", [False, True])
def test_packs_that_others_upload_during_a_gc_are_not_called_damaged(
    remote: Remote, dry_run: bool
) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0])
    (remote.folder / "packs" / "00").mkdir(exist_ok=True)
    damaged = f"packs/00/{'00' * 32}"
    (remote.folder / damaged).write_bytes(b"no pack")
    before = remote.packs()

    class Meanwhile(Silent):
        def phase(self, name: str, total_bytes: int | None = None) -> None:
            if name == "mark what is needed" and remote.packs() == before:
                with remote.open("writer") as writer:
                    commit(writer, 1)

    with remote.open("collector", alone=True) as repo:
        report = gc(repo, Policy(last=9), grace=AT_ONCE, dry_run=dry_run, progress=Meanwhile())
    assert remote.packs() > before
    assert report.unreadable == (damaged,)
    (remote.folder / damaged).unlink()
    assert remote.check() == {0, 1}


def test_a_manifest_that_was_written_before_the_mark_is_found_by_the_sweep(
    remote: Remote,
) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0])
    # Its packs are seen by the gc, and its manifest is not yet.
    with remote.open("writer") as writer, remote.open("collector", alone=True) as repo:
        list_them = repo.store.list

        def list_late(prefix: str) -> Iterator[object]:
            found = list(list_them(prefix))
            if prefix == "snapshots/":
                repo.store.list = list_them  # type: ignore[method-assign]
                commit(writer, 1)
            return iter(found)

        repo.store.list = list_late  # type: ignore[assignment, method-assign]
        report = gc(repo, Policy(last=9), grace=AT_ONCE, pack_grace=A_DAY)
        assert report.packs_marked > 0
    assert remote.gc(9).packs_deleted == 0
    assert remote.check() == {0, 1}


@pytest.mark.parametrize("listed", ["packs/", "snapshots/"])
def test_what_others_publish_whenever_a_gc_lists_is_not_taken_for_damage(
    remote: Remote, listed: str
) -> None:
    with remote.open() as repo:
        commit_versions(repo, range(0, 29, 7))
    remote.gc(1)
    # The next one sweeps.
    numbers = iter(range(30, 60))
    published = {28}
    with remote.open("writer") as writer, remote.open("collector", alone=True) as repo:
        list_them = repo.store.list

        def list_then_publish(prefix: str) -> Iterator[ObjectInfo]:
            yield from list(list_them(prefix))
            if prefix == listed:
                published.add(next(numbers))
                commit(writer, max(published))

        repo.store.list = list_then_publish  # type: ignore[method-assign]
        assert gc(repo, Policy(last=99), grace=AT_ONCE, pack_grace=AT_ONCE).packs_deleted > 0
        assert list(manifest_faults(repo)) == []
    assert len(published) > 1
    assert remote.check() == published


def test_a_writer_that_slept_through_a_whole_round_is_refused_and_shows_nothing(
    remote: Remote,
) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0, 29])
    with remote.open("sleeper") as sleeper:
        sleeper.catch_up_packs()
        remote.gc(1)
        assert remote.gc(1).packs_deleted > 0
        with pytest.raises(StoreError, match="a gc is deleting what the snapshot needs") as caught:
            commit(sleeper, 0)
        assert "Nothing was recorded" in caught.value.detail
    assert remote.check() == {29}
    with remote.open("sleeper") as sleeper:
        commit(sleeper, 0)
    assert remote.check() == {0, 29}


def test_a_writer_that_slept_while_it_published_says_so(remote: Remote) -> None:
    with remote.open() as repo:
        commit_versions(repo, [0, 29])
    with remote.open("sleeper") as sleeper:
        create = sleeper.place.store.create

        def create_late(name: str, data: bytes) -> None:
            if name.startswith("snapshots/"):
                remote.gc(1)
                remote.gc(1)
            create(name, data)

        sleeper.place.store.create = create_late  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="a gc is deleting") as caught:
            commit(sleeper, 0)
        assert "visible, but not whole" in caught.value.detail


def test_a_gc_killed_at_any_write_is_finished_by_the_next(remote: Remote) -> None:
    with remote.open() as repo:
        commit_versions(repo, range(0, 29, 7))
    ended, moment = 9, 0
    while ended == 9:
        moment += 1
        ended = in_child(lambda count=moment: _collect_and_die(remote, count))  # type: ignore[misc]
        # The child's lease is that of a dead process.
        (remote.folder / "gc" / "lease").unlink(missing_ok=True)
        assert 28 in remote.check()
    assert ended == 0
    assert moment > 3
    remote.gc(1)
    remote.gc(1)
    assert remote.check() == {28}
    with remote.open() as repo:
        assert all(one.is_done for one in read_rounds(repo.store)[:-1])


def _collect_and_die(remote: Remote, count: int) -> None:
    import os

    with remote.open("collector", alone=True) as repo:
        store = repo.place.store
        left = count

        def dying(act: object) -> object:
            def called(*arguments: object) -> object:
                nonlocal left
                result = act(*arguments)  # type: ignore[operator]
                left -= 1
                if left == 0:
                    os._exit(9)
                return result

            return called

        store.create = dying(store.create)  # type: ignore[assignment, method-assign]
        store.delete = dying(store.delete)  # type: ignore[assignment, method-assign]
        gc(repo, Policy(last=1), grace=AT_ONCE, pack_grace=AT_ONCE)


def test_forged_notes_that_forget_are_not_obeyed(remote: Remote) -> None:
    with remote.open() as repo:
        made = commit_versions(repo, [0, 29])
    body = {"by": "test", "reason": "test"}
    note = encode_note(Note("forgotten", "shop", datetime.now(UTC), made[0], body))
    forged = remote.folder / "notes" / "forgotten"
    forged.mkdir(parents=True)
    (forged / note_id(note).hex()).write_bytes(note)
    with remote.open("another") as repo:
        assert set(repo.newest(None)) == set(made)
    remote.gc(9)
    remote.gc(9)
    assert remote.check() == {0, 29}


def test_one_gc_runs_at_a_time(remote: Remote) -> None:
    with remote.open("one", alone=True), pytest.raises(RepositoryLocked):
        remote.open("two", alone=True)


def test_writers_and_a_gc_beside_them_lose_no_acknowledged_snapshot(remote: Remote) -> None:
    acknowledged: set[tuple[int, SnapshotId]] = set()
    ended = threading.Event()
    failures: list[BaseException] = []
    late: list[StoreError] = []
    stopped: list[CorruptionError] = []

    def write(host: int) -> None:
        chance = random.Random(host)
        try:
            for _ in range(6):
                number = chance.randrange(20)
                with remote.open(f"host {host}") as repo:
                    try:
                        acknowledged.add((number, commit(repo, number)))
                    except StoreError as error:
                        assert "a gc is deleting" in error.message  # noqa: PT017
                        late.extend([error] if "visible, but not whole" in error.detail else [])
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    def collect() -> None:
        try:
            while not ended.is_set():
                remote.gc(3, pack_grace=timedelta(milliseconds=300))
        except CorruptionError as error:
            stopped.append(error)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    writers = [threading.Thread(target=write, args=(host,)) for host in range(4)]
    collector = threading.Thread(target=collect)
    for thread in (*writers, collector):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    collector.join()
    assert not failures
    # A round passed within a commit: it ended with an error, and gc stops at what it left.
    assert not stopped or late
    assert acknowledged
    with remote.open("reader") as repo:
        kept = set(repo.newest(None))
        for number, snapshot in acknowledged:
            if snapshot in kept:
                assert texts(repo, snapshot) == version(number).texts
        assert not verify(repo, data=True).findings
