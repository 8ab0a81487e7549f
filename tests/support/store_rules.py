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
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.revisions import resolve
from pgsnap.workflows.forgetting import ForgetRefused, forget, unforget
from pgsnap.workflows.gc import GcReport, gc
from pgsnap.workflows.reindex import reindex
from pgsnap.workflows.repair import repair
from pgsnap.workflows.retention import Policy
from pgsnap.workflows.tagging import delete_tag, set_tag
from pgsnap.workflows.verify import verify
from support.store_checks import Plain, check_chains, check_waste, needed_chunks
from support.store_model import FAULTS, MOMENTS, SEEDS, TAGS, May, StoreModel, has_snapshots

WEEK = timedelta(days=7)
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
        snapshot = sorted(self.forgotten)[seed % len(self.forgotten)]
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

    @rule(
        policy=POLICIES,
        grace=st.sampled_from([timedelta(0), timedelta(0), WEEK]),
        days=st.sampled_from([0, 8]),
        kind=st.none() | FAULTS,
        moment=MOMENTS,
    )
    def collect(
        self, policy: Policy, grace: timedelta, days: int, kind: str | None, moment: int
    ) -> None:
        protected = self.protected(policy)
        dropped = set(self.visible()) - protected
        expires = not grace or days
        may = May(gone=dropped | self.forgotten if expires else set(), forgotten=dropped)
        waited = set(self.forgotten)

        def task(repo: Repository) -> GcReport:
            return gc(repo, policy, grace=grace, now=datetime.now(UTC) + timedelta(days=days))

        if kind is not None:
            self.fault(kind, task, moment, may, alone=True)
            return
        with self.world.running(), self.world.open(alone=True) as repo:
            report = task(repo)
        assert report.full is None
        assert report.unreadable == ()
        for decision in report.decisions:
            assert decision.keep or decision.snapshot_id in dropped
        self.settle(may)
        kept = {one.snapshot_id for one in report.decisions if one.keep}
        assert set(self.visible()) == kept
        if expires:
            assert not waited & self.held.keys()
        if not grace:
            assert not self.forgotten
            with self.world.running(), self.world.open() as repo:
                closed, _ = check_chains(repo, needed_chunks(repo, self.held))
                check_waste(repo, closed)

    # -- damage ---------------------------------------------------------------------------------

    @rule()
    def verify(self) -> None:
        with self.world.running(), self.world.open() as repo:
            report = verify(repo, data=True)
        assert report.findings == ()
        assert set(report.snapshots) == self.held.keys()
        self.verified |= self.held.keys()

    @precondition(has_snapshots)
    @rule(seed=SEEDS, kill_at=st.none() | MOMENTS)
    def damage_and_repair(self, seed: int, kill_at: int | None) -> None:
        source = self.world.copy()
        note(self.world.damage(random.Random(seed)))
        if kill_at is not None:
            self.world.killed_unlogged(lambda path: repair(path, source=source), kill_at)
        with self.world.running():
            report = repair(self.world.path, source=source)
        assert report.lost == ()
        self.settle(May())
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
            for database in ("shop", "blög"):
                order = self.visible(database)
                assert repo.newest(database) == order
                for back, snapshot in enumerate(order[:3]):
                    if all(
                        repo.snapshot(one).parent == before
                        for one, before in zip(order[:back], order[1:], strict=False)
                    ):
                        assert resolve(repo, f"latest~{back}", database=database) == snapshot
            assert set(repo.newest(None, also_forgotten=True)) == self.held.keys()
            assert repo.forgotten().keys() == self.forgotten
            tags = {(tag.database, tag.name): tag.snapshot for tag in repo.tags.all()}
            assert tags == self.tags
            plain = Plain(repo)
            for snapshot, held in self.held.items():
                assert plain.texts(snapshot) == held.texts
            check_chains(repo, needed_chunks(repo, self.held))
