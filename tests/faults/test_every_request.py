"""A fault at any request of a push, pull, commit or gc: what is seen afterwards is whole, what was
acknowledged is there, and the command can be repeated.

SNAP_STEP says how many requests lie between two that fail (`make test-long`: 1).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryLocked, SnapError
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import transfer
from support.repositories.collecting import check_versions, commit_versions, version
from support.repositories.made import day, make, record
from support.repositories.on_server import HASTY, PATIENT, Remote
from support.running.seeds import SEED
from support.servers.object_server import Fault, ObjectServer, nth

pytestmark = pytest.mark.timeout(3600)

STEP = int(os.environ.get("SNAP_STEP", "10"))
FAULTS = [fault for fault in Fault if fault not in (Fault.ABSENT, Fault.RETAINED)]
LEASE = "p/gc/lease"
# Where no answer comes each attempt takes its time.
SLOW = {Fault.HANG, Fault.LATE_HANG, Fault.DELAYED}
MOST_REQUESTS = 250


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer() as made:
        yield made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two snapshots."""
    path = make(tmp_path_factory.mktemp("here") / "backups", pack_bytes=40_000)
    with Repository.open(path) as repo:
        commit_versions(repo, [0, 1])
        set_tag(repo, "release", repo.newest(None)[0])
    return path


def each_request(
    remote: Remote, fault: Fault, run: Callable[[], None], step: int = STEP
) -> Iterator[bool]:
    """Run with *fault* at one request after another, until there is none of that number. Yields
    whether it ended without an error. Each kind of fault begins at another request, so that all
    kinds together hit most of them."""
    server = remote.server
    for number in range((SEED + 3 * FAULTS.index(fault)) % step, MOST_REQUESTS, step):
        # A host that fails does not give back its lease, which others then wait for: else every
        # later run would end there, long before the request that is meant.
        server.objects.pop(LEASE, None)
        # So many times in a row that no attempt gets through.
        server.plan = nth(number, fault, repeats=2 if fault in SLOW else 4)
        server.seen.clear()
        remote.pace = HASTY if fault in SLOW else PATIENT
        try:
            run()
            done = True
        except SnapError:
            done = False
        made = len(server.seen)
        server.plan = lambda seen: None
        remote.pace = PATIENT
        server.settle()
        yield done
        if done and made <= number:
            return
    raise AssertionError("it fails for good")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_push_shows_only_whole_snapshots(
    server: ObjectServer, here: Path, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)

    def push() -> None:
        with Repository.open(here) as source, remote.open() as there:
            transfer(source, there)

    for done in each_request(remote, fault, push):
        assert remote.check() <= {0, 1}
        assert not done or remote.check() == {0, 1}
    push()
    assert remote.check() == {0, 1}
    with remote.open() as there:
        assert [tag.name for tag in there.tags.all()] == ["release"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_pull_shows_only_whole_snapshots(
    server: ObjectServer, here: Path, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)
    with Repository.open(here) as source, remote.open() as there:
        transfer(source, there)
    path = make(tmp_path / "pulled")

    def pull() -> None:
        # Each with an empty cache, as on a new host.
        with Repository.open(path) as target, remote.open(f"host {next(hosts)}") as there:
            transfer(there, target)

    hosts = count()
    for done in each_request(remote, fault, pull):
        assert check_versions(path) <= {0, 1}
        assert not done or check_versions(path) == {0, 1}
    assert remote.check() == {0, 1}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_commit_that_is_acknowledged_is_whole_and_any_other_is_whole_or_absent(
    server: ObjectServer, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)
    tried, acknowledged = 0, set()

    def commit() -> None:
        nonlocal tried
        tried += 1
        with remote.open() as repo:
            record(
                repo,
                version(tried),
                message=str(tried),
                at=day(1) + timedelta(hours=tried),
                tags=["newest"],
                force_tags=True,
            )

    for done in each_request(remote, fault, commit):
        if done:
            acknowledged.add(tried)
        assert acknowledged <= remote.check() <= set(range(1, tried + 1))
    with remote.open() as repo:
        (tag,) = repo.tags.all()
        assert int(repo.snapshot(tag.snapshot).message) >= max(acknowledged)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_gc_deletes_nothing_that_is_needed(
    server: ObjectServer, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)
    with remote.open() as repo:
        commit_versions(repo, range(0, 29, 7))

    def collect() -> None:
        with remote.open("collector", alone=True, lock_timeout_seconds=0.0) as repo:
            gc(repo, Policy(last=2), grace=timedelta(0), pack_grace=timedelta(0))

    for _ in each_request(remote, fault, collect, step=4 * STEP if STEP > 1 else 1):
        assert {21, 28} <= remote.check()
        if LEASE in server.objects:
            with pytest.raises(RepositoryLocked):
                collect()
    server.objects.pop(LEASE, None)
    collect()
    collect()
    assert remote.check() == {21, 28}
    assert not server.data("p/claims/")
