"""Between repositories with different keys, and between plain and encrypted ones, the same
snapshots travel under other ids; both ids name them, and what comes back is the original."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.limits import PACK_BYTES
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, SnapshotId, Tag
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import TransferReport, transfer
from support.dumps.scripted import Dump, dump, table, texts
from support.faults.damaging import flip
from support.repositories.collecting import NOW, commit_versions, version
from support.repositories.encrypted import index_folder, make_encrypted, opened, pack_files
from support.repositories.keys import FIRST, SECOND
from support.repositories.made import day, in_child, make, record

KINDS = {
    "plain here, encrypted there": (None, FIRST),
    "encrypted here, plain there": (FIRST, None),
    "both encrypted": (FIRST, SECOND),
}


class Side:
    """A repository in a folder; *secret* opens it, None: it is plain."""

    def __init__(self, path: Path, secret: bytes | None, pack_bytes: int) -> None:
        self.path = path
        self._secret = secret
        if secret is None:
            make(path, pack_bytes=pack_bytes)
        else:
            make_encrypted(path, secret, pack_bytes=pack_bytes)

    def open(self, *, alone: bool = False) -> Repository:
        return opened(self.path, self._secret or FIRST, alone=alone)

    def commit(self, *numbers: int) -> list[SnapshotId]:
        with self.open() as repo:
            return commit_versions(repo, numbers)

    def forget_index(self) -> None:
        shutil.rmtree(index_folder(self.path), ignore_errors=True)
        for file in self.path.glob("index.sqlite*"):
            file.unlink()

    def keep(self, last: int) -> None:
        """Keep the *last* snapshots and drop all else."""
        with self.open(alone=True) as repo:
            gc(repo, Policy(last=last), grace=timedelta(0))

    def check(self) -> dict[int, SnapshotId]:
        """Check that all reads back byte for byte; return the snapshots by their versions."""
        found = {}
        with self.open() as repo:
            for snapshot in repo.newest(None):
                number = int(repo.snapshot(snapshot).message)
                assert texts(repo, snapshot) == version(number).texts
                found[number] = snapshot
            assert not verify(repo, data=True).findings
        return found


class Pair:
    def __init__(self, folder: Path, kind: str, pack_bytes: int = PACK_BYTES) -> None:
        first, second = KINDS[kind]
        self.here = Side(folder / "here", first, pack_bytes)
        self.there = Side(folder / "there", second, pack_bytes)

    def push(self, **options: object) -> TransferReport:
        return send(self.here, self.there, **options)

    def pull(self, **options: object) -> TransferReport:
        return send(self.there, self.here, **options)


def send(source: Side, target: Side, **options: object) -> TransferReport:
    with source.open() as one, target.open() as other:
        return transfer(one, other, **options)  # type: ignore[arg-type]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path, request.param)


@pytest.fixture
def common(tmp_path: Path) -> Pair:
    """The common set-up."""
    return Pair(tmp_path, "plain here, encrypted there")


def test_all_that_travels_reads_back_and_no_id_is_the_same(pair: Pair) -> None:
    made = pair.here.commit(0, 1, 2, 3)
    report = pair.push()
    assert list(report.snapshots) == made
    there = pair.there.check()
    assert there.keys() == {0, 1, 2, 3}
    assert not set(there.values()) & set(made)
    with pair.here.open() as here, pair.there.open() as other:
        other.catch_up_packs()
        ids = [chunk for (chunk,) in here.index.query("SELECT id FROM chunks")]
        assert not other.index.known(ids)
    again = pair.push()
    assert (again.snapshots, again.sent_bytes, again.packs, again.requests) == ((), 0, 0, 0)


def test_frames_are_copied_as_they_are_and_chains_stay_whole(common: Pair) -> None:
    common.here.commit(*range(6))
    common.push()
    with common.here.open() as here, common.there.open() as there:
        there.catch_up_packs()
        sizes = "SELECT frame_bytes, depth, base IS NULL FROM chunks WHERE kind = 0"
        before, after = (sorted(repo.index.query(sizes)) for repo in (here, there))
        # A sealed frame has 16 bytes more.
        assert [(size - 16, *rest) for size, *rest in after] == [tuple(row) for row in before]
        deltas = there.index.query("SELECT id FROM chunks WHERE base IS NOT NULL")
        assert len(deltas) >= 5
        assert len(there.index.known([chunk for (chunk,) in deltas])) == len(deltas)


def test_one_more_snapshot_sends_little_more_than_it_stored(pair: Pair) -> None:
    pair.here.commit(0, 1)
    pair.push()
    (new,) = pair.here.commit(2)
    with pair.here.open() as repo:
        stored = repo.snapshot(new).stored_bytes
    report = pair.push()
    assert report.sent_bytes <= stored * 1.1 + 256
    assert report.requests == 2
    assert pair.there.check().keys() == {0, 1, 2}


def test_unchanged_chunks_are_not_read_for_the_next_push(common: Pair) -> None:
    common.here.commit(0)
    common.push()
    common.here.commit(1)
    with common.here.open() as here, common.there.open() as there:
        here.catch_up_packs()
        old = {chunk for (chunk,) in here.index.query("SELECT id FROM chunks WHERE pack_no = 1")}
        asked: set[bytes] = set()
        read_ahead = here.chunks.read_ahead

        def seen(wanted, **options):  # type: ignore[no-untyped-def]
            for item in read_ahead(wanted, **options):
                asked.add(item[0])
                yield item

        here.chunks.read_ahead = seen  # type: ignore[method-assign]
        transfer(here, there)
    assert not old & asked


def test_what_was_lost_here_comes_back_as_the_very_same_snapshots(pair: Pair) -> None:
    made = pair.here.commit(0, 1, 2, 3)
    with pair.here.open() as here:
        manifests = [here.manifest(one) for one in made]
        secret, pack_bytes = pair.here._secret, PACK_BYTES
    pair.push()
    if secret is None:
        shutil.rmtree(pair.here.path)
        pair.here = Side(pair.here.path, secret, pack_bytes)
    else:
        # Another repository would have other keys: what it has is dropped.
        with pair.here.open(alone=True) as here:
            for one in made:
                here.forget(one, by="test", reason="test")
        pair.here.keep(1)
    with pair.there.open() as there:
        named = there.newest(None)
    pair.pull(named=named)
    assert pair.here.check() == dict(enumerate(made))
    with pair.here.open() as here:
        assert [here.manifest(one) for one in made] == manifests
    assert pair.push().snapshots == ()
    assert pair.pull().snapshots == ()


def test_snapshots_made_there_come_here_and_go_back_as_they_were(pair: Pair) -> None:
    pair.here.commit(0)
    pair.push()
    (there,) = pair.there.commit(1)
    (beyond,) = pair.there.commit(2)
    assert pair.pull().snapshots == (there, beyond)
    found = pair.here.check()
    assert found.keys() == {0, 1, 2}
    with pair.here.open() as here:
        assert here.snapshot(found[1]).parent == found[0]
        assert here.snapshot(found[2]).parent == found[1]
    assert (pair.push().snapshots, pair.pull().snapshots) == ((), ())
    assert pair.there.check()[1] == there


def test_both_ids_and_lines_of_parents_name_a_snapshot_on_both_sides(pair: Pair) -> None:
    made = pair.here.commit(0, 1, 2)
    pair.push()
    there = pair.there.check()
    with pair.there.open() as repo:
        for number, snapshot in enumerate(made):
            name = snapshot.hex()[:12]
            assert resolve(repo, name, database="shop") == there[number]
            assert resolve(repo, there[number].hex()[:12], database="shop") == there[number]
        assert resolve(repo, f"{made[2].hex()[:12]}~2", database="shop") == there[0]
        assert repo.snapshot(there[2]).parent == there[1]


def test_tags_and_notes_are_about_the_same_snapshots_there(pair: Pair) -> None:
    one, two = pair.here.commit(0, 1)
    verdict = Note("verdict", "shop", NOW, two, {"by": "drill", "passed": True})
    with pair.here.open() as here:
        set_tag(here, "release", one)
        here.add_note(verdict)
    report = pair.push()
    assert ([tag.name for tag in report.tags], report.notes) == (["release"], 1)
    with pair.there.open() as repo:
        there = repo.newest("shop")[::-1]
        assert repo.tags.by_snapshot() == {there[0]: ["release"]}
        (note,) = repo.notes("verdict")
        assert note.snapshot == there[1]
        repo.add_note(Note("verdict", "shop", NOW, there[0], {"by": "drill", "passed": False}))
    again = pair.push(all_tags=True)
    assert (again.tags, again.divergent, again.notes) == ((), (), 0)
    pair.pull()
    with pair.here.open() as here:
        assert {note.snapshot for note in here.notes("verdict")} == {one, two}
        assert here.tags.by_snapshot() == {one: ["release"]}
        here.tags.set(Tag("shop", "release", two, NOW), force=True)
    # Each is the same note on both sides, however often it travels.
    assert (pair.push().notes, pair.pull().notes) == (0, 0)
    refused = pair.push().divergent
    assert [(x.tag.snapshot, x.there) for x in refused] == [(two, one)]
    pair.push(all_tags=True, force_tags=True)
    with pair.there.open() as repo:
        assert repo.tags.by_snapshot() == {there[1]: ["release"]}


def test_gc_on_either_side_and_a_lost_index_do_no_harm(pair: Pair) -> None:
    pair.here.commit(*range(6))
    pair.push()
    pair.here.keep(2)
    pair.there.keep(3)
    pair.there.forget_index()
    pair.here.commit(6, 7)
    report = pair.push()
    assert len(report.snapshots) == 2
    assert pair.there.check().keys() == {3, 4, 5, 6, 7}
    assert pair.here.check().keys() == {4, 5, 6, 7}


def test_what_was_dropped_there_does_not_come_back_even_if_the_index_is_lost(pair: Pair) -> None:
    made = pair.here.commit(0, 1, 2)
    with pair.here.open() as here:
        set_tag(here, "first", made[0])
    pair.push()
    with pair.there.open() as there:
        there.tags.delete("shop", "first")
    pair.there.keep(1)
    report = pair.push()
    assert (report.snapshots, report.forgotten_there) == ((), tuple(made[:2]))
    pair.there.forget_index()
    report = pair.push()
    assert (report.snapshots, report.forgotten_there) == ((), tuple(made[:2]))
    assert report.tags == ()
    assert pair.there.check().keys() == {2}
    # Named, it comes.
    assert pair.push(named=[made[0]]).snapshots == (made[0],)
    assert pair.there.check().keys() == {0, 2}


def test_without_the_map_of_ids_nothing_is_sent_twice(pair: Pair) -> None:
    pair.here.commit(0, 1)
    pair.push()
    pair.there.forget_index()
    (new,) = pair.here.commit(2)
    with pair.here.open() as repo:
        stored = repo.snapshot(new).stored_bytes
    report = pair.push()
    assert report.snapshots == (new,)
    assert report.sent_bytes <= stored * 1.1 + 256
    assert pair.there.check().keys() == {0, 1, 2}


def test_a_wrong_row_of_the_map_of_ids_does_not_count(common: Pair) -> None:
    common.here.commit(0, 1)
    common.push()
    with common.there.open() as there, there.index.transaction() as connection:
        connection.execute("UPDATE copied_ids SET new = (SELECT max(id) FROM chunks)")
    common.here.commit(2)
    common.push()
    assert common.there.check().keys() == {0, 1, 2}


def test_a_transfer_killed_at_any_write_shows_only_whole_snapshots_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, "plain here, encrypted there", pack_bytes=20_000)
    made = pair.here.commit(*range(4))
    ended, number = 9, 0
    while ended == 9:
        number += 1
        ended = in_child(lambda count=number: _push_and_die(pair, count))  # type: ignore[misc]
        pair.there.check()
    assert ended == 0
    assert number >= 4
    assert len(pair.there.check()) == len(made)


def _push_and_die(pair: Pair, count: int) -> None:
    with ExitStack() as stack:
        here, there = (stack.enter_context(side.open()) for side in (pair.here, pair.there))
        put = there.store.put
        left = count

        def put_or_die(name: str, data: bytes | list[bytes]) -> None:
            nonlocal left
            put(name, data)
            left -= 1
            if left == 0:
                os._exit(9)

        there.store.put = put_or_die  # type: ignore[method-assign]
        transfer(here, there)


def test_damage_is_not_sent_and_nothing_that_needs_it_becomes_visible(pair: Pair) -> None:
    pair.here.commit(0, 1)
    flip(max(pack_files(pair.here.path), key=lambda pack: pack.stat().st_size), 2000)
    with pytest.raises(CorruptionError):
        pair.push()
    with pair.there.open() as there:
        assert there.newest(None) == []
        assert not verify(there, data=True).findings


def test_chunks_that_the_other_side_encoded_differently_keep_valid_chains(pair: Pair) -> None:
    pair.here.commit(*range(4))
    pair.push()
    # There the versions come in another order, so that other chunks are deltas.
    with pair.there.open() as there:
        for number in (9, 7, 5):
            record(there, version(number), database="other", message=str(number), at=day(number))
    pair.here.commit(*range(4, 10))
    pair.push()
    assert pair.there.check().keys() == set(range(10))
    pair.pull()
    assert pair.here.check().keys() == set(range(10))


def test_a_text_that_is_a_list_too_travels_as_both(pair: Pair) -> None:
    """A node's bytes, stored as the rows of a table: one chunk here, and two there."""
    pair.here.commit(0)
    with pair.here.open() as here:
        here.catch_up_packs()
        snapshot = here.snapshot(here.newest(None)[0])
        assert snapshot.sections_recipe.chunk is not None
        piece = here.chunks.read(snapshot.sections_recipe.chunk)
        stored = record(here, _raw(piece), database="odd", message="0").snapshot_id
        before = texts(here, stored)
    pair.push()
    with pair.there.open() as there:
        (copy,) = there.newest("odd")
        assert texts(there, copy) == before
        assert not verify(there, data=True).findings


def _raw(data: bytes) -> Dump:
    return dump(table("public", "t", [data.hex().encode()]))


def test_a_third_repository_gets_the_same_copies_from_either(tmp_path: Path) -> None:
    sides = [
        Side(tmp_path / name, secret, PACK_BYTES)
        for name, secret in (("a", None), ("b", FIRST), ("c", SECOND))
    ]
    made = sides[0].commit(0, 1)
    send(sides[0], sides[1])
    assert send(sides[1], sides[2]).snapshots == tuple(made)
    assert send(sides[0], sides[2]).snapshots == ()
    fresh = Side(tmp_path / "d", None, PACK_BYTES)
    send(sides[2], fresh)
    assert fresh.check() == dict(enumerate(made))
