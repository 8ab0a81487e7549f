"""Writers and collectors of one remote repository at once, each a process, killed and put to sleep
at random.

A writer writes down each snapshot once its commit has returned, and each that it is about to
forget.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pgsnap.errors import RepositoryLocked, SnapError, StoreError
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SnapshotId
from pgsnap.repository.places import lease
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.stores.opening import open_store
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import texts
from support.repositories.collecting import version
from support.repositories.made import record
from support.servers.object_server import ObjectServer
from support.servers.object_stores import QUICK, aws_environ

WRITERS = 16
COLLECTORS = 2
KEPT = 3
VERSIONS = 8
VERSION_SECONDS = 3.0
URL = "s3://bucket/p"
KEEP_ALL = Policy(within=timedelta(days=36_500))
# Longer than anybody sleeps here, as it has to be.
PACK_GRACE = timedelta(seconds=8)
SLEEP_SECONDS_MAX = 3.0
# So many times longer, until each has committed about once.
_LONGER = 10
# Each is forked from a process that has imported everything and used nothing: a client of an object
# store hangs in a child of one that used it.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__, "obstore", "numpy", "pgsnap.stores.objects.s3"])


def place(endpoint: str) -> RemotePlace:
    return RemotePlace(URL, open_store(URL, aws_environ(endpoint), pace=QUICK))


def choose_version(begun: float, chance: random.Random) -> int:
    """Return the number of a version to commit: all writers share few at a time, so that what one
    needs is what another has just forgotten. They move on, so that there is something to delete."""
    return int((time.time() - begun) / VERSION_SECONDS) + chance.randrange(VERSIONS)


Say = Callable[..., None]


def write(endpoint: str, cache: Path, begun: float, chance: random.Random, say: Say) -> None:
    """Commit for ever, and forget all but the last."""
    mine: list[SnapshotId] = []
    while True:
        with Repository.open(place(endpoint), index_folder=cache) as repo:
            number = choose_version(begun, chance)
            made = record(
                repo,
                version(number),
                database=cache.name,
                message=str(number),
                tags=["newest"],
                force_tags=True,
            )
            say("made", made.snapshot_id.hex(), number)
            mine.append(made.snapshot_id)
            while len(mine) > KEPT:
                say("forgets", mine[0].hex())
                repo.forget(mine.pop(0), by="a writer", reason="")
        # Else the collectors get too little of the processor to end a round.
        time.sleep(chance.uniform(0.0, 3.0))


def collect(endpoint: str, cache: Path, _begun: float, chance: random.Random, say: Say) -> None:
    """Collect for ever. Its lease lapses after seconds, since holders of it are killed."""
    lease.BEAT_SECONDS, lease.STALE_SECONDS = 0.5, 10.0
    while True:
        opened = Repository.open(
            place(endpoint), index_folder=cache, alone=True, lock_timeout_seconds=60.0
        )
        with opened as repo:
            report = gc(repo, KEEP_ALL, grace=timedelta(0), pack_grace=PACK_GRACE)
        say("collected", report.packs_deleted, len(report.expired))
        time.sleep(chance.uniform(0.0, 1.0))


def child(role: str, endpoint: str, cache: Path, begun: float, seed: str) -> None:
    """Do *role* until this process is killed; what it does is written down at once."""
    os.setpgid(0, 0)
    chance = random.Random(seed)
    file = os.open(cache.with_suffix(".did"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words: object) -> None:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())

    while True:
        try:
            (write if role == "write" else collect)(endpoint, cache, begun, chance, say)
        except SnapError as error:
            say("failed", type(error).__name__, error.message)
        except BaseException as error:
            say("broke", repr(error))
            raise


@dataclass
class Outcome:
    """What the processes did. *made* are the acknowledged snapshots, with the versions that they
    hold; *forgotten* those that a writer at least began to forget."""

    made: dict[SnapshotId, int] = field(default_factory=dict)
    forgotten: set[SnapshotId] = field(default_factory=set)
    errors: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    packs_deleted: int = 0
    expired: int = 0
    killed: int = 0
    slept: int = 0

    def take(self, line: str) -> None:
        word, *rest = line.split()
        if word == "made":
            self.made[bytes.fromhex(rest[0])] = int(rest[1])
        elif word == "forgets":
            self.forgotten.add(bytes.fromhex(rest[0]))
        elif word == "collected":
            self.packs_deleted += int(rest[0])
            self.expired += int(rest[1])
        elif word == "failed" and is_expected(line):
            self.errors[" ".join(rest)[:60]] += 1
        else:
            self.odd.append(line)


def is_expected(line: str) -> bool:
    """Return whether a command may fail like that beside collectors, and can be repeated."""
    _, kind, words = line.split(" ", 2)
    return kind == RepositoryLocked.__name__ or (
        kind == StoreError.__name__ and words == "a gc is deleting what the snapshot needs"
    )


class Worker:
    """A process that is started again whenever it was killed."""

    def __init__(self, role: str, endpoint: str, cache: Path, begun: float, seed: str) -> None:
        self._arguments = role, endpoint, cache, begun
        self._seed = seed
        self._starts = 0
        self.start()

    def start(self) -> None:
        self._starts += 1
        arguments = *self._arguments, f"{self._seed} {self._starts}"
        self.process = _FORKS.Process(target=child, args=arguments, daemon=True)
        self.process.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def stop(self, seconds: float) -> threading.Timer:
        """Put it to sleep; return what wakes it."""
        self._signal(signal.SIGSTOP, self.process.pid)
        return threading.Timer(seconds, self._signal, [signal.SIGCONT, self.process.pid])

    @staticmethod
    def _signal(number: signal.Signals, pid: int | None) -> None:
        assert pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def run(folder: Path, seconds: float, seed: int) -> Outcome:
    """Let all of them run for *seconds*, then check that every snapshot reads back that was
    acknowledged and not forgotten."""
    chance = random.Random(seed)
    outcome = Outcome()
    folder.mkdir()
    # The tests' own folder, which is gone when multiprocessing would delete what it made there.
    multiprocessing.current_process()._config["tempdir"] = tempfile.mkdtemp()  # type: ignore[attr-defined]
    # For the process that the others are forked from.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with ObjectServer() as server:
        Repository.create(place(server.endpoint), pack_bytes=200_000)
        begun = time.time()
        workers = [
            Worker(role, server.endpoint, folder / f"{role}{number}", begun, f"{seed} {number}")
            for number, role in enumerate(["write"] * WRITERS + ["collect"] * COLLECTORS)
        ]
        try:
            # On a busy machine little is done in that time.
            for _ in range(_LONGER):
                if _disturb(workers, outcome, chance, time.monotonic() + seconds, folder):
                    break
        finally:
            for one in workers:
                one.kill()
        for file in sorted(folder.glob("*.did")):
            for line in file.read_text().splitlines():
                outcome.take(line)
        check(server, folder, outcome)
    return outcome


def _disturb(
    workers: list[Worker], outcome: Outcome, chance: random.Random, end: float, folder: Path
) -> bool:
    """Kill one after another, or put it to sleep. Return whether enough was committed."""
    wakes: list[threading.Timer] = []
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 2.0))
        worker = chance.choice(workers)
        if chance.random() < 0.5:
            worker.kill()
            worker.start()
            outcome.killed += 1
        else:
            wakes.append(worker.stop(chance.uniform(0.1, SLEEP_SECONDS_MAX)))
            wakes[-1].start()
            outcome.slept += 1
    for wake in wakes:
        wake.join()
    made = (file.read_text().count("made ") for file in folder.glob("*.did"))
    return sum(made) > WRITERS


def check(server: ObjectServer, folder: Path, outcome: Outcome) -> None:
    """Read back what was acknowledged, before and after three more collections, which find
    something to delete however little the others got done."""
    assert outcome.odd == [], Counter(line[:400] for line in outcome.odd)
    kept = set(outcome.made.keys() - outcome.forgotten)
    for collects in (False, True, True, True):
        if collects:
            # Of a collector that was killed.
            server.objects.pop("p/gc/lease", None)
            with Repository.open(place(server.endpoint), alone=True) as repo:
                for snapshot in sorted(kept)[1::2]:
                    repo.forget(snapshot, by="the check", reason="")
                kept = set(sorted(kept)[::2])
                report = gc(repo, KEEP_ALL, grace=timedelta(0), pack_grace=timedelta(0))
            outcome.packs_deleted += report.packs_deleted
            outcome.expired += len(report.expired)
        with Repository.open(place(server.endpoint), index_folder=folder / "checker") as repo:
            for snapshot in kept:
                assert texts(repo, snapshot) == version(outcome.made[snapshot]).texts
            assert verify(repo, data=True).findings == ()
