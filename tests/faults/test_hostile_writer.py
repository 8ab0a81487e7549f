"""What an intruder can do with credentials that may only create objects: old snapshots stay."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.errors import (
    AmbiguousRevision,
    CorruptionError,
    StoreBehind,
    StoreError,
    UnknownRevision,
)
from pgsnap.format.remote import Announcement, Phase, encode_announcement
from pgsnap.format.small import encode_note, encode_tag, note_id
from pgsnap.maintenance.repair.repair import repair
from pgsnap.model import Note, SnapshotId, Tag
from pgsnap.repository import layout
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.losses import accept_loss, accepted_losses
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.stores.base import Store
from pgsnap.stores.opening import open_store
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.clone import check_expected
from pgsnap.workflows.sync.transfer import transfer
from support.dumps.scripted import texts
from support.repositories.collecting import version
from support.repositories.made import make, record
from support.servers.object_server import ObjectServer, Rights
from support.servers.object_stores import KEY, QUICK, aws_environ

URL = "s3://bucket/p"
AT_ONCE = timedelta(0)
SOON = datetime.now(UTC)


class Attacked:
    """A repository with snapshots of the versions 0 to 2, and an intruder who may create objects
    where a host that commits may."""

    def __init__(self, server: ObjectServer, caches: Path) -> None:
        self.server = server
        self._caches = caches
        Repository.create(self.place())
        with self.open() as repo:
            for number in range(3):
                at = SOON - timedelta(days=3 - number)
                record(repo, version(number), message=str(number), at=at)
            self.snapshots = repo.newest(None)[::-1]
            set_tag(repo, "release", self.snapshots[0])

    def _store(self, key: str) -> Store:
        return open_store(URL, aws_environ(self.server.endpoint, key), pace=QUICK)

    @property
    def intruder(self) -> Store:
        """Their store, without anything of snap's in between."""
        return self._store("INTRUDER")

    def open(
        self, host: str = "gc", key: str = KEY, *, alone: bool = False, whole: bool = False
    ) -> Repository:
        return Repository.open(
            self.place(key), index_folder=self._caches / host, alone=alone, whole=whole
        )

    def place(self, key: str = KEY) -> RemotePlace:
        return RemotePlace(URL, self._store(key))

    def collect(self, policy: Policy | None = None) -> list[GcReport]:
        """Run a gc with credentials of its own until nothing is marked any more."""
        reports = []
        for _ in range(3):
            with self.open(alone=True) as repo:
                reports.append(
                    gc(
                        repo,
                        policy or Policy(within=timedelta(days=30)),
                        grace=AT_ONCE,
                        pack_grace=AT_ONCE,
                    )
                )
        return reports

    def check(self, *, host: str) -> None:
        """Check that the old snapshots are seen by a host, and read back."""
        with self.open(host) as repo:
            seen = repo.newest(None)
            for number, snapshot in enumerate(self.snapshots):
                assert snapshot in seen
                assert texts(repo, snapshot) == version(number).texts


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    may = tuple(f"p/{name}/" for name in ("packs", "snapshots", "tags", "notes", "claims", "log"))
    rights = Rights(creates=may, overwrites=(), deletes=())
    with ObjectServer(rights={"INTRUDER": rights}) as server:
        yield Attacked(server, tmp_path / "caches")


def forge_note(store: Store, kind: str, snapshot: SnapshotId, body: dict[str, object]) -> None:
    long_ago = SOON - timedelta(days=400)
    for time in (long_ago, SOON, SOON + timedelta(days=400)):
        data = encode_note(Note(kind, "shop", time, snapshot, body))
        store.create(layout.note_name(kind, note_id(data)), data)


@pytest.mark.parametrize("kind", ["forgotten", "lost", "verdict", "swapped", "chain"])
def test_a_forged_note_takes_no_snapshot_away(
    attacked: Attacked, tmp_path: Path, kind: str
) -> None:
    for snapshot in attacked.snapshots:
        body: dict[str, object] = {"by": "intruder", "reason": "none"}
        body |= {"sections": ["table public.orders"]} if kind == "lost" else {}
        forge_note(attacked.intruder, kind, snapshot, body)
    attacked.check(host="another")
    attacked.collect()
    attacked.check(host="a third")
    with Repository.open(make(tmp_path / "clone")) as target, attacked.open("cloning") as source:
        assert set(transfer(source, target).snapshots) == set(attacked.snapshots)


