"""A repository on an object store: credentials that may only create suffice, and few requests
do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.sync.transfer import transfer
from support.repositories.collecting import commit_versions, version
from support.repositories.made import make, record
from support.repositories.on_server import Remote
from support.servers.object_server import ObjectServer, Rights, Seen

COMMITTER = Rights(
    creates=tuple(
        f"p/{name}/" for name in ("packs", "snapshots", "tags", "notes", "claims", "log")
    ),
    overwrites=(),
    deletes=(),
)


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer(rights={"COMMITTER": COMMITTER}) as made:
        yield made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two snapshots."""
    path = make(tmp_path_factory.mktemp("here") / "backups", pack_bytes=40_000)
    with Repository.open(path) as repo:
        commit_versions(repo, [0, 1])
        set_tag(repo, "release", repo.newest(None)[0])
    return path


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


def test_a_host_that_sees_a_remote_for_the_first_time_reads_side_by_side(
    server: ObjectServer, here: Path, tmp_path: Path
) -> None:
    remote = Remote(server, tmp_path)
    with Repository.open(here) as source, remote.open() as there:
        transfer(source, there)
        first = there.newest(None)[0]
        snapshot = replace(there.snapshot(first), wished_tags=())
        with there.together():
            more = [
                there.publish(replace(snapshot, message=f"again {number}"))[0]
                for number in range(30)
            ]
        for number, one in enumerate(more):
            set_tag(there, f"tag-{number}", one)
        for one in more[:20]:
            there.forget(one, by="test", reason="test")
    for kind in ("p/snapshots/", "p/tags/", "p/gc/notes/"):
        meeting = _Meeting(kind)
        server.held_by = meeting
        server.seen.clear()
        with remote.open(f"new for {kind}") as repo:
            assert len(repo.newest(None)) == 2 + 30 - 20
            assert len(repo.tags.all()) == 1 + 30
        server.held_by = lambda seen: None
        # Each object is read once, several at a time, and no more than are allowed.
        assert meeting.met, kind
        assert 1 < meeting.most <= remote.place().transfers
        read = [seen.key for seen in server.seen if seen.method == "GET" and kind in seen.key]
        assert len(read) == len(set(read)) >= 20, _words(server)


class _Meeting:
    """Holds requests for objects of a kind back until two of them are there at the same time."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._two = threading.Event()
        self._now = self.most = 0
        self._gave_up = False

    @property
    def met(self) -> bool:
        return self._two.is_set()

    def __call__(self, seen: Seen) -> None:
        if seen.method != "GET" or not seen.key.startswith(self._kind):
            return
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now > 1:
                self._two.set()
        # Where they come one by one, the first waits for nobody.
        if not self._gave_up:
            self._gave_up = not self._two.wait(30)
        with self._lock:
            self._now -= 1


def _is_pack(seen: Seen) -> bool:
    return "/packs/" in seen.key and seen.method == "PUT"


def _words(server: ObjectServer) -> list[str]:
    return [f"{seen.method} {seen.key} {seen.query}" for seen in server.seen]
