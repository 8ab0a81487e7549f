"""The rules and invariants of the store's model: tags, forgetting, gc, repair, and reading back.

After every step each snapshot that should exist is read back byte for byte.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from pgsnap.errors import TagExists
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.workflows.history.tag import delete_tag, set_tag
from pgsnap.workflows.retention.forget import ForgetRefused, forget, unforget
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from support.store_model.checks import Plain, check_chains, check_waste
from support.store_model.model import (
    FAULTS,
    LABELS,
    MOMENTS,
    SEEDS,
    TAGS,
    May,
    StoreModel,
    has_snapshots,
)

WEEK = timedelta(days=7)
AT_ONCE = timedelta(0)
GRACE = st.sampled_from([AT_ONCE, AT_ONCE, WEEK])
DAYS = st.sampled_from([0, 8])
POLICIES = st.builds(
    Policy,
    last=st.integers(1, 4),
    hourly=st.sampled_from([0, 0, 3]),
    daily=st.sampled_from([0, 0, 5]),
    monthly=st.sampled_from([0, 0, 2]),
    within=st.sampled_from([None, None, timedelta(days=40)]),
    tags=st.sampled_from([(), (), ("a/*",)]),
)


class StoreRules(StoreModel):
    # -- tags -----------------------------------------------------------------------------------

    @precondition(has_snapshots)
    @rule(seed=SEEDS, name=TAGS, force=st.booleans())
    def tag(self, seed: int, name: str, force: bool) -> None:
        snapshot = self.pick(seed)
        if snapshot in self.forgotten:
            return
        key = (self.held[snapshot].database, name)
        with self.world.running(), self.world.open() as repo:
            if not force and self.tags.get(key, snapshot) != snapshot:
                with pytest.raises(TagExists):
                    set_tag(repo, name, snapshot)
                return
            set_tag(repo, name, snapshot, force=force)
        self.tags[key] = snapshot

    @precondition(lambda self: self.tags)
    @rule(seed=SEEDS)
    def untag(self, seed: int) -> None:
        database, name = sorted(self.tags)[seed % len(self.tags)]
        with self.world.running(), self.world.open() as repo:
            delete_tag(repo, name, database=database)
        del self.tags[database, name]

    # -- forgetting -----------------------------------------------------------------------------

    @precondition(has_snapshots)
    @rule(seed=SEEDS, force=st.booleans())
    def forget(self, seed: int, force: bool) -> None:
        snapshot = self.pick(seed)
        database = self.held[snapshot].database
        protected = (
            self.tags_of(snapshot)
            or not set(self.visible(database)) - {snapshot}
            or self.newest_verified(database) == snapshot
        )
        with self.world.running(), self.world.open() as repo:
            if protected and not force:
                with pytest.raises(ForgetRefused):
                    forget(repo, [snapshot])
                return
            forget(repo, [snapshot], force=force)
        self.forgotten.add(snapshot)
        for key in self.tags_of(snapshot):
            del self.tags[key]

    @precondition(has_snapshots)
    @rule(seed=SEEDS, kind=FAULTS, moment=MOMENTS)
    def forget_cut_off(self, seed: int, kind: str, moment: int) -> None:
        snapshot = self.pick(seed)
        may = May(forgotten={snapshot}, tags={key: {None} for key in self.tags_of(snapshot)})
        self.fault(kind, lambda repo: forget(repo, [snapshot], force=True), moment // 8, may)

    @precondition(lambda self: self.forgotten)
    @rule(seed=SEEDS, kind=st.none() | FAULTS, moment=MOMENTS)
    def unforget(self, seed: int, kind: str | None, moment: int) -> None:
        snapshot = [one for one in self.held if one in self.forgotten][seed % len(self.forgotten)]
        if kind is not None:
            may = May(forgotten={snapshot})
            self.fault(kind, lambda repo: unforget(repo, snapshot), moment // 8, may)
        with self.world.running(), self.world.open() as repo:
            unforget(repo, snapshot)
        self.forgotten.discard(snapshot)

    # -- gc -------------------------------------------------------------------------------------

    def protected(self, policy: Policy) -> set[SnapshotId]:
        """Return what no gc of *policy* may drop."""
        found: set[SnapshotId | None] = set()
        for database in {held.database for held in self.held.values()}:
            found.update(self.visible(database)[: policy.last])
            found.add(self.newest_verified(database))
        for (_, name), snapshot in self.tags.items():
            if not policy.tags or name.startswith("a/"):
                found.add(snapshot)
        return {one for one in found if one is not None and one not in self.forgotten}

    def foreseen(self, policy: Policy, grace: timedelta, days: int) -> May:
        """Return what a gc that is run so many *days* later may do."""
        dropped = set(self.visible()) - self.protected(policy)
        expires = not grace or days
        return May(gone=dropped | self.forgotten if expires else set(), forgotten=dropped)

    @precondition(has_snapshots)
    @rule(policy=POLICIES, grace=GRACE, days=DAYS)
    def collect(self, policy: Policy, grace: timedelta, days: int) -> None:
        may, waited = self.foreseen(policy, grace, days), set(self.forgotten)
        if grace:
            waited -= self.forgotten_late
        with self.world.running(), self.world.open(alone=True) as repo:
            report = gc(repo, policy, grace=grace, now=datetime.now(UTC) + timedelta(days=days))
        assert report.full is None
        assert report.unreadable == ()
        kept = {one.snapshot_id for one in report.decisions if one.keep}
        assert {one.snapshot_id for one in report.decisions} - kept <= may.forgotten
        self.settle(may)
        self.note_forgotten(waited, days)
        assert set(self.visible()) == kept
        if may.gone:
            assert not waited & self.held.keys()
        if not grace:
            assert not self.forgotten
            self.check_nothing_is_left_over()

    def check_nothing_is_left_over(self) -> None:
        with self.world.running(), self.world.open() as repo:
            plain = Plain(repo)
            for snapshot in self.held:
                plain.texts(snapshot)
            closed, _ = check_chains(repo, plain.chunks)
            check_waste(repo, closed)

    @precondition(has_snapshots)
    @rule(policy=POLICIES, grace=GRACE, days=DAYS, kind=FAULTS, moment=MOMENTS)
    def collect_cut_off(
        self, policy: Policy, grace: timedelta, days: int, kind: str, moment: int
    ) -> None:
        def task(repo: Repository) -> GcReport:
            return gc(repo, policy, grace=grace, now=datetime.now(UTC) + timedelta(days=days))

        waited = set(self.forgotten)
        self.fault(kind, task, moment, self.foreseen(policy, grace, days), alone=True)
        self.note_forgotten(waited, days)

    def note_forgotten(self, before: set[SnapshotId], days: int) -> None:
        if days:
            self.forgotten_late |= self.forgotten - before

    @precondition(has_snapshots)
    @rule(moment=MOMENTS, kind=FAULTS)
    def collect_all_but_the_newest_twice(self, moment: int, kind: str) -> None:
        """What the first, cut off, leaves behind is what the second begins with."""
        self.collect_cut_off(Policy(last=1), AT_ONCE, 0, kind, moment)
        self.collect(Policy(last=1), AT_ONCE, 0)

    # -- damage ---------------------------------------------------------------------------------

    @rule()
    def verify(self) -> None:
        with self.world.running(), self.world.open() as repo:
            report = verify(repo, data=True)
        assert not report.findings, report.findings
        assert set(report.snapshots) == self.held.keys()
        self.verified |= self.held.keys()

    @precondition(has_snapshots)
    @rule(seed=SEEDS, kill_at=st.none() | MOMENTS)
    def damage_and_repair(self, seed: int, kill_at: int | None) -> None:
        source = self.world.copy()
        damaged = self.world.damage(random.Random(seed))
        note(f"damaged {damaged}")
        if kill_at is not None:
            self.world.killed_unlogged(lambda path: repair(path, source=source), kill_at)
        with self.world.running():
            report = repair(self.world.path, source=source)
        assert report.lost == ()
        # That the manifest of a forgotten snapshot is missing tells that a gc dropped it.
        gone = {one for one in self.forgotten if one.hex() == damaged.name}
        # With an old index, one that a gc dropped since may be taken for lost while all that it
        # needs is there: it is put back, forgotten as before.
        self.settle(May(gone=gone, back=set(self.dropped)))
        self.verify()

    # -- the index ------------------------------------------------------------------------------

    @rule(kill_at=st.none() | MOMENTS)
    def make_the_index_anew(self, kill_at: int | None) -> None:
        if kill_at is not None:
            self.world.killed_unlogged(reindex, kill_at)
        with self.world.running():
            reindex(self.world.path)
        self.settle(May())

    @rule()
    def lose_the_index(self) -> None:
        self.world.lose_index()
        self.settle(May())

    @rule(how=st.sampled_from(["keep", "use"]))
    def share_with_a_host_that_has_an_old_index(self, how: str) -> None:
        if how == "keep":
            self.world.keep_index()
        elif self.world.use_kept_index():
            self.settle(May(), "older")

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def every_snapshot_that_should_exist_reads_back(self) -> None:
        with self.world.running(), self.world.open() as repo:
            for database in LABELS:
                order = self.visible(database)
                assert repo.newest(database) == order
                following, back = next(iter(order), None), 0
                while following in order and back < 3:
                    assert resolve(repo, f"latest~{back}", database=database) == following
                    following, back = repo.snapshot(following).parent, back + 1
            assert set(repo.newest(None, also_forgotten=True)) == self.held.keys()
            assert repo.forgotten().keys() == self.forgotten
            tags = {(tag.database, tag.name): tag.snapshot for tag in repo.tags.all()}
            assert tags == self.tags
            packs = set(self.world.path.glob("packs/*/*"))
            # Tags and notes do not change what is read.
            same = self.looked_at == (packs, self.world.faults)
            plain = Plain(repo)
            for snapshot, held in self.held.items():
                if not same or snapshot not in self.read:
                    assert plain.texts(snapshot) == held.texts
            check_chains(repo, plain.chunks)
        self.read, self.looked_at = set(self.held), (packs, self.world.faults)