@pytest.mark.parametrize("kind", ["forgotten", "lost"])
def test_a_note_among_those_of_another_kind_takes_effect_nowhere(
    attacked: Attacked, tmp_path: Path, kind: str
) -> None:
    for snapshot in attacked.snapshots:
        data = encode_note(Note(kind, "shop", SOON, snapshot, {"by": "intruder"}))
        attacked.intruder.create(layout.note_name("verdict", note_id(data)), data)
    clone = make(tmp_path / "clone")
    with Repository.open(clone) as target, attacked.open("cloning") as source:
        transfer(source, target)
    assert repair(attacked.place(), index_folder=tmp_path / "mending").put_aside
    attacked.check(host="another")
    with Repository.open(clone) as target, attacked.open("a third") as source:
        for repo in (target, source):
            assert set(repo.newest(None)) == set(attacked.snapshots)
            assert not list(repo.sound_notes(kind))


def test_what_claims_to_be_a_copy_keeps_no_snapshot_out(attacked: Attacked, tmp_path: Path) -> None:
    here = make(tmp_path / "here")
    with Repository.open(here) as repo:
        new = record(repo, version(7), message="7").snapshot_id
    forge_copy(attacked, new)
    with Repository.open(here) as source, attacked.open("pushing") as target:
        assert transfer(source, target).snapshots == (new,)
    with attacked.open("another") as repo:
        assert texts(repo, new) == version(7).texts
        # It has what its hash says, though another one begins so as well.
        assert resolve(repo, new.hex(), database=None) == new
        with pytest.raises(AmbiguousRevision):
            resolve(repo, new.hex()[:20], database=None)
        repo.forget(new, by="test", reason="none")
        with pytest.raises(UnknownRevision, match="is forgotten"):
            resolve(repo, new.hex(), database=None)


def test_what_claims_to_be_a_copy_is_not_the_snapshot_that_is_expected(
    attacked: Attacked,
) -> None:
    wanted = secrets.token_bytes(32)
    forged = forge_copy(attacked, wanted)
    with attacked.open("another", whole=True) as repo:
        check_expected(repo, forged.hex())
        with pytest.raises(StoreBehind, match="only as what another one says") as caught:
            check_expected(repo, wanted.hex())
    assert forged.hex()[:16] in (caught.value.hint or "")


def forge_copy(attacked: Attacked, original: SnapshotId) -> SnapshotId:
    """Publish what says that it is a copy of the snapshot *original*."""
    with attacked.open("intruding", "INTRUDER") as repo:
        made = replace(repo.snapshot(attacked.snapshots[0]), message="forged", alias=original)
        return repo.publish(made)[0]


def test_a_loss_that_was_accepted_with_credentials_of_a_gc_counts(attacked: Attacked) -> None:
    first = attacked.snapshots[0]
    with attacked.open("here", "INTRUDER") as repo, pytest.raises(StoreError, match="denied"):
        accept_loss(repo, first, "shop", ["data"], by="intruder")
    with attacked.open(alone=True) as repo:
        accept_loss(repo, first, "shop", ["data"], by="test")
    with attacked.open("another") as repo:
        assert set(accepted_losses(repo)) == {first}


def test_notes_that_forget_cannot_be_put_where_a_gc_looks(attacked: Attacked) -> None:
    with pytest.raises(StoreError, match="access is denied"):
        attacked.intruder.create("gc/notes/forgotten/" + "0" * 64, b"x")


def test_snapshots_dated_in_the_future_push_out_none(attacked: Attacked) -> None:
    with attacked.open("intruding", "INTRUDER") as repo:
        for number in range(5):
            at = SOON + timedelta(days=number + 1)
            record(repo, version(number + 10), message="forged", at=at)
    attacked.collect(Policy(last=3))
    attacked.check(host="another")
    attacked.collect(Policy(daily=3))
    attacked.check(host="another")


