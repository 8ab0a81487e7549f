"""A model of the store; commits and faults of random histories (`store_rules` has the rest).

The model is a dictionary: what each snapshot holds; beside it, which are forgotten, and what the
tags name.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pgsnap.errors import StoreFull
from pgsnap.format.times import to_micros
from pgsnap.model import SectionKind, SectionName, SnapshotId
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.commit import CommitReport
from support.dumps.scripted import Dump
from support.repositories.made import record
from support.repositories.stores import FailingStore, use_store
from support.store_model.checks import Plain
from support.store_model.states import CHANGES, State, deep_change, dump_of, dumps, first_state
from support.store_model.world import World

LABELS = ("shop", "blög", "deep")
LABEL = st.sampled_from(["shop", "blög"])
TAGS = st.sampled_from(["one", "two", "a/b"])
SEEDS = st.integers(0, 10**6)
STEPS = st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)
# Of a commit there are some 60 effects to be killed at, of a gc up to some hundred.
MOMENTS = st.integers(0, 80) | st.integers(0, 400)
FAULTS = st.sampled_from(["kill", "torn", "power", "full"])
FIRST = datetime(2026, 1, 1, tzinfo=UTC)

Texts = list[tuple[SectionName, bytes]]
TagKey = tuple[str, str]


@dataclass(frozen=True)
class Held:
    database: str
    time_us: int
    texts: Texts
    wishes: tuple[str, ...]


@dataclass
class May:
    """What a step that was cut off may have changed, and need not have."""

    born: tuple[str, Texts, tuple[str, ...]] | None = None
    gone: set[SnapshotId] = field(default_factory=set)
    forgotten: set[SnapshotId] = field(default_factory=set)
    tags: dict[TagKey, set[SnapshotId | None]] = field(default_factory=dict)
    # Back again, forgotten as before.
    back: set[SnapshotId] = field(default_factory=set)


def has_snapshots(model: StoreModel) -> bool:
    return bool(model.held)


class StoreModel(RuleBasedStateMachine):
    """*held* are all snapshots in the store, those forgotten too; *live* is what the databases
    hold by now."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="snap-model-"))
        self.world = World(self.folder)
        self.held: dict[SnapshotId, Held] = {}
        self.forgotten: set[SnapshotId] = set()
        # Forgotten by a gc that ran days later: to the next one that does, just now.
        self.forgotten_late: set[SnapshotId] = set()
        # What a gc dropped.
        self.dropped: dict[SnapshotId, Held] = {}
        self.verified: set[SnapshotId] = set()
        self.tags: dict[TagKey, SnapshotId] = {}
        # What a power cut may make of tags again, because a step was killed when it had changed it.
        self.unsure: dict[TagKey, set[SnapshotId | None]] = {}
        self.live: dict[str, State] = {"shop": first_state(1), "blög": first_state(9), "deep": {}}
        self.read: set[SnapshotId] = set()
        self.looked_at: object = None

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # -- the model ------------------------------------------------------------------------------

    def visible(self, database: str | None = None) -> list[SnapshotId]:
        """Return snapshots as `snap log` lists them."""
        found = [one for one in self.held if one not in self.forgotten]
        found = [one for one in found if database in (None, self.held[one].database)]
        return sorted(found, key=lambda one: (-self.held[one].time_us, one))

    def newest_verified(self, database: str) -> SnapshotId | None:
        return next((one for one in self.visible(database) if one in self.verified), None)

    def tags_of(self, snapshot: SnapshotId) -> list[TagKey]:
        return [key for key, named in self.tags.items() if named == snapshot]

    def pick(self, seed: int) -> SnapshotId:
        # In the order in which they came: ids differ from run to run.
        return list(self.held)[seed % len(self.held)]

    # -- commits --------------------------------------------------------------------------------

    def next_dump(self, label: str, steps: Sequence[Callable[..., None]], seed: int) -> Dump:
        state = {name: list(lines) for name, lines in self.live[label].items()}
        for number, step in enumerate(steps):
            step(state, random.Random(seed + number))
        self.live[label] = state
        return dump_of(state)

    def commit_into(
        self,
        repo: Repository,
        dumped: Dump,
        label: str,
        *,
        tag: str | None = None,
        at: datetime | None = None,
    ) -> None:
        before = self.visible(label)
        if at is not None:
            before = [one for one in before if self.held[one].time_us <= to_micros(at)]
        tags = (tag,) if tag is not None else ()
        report = record(repo, dumped, database=label, tags=tags, force_tags=True, at=at)
        parent = before[0] if before else None
        self.check_report(report, parent, dumped)
        if report.recorded:
            made = report.snapshot
            self.held[report.snapshot_id] = Held(label, to_micros(made.time), dumped.texts, tags)
            for name in report.tags:
                self.tags[label, name] = report.snapshot_id

    def check_report(self, report: CommitReport, parent: SnapshotId | None, dumped: Dump) -> None:
        if not report.recorded:
            assert report.snapshot_id == parent
            assert self.held[report.snapshot_id].texts == dumped.texts
            return
        assert report.snapshot.parent == parent
        if parent is not None:
            same = without_globals(self.held[parent].texts) == without_globals(dumped.texts)
            assert report.unchanged is same

    @rule(label=LABEL, steps=STEPS, seed=SEEDS, tag=st.none() | TAGS)
    def commit(self, label: str, steps: list[Callable[..., None]], seed: int, tag: str) -> None:
        with self.world.running(), self.world.open() as repo:
            self.commit_into(repo, self.next_dump(label, steps, seed), label, tag=tag)

    @rule(label=LABEL, steps=STEPS, seed=SEEDS, hour=st.integers(0, 2000))
    def import_dump(
        self, label: str, steps: list[Callable[..., None]], seed: int, hour: int
    ) -> None:
        with self.world.running(), self.world.open() as repo:
            at = FIRST + timedelta(hours=hour)
            self.commit_into(repo, self.next_dump(label, steps, seed), label, at=at)

    @rule(dumped=dumps(), label=LABEL)
    def commit_anything(self, dumped: Dump, label: str) -> None:
        with self.world.running(), self.world.open() as repo:
            self.commit_into(repo, dumped, label)

    @rule(label=LABEL)
    def become_a_copy_of_the_other(self, label: str) -> None:
        other = "blög" if label == "shop" else "shop"
        self.live[label] = {name: list(lines) for name, lines in self.live[other].items()}
        with self.world.running(), self.world.open() as repo:
            self.commit_into(repo, dump_of(self.live[label]), label)

    @rule(seed=SEEDS, count=st.integers(5, 40))
    def many_small_changes(self, seed: int, count: int) -> None:
        with self.world.running(), self.world.open() as repo:
            for number in range(count):
                self.commit_into(repo, self.next_dump("deep", [deep_change], seed + number), "deep")
                # All of them would make every later step slow.
                if number % 6 and number < count - 1:
                    made = self.visible("deep")[0]
                    repo.forget(made, by="test", reason="")
                    self.forgotten.add(made)

    @precondition(has_snapshots)
    @rule(label=LABEL, steps=STEPS, seed=SEEDS)
    def commit_beside_a_reader(
        self, label: str, steps: list[Callable[..., None]], seed: int
    ) -> None:
        chosen = self.pick(seed)
        with self.world.running(), self.world.open() as reader:
            stream = snapshot_stream(reader, reader.snapshot(chosen), restrict_key=None)
            begun = next(stream, b"")
            with self.world.open() as repo:
                self.commit_into(repo, self.next_dump(label, steps, seed), label)
            read = begun + b"".join(stream)
        texts = without_globals(self.held[chosen].texts)
        assert read == b"".join(text for _, text in texts)

    # -- faults ---------------------------------------------------------------------------------

    def fault(
        self,
        kind: str,
        task: Callable[[Repository], object],
        moment: int,
        may: May,
        *,
        alone: bool = False,
    ) -> bool:
        """Cut a step off, and take what it did into the model. Return whether it was done."""
        world, index = self.world, "latest"
        if kind == "full":
            done = self.on_a_full_disk(task, moment, alone)
        else:

            def run(path: Path) -> None:
                with Repository.open(path, alone=alone, lock_timeout_seconds=20) as repo:
                    task(repo)

            done = not (world.killed_unlogged if kind == "torn" else world.killed)(run, moment)
            if kind == "power":
                index = self.cut_power(moment, may)
        before = dict(self.tags)
        note(f"{kind} at {moment}: {'done' if done else 'cut off'}, {index} index")
        self.settle(may, index, done=done)
        if kind == "kill":
            for key in before.keys() | self.tags.keys():
                if before.get(key) != self.tags.get(key):
                    self.unsure.setdefault(key, set()).add(before.get(key))
        return done

    def cut_power(self, seed: int, may: May) -> str:
        for key, tags in self.unsure.items():
            may.tags.setdefault(key, set()).update(tags)
        self.unsure.clear()
        return self.world.cut_power(random.Random(seed))

    def on_a_full_disk(
        self, task: Callable[[Repository], object], moment: int, alone: bool
    ) -> bool:
        with self.world.running(), self.world.open(alone=alone) as repo:
            store = FailingStore(repo.store, moment)
            use_store(repo, store)
            try:
                task(repo)
            except StoreFull:
                assert store.has_failed
                return False
            # A gc ends without an error, and is not done.
            return not store.has_failed

    def settle(self, may: May, index: str = "latest", *, done: bool = True) -> None:
        """Take into the model what is found, as far as it may be so."""
        with self.world.running(), self.world.open() as repo:
            stored = set(repo.newest(None, also_forgotten=True))
            forgotten = set(repo.forgotten())
            tags = {(tag.database, tag.name): tag.snapshot for tag in repo.tags.all()}
            for new in stored - self.held.keys():
                if new in may.back:
                    assert new in forgotten, "a snapshot that was dropped is back"
                    self.held[new] = self.dropped.pop(new)
                    self.forgotten.add(new)
                    self.forgotten_late.add(new)
                    continue
                assert may.born is not None, "a snapshot is there that never was"
                label, texts, wishes = may.born
                made = repo.snapshot(new)
                assert made.database == label
                assert Plain(repo).texts(new) == texts
                self.held[new] = Held(label, to_micros(made.time), texts, wishes)
                for name in wishes:
                    may.tags.setdefault((label, name), set()).add(new)
                    if done:
                        assert tags[label, name] == new
                may.born = None
        assert may.born is None or not done, "a commit that returned is lost"
        lost = self.held.keys() - stored
        assert lost <= may.gone, "snapshots are lost"
        assert (forgotten ^ self.forgotten) <= may.forgotten | lost
        for key in tags.keys() | self.tags.keys():
            allowed = {self.tags.get(key)} | may.tags.get(key, set())
            if allowed & may.gone:
                allowed.add(None)
            if index == "older":
                # It takes every snapshot that it does not know for one of a killed commit.
                allowed |= {one for one, held in self.held.items() if key[1] in held.wishes}
            assert tags.get(key) in allowed, f"tag {key}: {tags.get(key)!r} is none of {allowed}"
        for one in lost:
            self.dropped[one] = self.held.pop(one)
        self.forgotten, self.tags = forgotten, tags

    @rule(
        label=LABEL,
        steps=STEPS,
        seed=SEEDS,
        tag=st.none() | TAGS,
        kind=FAULTS,
        moment=MOMENTS,
    )
    def commit_cut_off(
        self,
        label: str,
        steps: list[Callable[..., None]],
        seed: int,
        tag: str | None,
        kind: str,
        moment: int,
    ) -> None:
        dumped = self.next_dump(label, steps, seed)
        tags = (tag,) if tag is not None else ()

        def task(repo: Repository) -> None:
            record(repo, dumped, database=label, tags=tags, force_tags=True)

        self.fault(kind, task, moment, May(born=(label, dumped.texts, tags)))

    @rule(seed=SEEDS)
    def cut_the_power_between_steps(self, seed: int) -> None:
        may = May()
        self.settle(may, self.cut_power(seed, may))


def without_globals(texts: Texts) -> Texts:
    return [(name, text) for name, text in texts if name.kind is not SectionKind.GLOBALS]
