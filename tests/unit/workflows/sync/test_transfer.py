"""What one repository has and another lacks travels, and becomes visible only once it is whole."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, UsageError
from pgsnap.limits import PACK_BYTES
from pgsnap.maintenance.repair.losses import accept, find_losses, vanished
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, SnapshotId, Tag
from pgsnap.repository.layout import snapshot_name
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import TransferReport, transfer
from support.dumps.scripted import shop
from support.faults.damaging import flip
from support.repositories.collecting import (
    NOW,
    collect,
    commit_versions,
    sound_versions_in,
    version,
)
from support.repositories.handmade import Handmade, name_of
from support.repositories.made import day, in_child, make, record


class Pair:
    """A repository in a folder, and another one that a URL names; each is opened when it is
    used."""

    def __init__(self, folder: Path, *, pack_bytes: int = PACK_BYTES) -> None:
        self.here: Path | str = make(folder / "here", pack_bytes=pack_bytes)
        self.there: Path | str = (folder / "there").as_uri()
        self.folder_there = folder / "there"
        Repository.create(self.there, pack_bytes=pack_bytes)

    def push(self, **options: object) -> TransferReport:
        with Repository.open(self.here) as here, Repository.open(self.there) as there:
            return transfer(here, there, **options)  # type: ignore[arg-type]

    def pull(self, **options: object) -> TransferReport:
        with Repository.open(self.here) as here, Repository.open(self.there) as there:
            return transfer(there, here, **options)  # type: ignore[arg-type]

    def commit(self, *numbers: int) -> list[SnapshotId]:
        with Repository.open(self.here) as repo:
            return commit_versions(repo, numbers)

    def check(self, where: Path | str) -> set[int]:
        """Check that all reads back byte for byte; return the numbers of the versions."""
        with Repository.open(where) as repo:
            return sound_versions_in(repo)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_all_snapshots_travel_and_a_second_push_sends_nothing(pair: Pair) -> None:
    made = pair.commit(0, 1, 2, 3)
    report = pair.push()
    assert list(report.snapshots) == made
    assert report.sent_bytes > 0
    assert pair.check(pair.there) == {0, 1, 2, 3}
    again = pair.push()
    assert (again.snapshots, again.sent_bytes, again.requests) == ((), 0, 0)


def test_one_more_snapshot_sends_what_it_stored_and_no_more(pair: Pair) -> None:
    pair.commit(0, 1)
    pair.push()
    (new,) = pair.commit(2)
    with Repository.open(pair.here) as repo:
        stored = repo.snapshot(new).stored_bytes
    report = pair.push()
    assert report.sent_bytes <= stored
    # A pack, a manifest, and an entry of the log.
    assert report.requests == 3
    assert pair.check(pair.there) == {0, 1, 2}


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(pair: Pair) -> None:
    pair.commit(0, 1)
    before = files(pair.folder_there)
    planned = pair.push(dry_run=True)
    assert files(pair.folder_there) == before
    done = pair.push()
    assert planned.snapshots == done.snapshots
    assert planned.chunks == done.chunks
    assert planned.packs == done.packs
    assert done.sent_bytes == pytest.approx(planned.sent_bytes, rel=0.1)


def test_a_dry_run_and_its_report_count_what_is_written(pair: Pair) -> None:
    made = pair.commit(0, 1, 2)
    with Repository.open(pair.here) as repo:
        for snapshot in made:
            repo.add_note(Note("verdict", "shop", NOW, snapshot, {"by": "test"}))
        repo.forget(made[0], by="test", reason="none")
        set_tag(repo, "kept", made[1])
    before = files(pair.folder_there)
    planned = pair.push(dry_run=True)
    done = pair.push()
    assert (planned.notes, planned.requests) == (done.notes, done.requests)
    assert done.notes == 2
    # The note that the parent of one was left out among them.
    assert done.requests == len(files(pair.folder_there) - before)
    assert pair.push(dry_run=True).notes == 0


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_small_packs_of_one_push_are_joined(pair: Pair) -> None:
    pair.commit(*range(8))
    assert len(files(Path(pair.here) / "packs")) >= 8
    report = pair.push()
    assert report.packs == 1
    assert len(files(pair.folder_there / "packs")) == 1
    assert pair.check(pair.there) == set(range(8))


def test_large_packs_are_copied_as_they_are(tmp_path: Path) -> None:
    pair = Pair(tmp_path, pack_bytes=20_000)
    pair.commit(0, 1, 2)
    pair.push()
    both = files(Path(pair.here) / "packs") & files(pair.folder_there / "packs")
    assert len(both) >= 2
    assert pair.check(pair.there) == {0, 1, 2}


def test_chunks_that_both_sides_encoded_differently_keep_valid_chains(pair: Pair) -> None:
    # There the versions come in another order, so that other chunks are deltas.
    with Repository.open(pair.there) as there:
        for number in (5, 3, 1):
            record(
                there, version(number), database="other", message=str(number), at=day(number + 1)
            )
    pair.commit(*range(8))
    pair.push()
    assert pair.check(pair.there) == set(range(8))
    pair.pull()
    assert pair.check(pair.here) == set(range(8))


@pytest.mark.parametrize(("rank_there", "sent"), [(1, 2), (5, 6), (40, 41), (62, 63), (63, 0)])
def test_a_delta_gets_a_greater_rank_than_its_base_has_there_or_becomes_plain(
    tmp_path: Path, rank_there: int, sent: int
) -> None:
    words = random.Random(1).randbytes(3000)
    first, base, delta = words, words + b"base", words + b"delta"
    here, there = (Handmade(make(tmp_path / name)) for name in ("here", "there"))
    here.chunk(base)
    here.delta(delta, base, 2)
    number = here.snapshot({"t": [delta, base]})
    here.write()
    there.chunk(first)
    there.delta(base, first, rank_there)
    there.write()
    with Repository.open(here.path) as source, Repository.open(there.path) as target:
        report = transfer(source, target)
        assert report.snapshots == (here.made[number],)
        # The base is not sent again.
        assert len(target.index.locations([name_of(base)])[name_of(base)]) == 1
        (found,) = target.index.locations([name_of(delta)])[name_of(delta)]
        assert found.frame.depth == (max(sent, 2) if sent else 0)
        assert found.frame.base == (name_of(base) if sent else None)
        assert target.chunks.read(name_of(delta)) == delta
        assert not verify(target, data=True).findings


def test_a_gc_here_that_reencoded_changes_nothing_about_what_is_there(pair: Pair) -> None:
    pair.commit(*range(6))
    pair.push()
    collect(Path(pair.here), 2)
    pair.commit(6, 7)
    report = pair.push()
    assert len(report.snapshots) == 2
    assert pair.check(pair.there) == set(range(8))


def test_what_was_forgotten_there_does_not_come_back_unless_it_is_named(pair: Pair) -> None:
    made = pair.commit(0, 1, 2)
    pair.push()
    with Repository.open(pair.here) as here:
        here.forget(made[0], by="test", reason="test")
    collect(Path(pair.here), 3, grace=timedelta(0))
    report = pair.pull()
    assert report.forgotten_there == (made[0],)
    assert pair.check(pair.here) == {1, 2}
    # It was forgotten here, and is there as before.
    assert pair.check(pair.there) == {0, 1, 2}
    report = pair.pull(named=[made[0]])
    assert report.snapshots == (made[0],)
    assert pair.check(pair.here) == {0, 1, 2}


@pytest.mark.parametrize("where", ["there", "here"])
def test_what_comes_without_its_parent_is_no_damage_and_a_removed_parent_is(
    pair: Pair, where: str, tmp_path: Path
) -> None:
    made = pair.commit(*range(6))
    if where == "here":
        pair.push()
        pair.here, pair.there = pair.there, make(tmp_path / "another host's")
    # Parents that a gc dropped, and those that were not asked for.
    with Repository.open(pair.here, alone=True) as here:
        here.forget(made[2], by="test", reason="test")
        gc(here, Policy(last=10), grace=timedelta(0), pack_grace=timedelta(0))
    pair.push(named=[made[1], made[3], made[5]])
    assert pair.check(pair.there) == {1, 3, 5}
    # One that came later after all is looked for from then on, where its own child needs it.
    pair.push(named=[made[4]])
    assert pair.check(pair.there) == {1, 3, 4, 5}
    with Repository.open(pair.there) as there:
        new = record(there, version(6), message="6", at=day(7)).snapshot_id
        assert there.snapshot(new).parent == made[5]
        there.store.delete(snapshot_name(made[5]))
        there.index.drop_snapshots([made[5]])
        problems = [one.problem for one in verify(there).findings]
        assert any(f"the parent of snapshot {new.hex()[:12]}" in one for one in problems)
        assert not any(f"the parent of snapshot {made[5].hex()[:12]}" in one for one in problems)


def test_a_parent_that_never_was_there_is_not_called_gone_and_can_be_given_up(pair: Pair) -> None:
    made = pair.commit(0, 1, 2)
    pair.push(named=[made[1]])
    # Earlier versions did not note what came without its parent.
    for note in (pair.folder_there / "notes" / "shallow").rglob("*"):
        if note.is_file():
            note.unlink()
    with Repository.open(pair.there) as there:
        (found,) = verify(there).findings
        assert found.problem.startswith(f"It is the parent of snapshot {made[1].hex()[:12]}. Noth")
        assert "its history was not copied" in found.problem
        assert found.next == f"snap repair --accept-loss {made[0].hex()[:12]}"
    # Where it was seen, it is gone.
    pair.push(named=[made[0]])
    with Repository.open(pair.there) as there:
        assert not verify(there).findings
        there.store.delete(snapshot_name(made[0]))
    with Repository.open(pair.there, whole=True) as there:
        (found,) = verify(there).findings
        assert found.problem.endswith(", but it is gone.")
        # What is named as the way out is one.
        accept(there, find_losses(there, [vanished(there, made[0].hex()[:12])]), by="test")
        assert not verify(there).findings
    assert pair.check(pair.there) == {1}


def test_notes_travel_but_those_that_forget(pair: Pair) -> None:
    made = pair.commit(0, 1)
    verdict = Note("verdict", "shop", NOW, made[1], {"by": "drill", "passed": True})
    with Repository.open(pair.here) as here:
        here.add_note(verdict)
        here.forget(made[0], by="test", reason="test")
        here.unforget(made[0])
    pair.push()
    with Repository.open(pair.there) as there:
        assert there.notes("verdict") == [verdict]
        assert there.notes("forgotten") == []
    assert pair.push().notes == 0


# -- tags ------------------------------------------------------------------------------------------


def test_tags_of_what_is_sent_travel_and_a_divergent_one_is_refused(pair: Pair) -> None:
    one, two = pair.commit(0, 1)
    with Repository.open(pair.here) as here:
        set_tag(here, "release", one)
        set_tag(here, "late", two)
    report = pair.push()
    assert {tag.name for tag in report.tags} == {"release", "late"}
    with Repository.open(pair.here) as here:
        here.tags.set(Tag("shop", "release", two, NOW), force=True)
        set_tag(here, "new", one)
    report = pair.push()
    assert [tag.name for tag in report.tags] == ["new"]
    assert [(one.tag.name, one.there) for one in report.divergent] == [("release", one)]
    # Until it is solved; and it is none of what is sent.
    report = pair.push(force_tags=True)
    assert [(one.tag.name, one.there) for one in report.divergent] == [("release", one)]
    with Repository.open(pair.there) as there:
        assert there.tags.by_snapshot() == {one: ["new", "release"], two: ["late"]}
    pair.push(all_tags=True, force_tags=True)
    with Repository.open(pair.there) as there:
        assert there.tags.by_snapshot() == {one: ["new"], two: ["late", "release"]}


# -- faults ----------------------------------------------------------------------------------------


def test_damage_is_not_sent_and_nothing_that_needs_it_becomes_visible(pair: Pair) -> None:
    pair.commit(0, 1)
    pack = max((Path(pair.here) / "packs").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    flip(pack, 2000)
    with pytest.raises(CorruptionError):
        pair.push()
    with Repository.open(pair.there) as there:
        assert there.newest(None) == []
        assert not verify(there, data=True).findings


def test_a_push_killed_at_any_write_shows_only_whole_snapshots_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, pack_bytes=20_000)
    made = pair.commit(*range(4))
    ended, number = 9, 0
    while ended == 9:
        number += 1
        ended = in_child(lambda count=number: _push_and_die(pair, count))  # type: ignore[misc]
        with Repository.open(pair.there) as there:
            for snapshot in there.newest(None):
                there.check_present(there.snapshot(snapshot))
        pair.check(pair.there)
    assert ended == 0
    # A pack or more, and the manifests of which each run published one.
    assert number >= 4
    with Repository.open(pair.there) as there:
        assert set(there.newest(None)) == set(made)


def _push_and_die(pair: Pair, count: int) -> None:
    with ExitStack() as stack:
        here, there = (stack.enter_context(Repository.open(one)) for one in (pair.here, pair.there))
        writes = _countdown(count)
        create = there.place.store.create

        def create_or_die(name: str, data: bytes) -> None:
            create(name, data)
            if next(writes) == 0:
                os._exit(9)

        there.place.store.create = create_or_die  # type: ignore[method-assign]
        transfer(here, there)


def _countdown(count: int) -> Iterator[int]:
    while True:
        count -= 1
        yield count


def test_a_repository_is_not_pushed_to_itself(pair: Pair) -> None:
    with (
        Repository.open(pair.here) as one,
        Repository.open(pair.here) as other,
        pytest.raises(UsageError, match="both are the same repository") as caught,
    ):
        transfer(one, other)
    assert caught.value.hint


def test_two_pushes_at_once_leave_one_whole_repository(pair: Pair) -> None:
    pair.commit(0, 1, 2)
    with Repository.open(pair.here) as here, Repository.open(pair.there) as there:
        with Repository.open(pair.there) as other:
            record(other, shop(50), database="elsewhere", message="0")
            transfer(here, other, database="shop")
        transfer(here, there, database="shop")
    with Repository.open(pair.there) as there:
        assert len(there.newest("shop")) == 3
        assert len(there.newest("elsewhere")) == 1
        assert not verify(there, data=True).findings