def test_snapshots_dated_in_the_past_push_out_none_that_is_young_enough(
    attacked: Attacked,
) -> None:
    with attacked.open("intruding", "INTRUDER") as repo:
        for number in range(12):
            at = SOON - timedelta(hours=6 * number + 1)
            record(repo, version(number + 10), message="forged", at=at)
    attacked.collect()
    attacked.check(host="another")


@pytest.mark.parametrize("named", ["by its hash", "by another hash"])
def test_a_pack_of_garbage_takes_nothing_away(attacked: Attacked, named: str) -> None:
    data = secrets.token_bytes(5_000)
    name = blake3(data).digest() if named == "by its hash" else secrets.token_bytes(32)
    attacked.intruder.create(layout.pack_name(name), data)
    attacked.check(host="another")
    reports = attacked.collect()
    assert reports[-1].unreadable
    attacked.check(host="another")


def test_no_object_that_is_there_can_be_replaced(attacked: Attacked) -> None:
    before = attacked.server.data()
    for name in attacked.server.data("p/"):
        with pytest.raises(StoreError):
            attacked.intruder.put(name, b"x")
        with pytest.raises(StoreError):
            attacked.intruder.create(name, b"x")
        with pytest.raises(StoreError):
            attacked.intruder.delete(name)
    assert attacked.server.data() == before


def test_a_tag_that_was_moved_takes_its_snapshot_away_only_after_the_grace_period(
    attacked: Attacked,
) -> None:
    with attacked.open("intruding", "INTRUDER") as repo:
        repo.tags.delete("shop", "release")
    with attacked.open(alone=True) as repo:
        report = gc(repo, Policy(last=1), grace=timedelta(days=7))
        assert not report.expired
        assert report.waiting == 2
        for snapshot in repo.forgotten():
            repo.unforget(snapshot)
    attacked.check(host="another")


def test_a_tag_of_a_huge_number_holds_up_nobody_for_ever(attacked: Attacked) -> None:
    data = encode_tag(Tag("shop", "release", attacked.snapshots[2], SOON))
    attacked.intruder.create(f"{layout.tag_name('shop', 'release')}/{'9' * 18}", data)
    attacked.check(host="another")
    with attacked.open() as repo, pytest.raises(CorruptionError) as caught:
        set_tag(repo, "release", attacked.snapshots[0], force=True)
    assert "9" * 18 in (caught.value.hint or "")
    attacked.server.objects.pop(f"p/{layout.tag_name('shop', 'release')}/{'9' * 18}")
    with attacked.open() as repo:
        set_tag(repo, "release", attacked.snapshots[1], force=True)
        assert repo.tags.get("shop", "release").snapshot == attacked.snapshots[1]


def test_a_manifest_of_garbage_stops_a_gc_and_nothing_is_deleted(attacked: Attacked) -> None:
    attacked.intruder.create(layout.snapshot_name(secrets.token_bytes(32)), b"garbage")
    before = attacked.server.data("p/packs/")
    with pytest.raises(CorruptionError):
        attacked.collect()
    assert attacked.server.data("p/packs/") == before
    attacked.check(host="another")


def test_a_claim_keeps_packs_and_one_of_garbage_stops_a_gc(attacked: Attacked) -> None:
    packs = [bytes.fromhex(name.rpartition("/")[2]) for name in attacked.server.data("p/packs/")]
    for number in range(1, 6):
        made = Announcement(Phase.CLAIMED, SOON, tuple(packs), secrets.token_bytes(16))
        name = f"{layout.CLAIMS}{number:08d}-{made.token.hex()}"
        attacked.intruder.create(name, encode_announcement(made))
    attacked.collect()
    attacked.check(host="another")
    for number in range(1, 6):
        attacked.intruder.create(f"{layout.CLAIMS}{number:08d}-{secrets.token_hex(16)}", b"x")
    with attacked.open("here") as repo:
        record(repo, version(9), message="9", at=SOON - timedelta(days=90))
    with pytest.raises(CorruptionError, match="claim") as caught:
        attacked.collect(Policy(last=3))
    assert "delete the object" in (caught.value.hint or "")
    attacked.check(host="another")
