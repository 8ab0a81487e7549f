"""A repository on an object store: faults at every request lose nothing and publish nothing early,
credentials that may only create suffice, and few requests do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import SnapError, StoreError
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.stores.opening import open_store
from pgsnap.stores.pacing import Pace
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import transfer
from support.repositories.collecting import commit_versions, sound_versions_in, version
from support.repositories.made import make, record
from support.servers.object_server import Fault, ObjectServer, Rights, Seen, nth
from support.servers.object_stores import KEY, aws_environ

# Two attempts: a fault that is repeated ends the command.
PACE = Pace(
    attempts=2,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.02,
    base_seconds=0.5,
    patience_seconds=5,
)
FAULTS = [Fault.DROP, Fault.LATE_DROP, Fault.CUT, Fault.LATE_SLOW_DOWN, Fault.DENIED, Fault.FULL]
# So many times in a row that no attempt gets through.
FOR_GOOD = 4
MOST_REQUESTS = 150
COMMITTER = Rights(
    creates=tuple(f"p/{name}/" for name in ("packs", "snapshots", "tags", "notes", "claims")),
    overwrites=(),
    deletes=(),
)


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer(delayed_seconds=1.0, rights={"COMMITTER": COMMITTER}) as made:
        yield made


class Remote:
    """A repository on *server*, and hosts with caches of their own."""

    def __init__(self, server: ObjectServer, caches: Path, prefix: str = "p") -> None:
        self.server = server
        self._caches = caches
        self._url = f"s3://bucket/{prefix}"
        Repository.create(self.place())

    def place(self, key: str = KEY) -> RemotePlace:
        environ = aws_environ(self.server.endpoint, key=key)
        return RemotePlace(self._url, open_store(self._url, environ, pace=PACE))

    def open(self, host: str = "here", *, key: str = KEY, alone: bool = False) -> Repository:
        return Repository.open(self.place(key), index_folder=self._caches / host, alone=alone)

    def check(self) -> set[int]:
        """Check that all that is seen reads back; return the numbers of the versions."""
        with self.open("checker") as repo:
            return sound_versions_in(repo)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two snapshots."""
    path = make(tmp_path_factory.mktemp("here") / "backups", pack_bytes=40_000)
    with Repository.open(path) as repo:
        commit_versions(repo, [0, 1])
        set_tag(repo, "release", repo.newest(None)[0])
    return path


def each_request(server: ObjectServer, fault: Fault, run: Callable[[], None]) -> Iterator[int]:
    """Run with *fault* at each of the requests in turn, until there is none of that number."""
    number = 0
    while True:
        server.plan = nth(number, fault, repeats=FOR_GOOD)
        server.seen.clear()
        try:
            run()
        except SnapError:
            ended = False
        else:
            ended = len(server.seen) <= number
        server.plan = lambda seen: None
        yield number
        if ended:
            return
        number += 1
        assert number < MOST_REQUESTS, "it fails for good"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_push_with_a_fault_at_any_request_shows_only_whole_snapshots_and_can_be_repeated(
    server: ObjectServer, here: Path, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)

    def push() -> None:
        with Repository.open(here) as source, remote.open() as there:
            transfer(source, there)

    for _ in each_request(server, fault, push):
        assert remote.check() <= {0, 1}
    push()
    assert remote.check() == {0, 1}
    with remote.open() as there:
        assert [tag.name for tag in there.tags.all()] == ["release"]


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.LATE_DROP])
def test_a_gc_with_faults_at_some_requests_deletes_nothing_that_is_needed(
    server: ObjectServer, tmp_path: Path, fault: Fault
) -> None:
    remote = Remote(server, tmp_path)
    with remote.open() as repo:
        commit_versions(repo, range(0, 29, 7))
    failed = 0
    for number in range(4, 68, 9):
        server.plan = nth(number, fault, repeats=FOR_GOOD)
        try:
            _collect(remote)
        except SnapError:
            failed += 1
        server.plan = lambda seen: None
        # The lease of a command that lost its store: nobody renews it.
        server.objects.pop("p/gc/lease", None)
        assert {21, 28} <= remote.check()
    assert failed > 3
    _collect(remote)
    _collect(remote)
    assert remote.check() == {21, 28}


def _collect(remote: Remote) -> None:
    with remote.open("collector", alone=True) as repo:
        gc(repo, Policy(last=2), grace=timedelta(0), pack_grace=timedelta(0))


def test_credentials_that_may_only_create_suffice_to_push_and_commit_and_not_to_forget(
    server: ObjectServer, here: Path, tmp_path: Path
) -> None:
    remote = Remote(server, tmp_path)
    with Repository.open(here) as source, remote.open(key="COMMITTER") as there:
        transfer(source, there)
        record(there, version(2), message="2", tags=["release"], force_tags=True)
        with pytest.raises(StoreError, match="access is denied"):
            there.forget(there.newest(None)[0], by="test", reason="test")
    with pytest.raises(StoreError, match="access is denied"):
        remote.open(key="COMMITTER", alone=True)
    assert remote.check() == {0, 1, 2}


def test_one_more_snapshot_takes_few_requests_beyond_its_packs(
    server: ObjectServer, tmp_path: Path
) -> None:
    remote = Remote(server, tmp_path)
    path = make(tmp_path / "here")
    with Repository.open(path) as repo:
        commit_versions(repo, range(5))
    with Repository.open(path) as source, remote.open() as there:
        transfer(source, there)
    with Repository.open(path) as source:
        commit_versions(source, [5])
    server.seen.clear()
    with Repository.open(path) as source, remote.open() as there:
        assert len(transfer(source, there).snapshots) == 1
    assert len([seen for seen in server.seen if not _is_pack(seen)]) <= 20, _words(server)
    server.seen.clear()
    with remote.open() as repo:
        assert len(repo.newest(None)) == 6
    assert len(server.seen) <= 10, _words(server)


def _is_pack(seen: Seen) -> bool:
    return "/packs/" in seen.key and seen.method == "PUT"


def _words(server: ObjectServer) -> list[str]:
    return [f"{seen.method} {seen.key} {seen.query}" for seen in server.seen]
