"""Snapshots travel between a plain repository and an encrypted one, both ways, with new ids."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, SnapshotId, Tag
from pgsnap.repository.repository import Repository
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import TransferReport, transfer
from support.dumps.scripted import texts
from support.repositories.collecting import NOW, commit_versions, version
from support.repositories.encrypted import unlocker
from support.repositories.keys import FIRST
from support.repositories.made import make


class Pair:
    """A plain repository in a folder, and an encrypted one that a URL names."""

    def __init__(self, folder: Path) -> None:
        self.path = make(folder / "here")
        self.folder_there = folder / "there"
        self.url = self.folder_there.as_uri()
        self._cache = folder / "cache"
        Repository.create(self.url, opener=KeyFile(FIRST))

    def here(self) -> Repository:
        return Repository.open(self.path)

    def there(self, *, alone: bool = False) -> Repository:
        return Repository.open(self.url, unlock=unlocker(), index_folder=self._cache, alone=alone)

    def push(self, **options: object) -> TransferReport:
        with self.here() as here, self.there() as there:
            return transfer(here, there, **options)  # type: ignore[arg-type]

    def pull(self, **options: object) -> TransferReport:
        with self.here() as here, self.there() as there:
            return transfer(there, here, **options)  # type: ignore[arg-type]

    def commit(self, *numbers: int) -> list[SnapshotId]:
        with self.here() as repo:
            return commit_versions(repo, numbers)


def check(opened: Repository) -> set[int]:
    """Check that all reads back byte for byte; return the numbers of the versions."""
    found = set()
    with opened as repo:
        for snapshot in repo.newest(None):
            number = int(repo.snapshot(snapshot).message)
            assert texts(repo, snapshot) == version(number).texts
            found.add(number)
        assert not verify(repo, data=True).findings
    return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_what_is_pushed_reads_back_and_a_second_push_sends_nothing(pair: Pair) -> None:
    made = pair.commit(0, 1, 2)
    report = pair.push()
    assert list(report.snapshots) == made
    assert check(pair.there()) == {0, 1, 2}
    again = pair.push()
    assert (again.snapshots, again.sent_bytes, again.requests) == ((), 0, 0)
    (new,) = pair.commit(3)
    assert pair.push().snapshots == (new,)
    assert check(pair.there()) == {0, 1, 2, 3}


def test_the_copy_has_other_ids_and_knows_the_first_ones(pair: Pair) -> None:
    made = pair.commit(0, 1)
    pair.push()
    with pair.there() as there:
        newest = list(reversed(there.newest(None)))
        copies = [there.snapshot(one) for one in newest]
        assert [one.alias for one in copies] == made
        assert not set(newest) & set(made)
        assert [one.parent for one in copies] == [None, newest[0]]
    with pair.here() as here:
        for first, copy in zip(made, copies, strict=True):
            assert here.snapshot(first).root == copy.root
    names = {file.name for file in pair.folder_there.rglob("*")}
    with pair.here() as here:
        stored = {chunk.hex() for (chunk,) in here.index.query("SELECT id FROM chunks")}
    assert not names & (stored | {one.hex() for one in made})


def test_what_did_not_change_is_not_stored_again(pair: Pair) -> None:
    pair.commit(0)
    first = pair.push().sent_bytes
    pair.commit(1)
    assert pair.push().sent_bytes < first / 4


def test_pulled_back_a_snapshot_is_the_one_that_was_pushed(pair: Pair, tmp_path: Path) -> None:
    made = pair.commit(0, 1, 2)
    pair.push()
    pair.path = make(tmp_path / "again")
    pair.pull(all_tags=True)
    assert check(pair.here()) == {0, 1, 2}
    with pair.here() as here:
        assert list(reversed(here.newest(None))) == made
    assert pair.push().snapshots == ()


def test_tags_and_notes_follow_by_the_new_ids(pair: Pair) -> None:
    one, two = pair.commit(0, 1)
    with pair.here() as here:
        set_tag(here, "release", one)
        here.add_note(Note("verdict", "shop", NOW, two, {"by": "drill", "passed": True}))
    report = pair.push()
    assert [tag.name for tag in report.tags] == ["release"]
    assert report.notes == 1
    with pair.there() as there:
        first, second = reversed(there.newest(None))
        assert there.tags.by_snapshot() == {first: ["release"]}
        assert [note.snapshot for note in there.notes("verdict")] == [second]
    assert pair.push(all_tags=True).requests == 0
    with pair.here() as here:
        here.tags.set(Tag("shop", "release", two, NOW), force=True)
    report = pair.push(all_tags=True)
    assert [(one.tag.name, one.there) for one in report.divergent] == [("release", first)]
    pair.push(all_tags=True, force_tags=True)
    with pair.there() as there:
        assert there.tags.by_snapshot() == {second: ["release"]}


def test_what_was_dropped_there_for_good_does_not_come_back_unless_it_is_named(
    pair: Pair,
) -> None:
    made = pair.commit(0, 1)
    pair.push()
    with pair.there(alone=True) as there:
        gc(there, Policy(last=1), grace=timedelta(0), pack_grace=timedelta(0))
    assert pair.push().forgotten_there == (made[0],)
    assert check(pair.there()) == {1}
    assert pair.push(named=[made[0]]).snapshots == (made[0],)
    assert check(pair.there()) == {0, 1}
