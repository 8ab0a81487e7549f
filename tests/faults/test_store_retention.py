"""A store that does not let objects be deleted for a time, or a host whose credentials may not: a
gc keeps them, and nothing else is held up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import ObjectLocked, StoreRefused
from pgsnap.files.folder import Folder
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Store
from pgsnap.stores.local import LocalStore
from pgsnap.stores.opening import open_store
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import Dump, shop, texts
from support.repositories.made import record
from support.running.commandline import CommandLine
from support.servers.object_server import Fault, ObjectServer, Seen
from support.servers.object_stores import QUICK, aws_environ

URL = "s3://bucket/p"
AT_ONCE = timedelta(0)
FAULTS = {
    "retention": (("DELETE", "PUT"), Fault.RETAINED),
    "rights": (("DELETE",), Fault.DENIED),
}


def version(number: int) -> Dump:
    """Return a dump that has nothing in common with others."""
    return shop(800, seed=10 * number + 1)


class Site:
    def __init__(self, server: ObjectServer, caches: Path) -> None:
        self.server = server
        self._caches = caches
        Repository.create(self.place())
        with self.open("writer") as repo:
            for number in range(4):
                record(repo, version(number), message=str(number))

    def store(self) -> Store:
        return open_store(URL, aws_environ(self.server.endpoint), pace=QUICK)

    def place(self) -> RemotePlace:
        return RemotePlace(URL, self.store())

    def open(self, host: str, *, alone: bool = False) -> Repository:
        return Repository.open(self.place(), index_folder=self._caches / host, alone=alone)

    def gc(self) -> GcReport:
        with self.open("gc", alone=True) as repo:
            return gc(repo, Policy(last=1), grace=AT_ONCE, pack_grace=AT_ONCE)

    def protect(self, prefix: str, why: str) -> None:
        """Refuse to let what begins with *prefix* be deleted, or, by a retention, overwritten."""
        methods, fault = FAULTS[why]

        def refused(seen: Seen) -> Fault | None:
            is_there = seen.key in self.server.objects and seen.key.startswith(f"p/{prefix}")
            return fault if is_there and seen.method in methods else None

        self.server.plan = refused

    def end_protection(self) -> None:
        self.server.plan = lambda seen: None

    def names(self, folder: str) -> list[str]:
        return sorted(self.server.data(f"p/{folder}/"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ObjectServer() as server:
        yield Site(server, tmp_path / "caches")


@pytest.mark.parametrize(("why", "kind"), [("retention", ObjectLocked), ("rights", StoreRefused)])
def test_packs_that_cannot_be_deleted_hold_up_no_commit_that_needs_them(
    site: Site, why: str, kind: type[StoreRefused]
) -> None:
    packs = site.names("packs")
    site.protect("packs/", why)
    assert site.gc().packs_marked
    for _ in range(2):
        done = site.gc()
        assert type(done.refused) is kind
        assert done.packs_deleted == 0
        assert set(site.names("packs")) >= set(packs)
    # The database goes back to what it was: it needs what the gc wanted to delete.
    for host in ("writer", "another"):
        with site.open(host) as repo:
            made = record(repo, version(1), message="again")
            assert texts(repo, made.snapshot_id) == version(1).texts
    site.end_protection()
    reports = [site.gc() for _ in range(3)]
    assert [one.refused for one in reports] == [None] * 3
    assert sum(one.packs_deleted for one in reports) > 0
    with site.open("reader") as repo:
        (left,) = repo.newest(None)
        assert texts(repo, left) == version(1).texts
        assert verify(repo, data=True).findings == ()


@pytest.mark.parametrize("why", ["retention", "rights"])
def test_a_manifest_that_cannot_be_deleted_stays_forgotten_and_whole(site: Site, why: str) -> None:
    with site.open("writer") as repo:
        newest, second, *older = repo.newest(None)
    kept = second.hex()
    site.protect(f"snapshots/{kept}", why)
    reports = [site.gc() for _ in range(4)]
    assert all(one.refused is not None for one in reports)
    assert {one.snapshot_id for report in reports for one in report.expired} == set(older)
    assert site.names("snapshots") == sorted([newest.hex(), kept])
    with site.open("another") as repo:
        assert repo.newest(None) == [newest]
        assert texts(repo, second) == version(2).texts
    site.end_protection()
    assert [one.snapshot_id for one in site.gc().expired] == [second]
    assert site.names("snapshots") == [newest.hex()]


@pytest.mark.parametrize("why", ["retention", "rights"])
def test_gc_warns_of_a_retention_and_fails_without_the_right(
    site: Site, snap: CommandLine, why: str
) -> None:
    for name, value in aws_environ(site.server.endpoint).items():
        snap.setenv(name, value)
    site.protect("snapshots/", why)
    done = snap("gc", "--repo", URL, "--keep-last", "1", "--grace", "0s", "--json")
    assert done.json["complete"] is False
    assert done.json["expired"] == []
    if why == "retention":
        assert done.code == 0
        (warning,) = done.json["notices"]
        assert "until its retention ends" in warning
    else:
        assert done.code == 50
        assert done.error["message"].endswith("access is denied")


def test_a_folder_that_a_url_names_holds_up_no_commit_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `chattr +a`, which also root is refused."""
    folder = tmp_path / "store"
    folder.mkdir()

    def opened(host: str, *, alone: bool = False) -> Repository:
        place = RemotePlace(folder.as_uri(), LocalStore(folder))
        return Repository.open(place, index_folder=tmp_path / host, alone=alone)

    def collected() -> GcReport:
        with opened("gc", alone=True) as repo:
            return gc(repo, Policy(last=1), grace=AT_ONCE, pack_grace=AT_ONCE)

    really = Folder.unlink

    def refused(self: Folder, name: str, **options: bool) -> None:
        if name.startswith("packs/"):
            raise PermissionError(1, "Operation not permitted", name)
        really(self, name, **options)

    Repository.create(RemotePlace(folder.as_uri(), LocalStore(folder)))
    with opened("writer") as repo:
        for number in range(3):
            record(repo, version(number), message=str(number))
    assert collected().packs_marked
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "unlink", refused)
        assert type(collected().refused) is StoreRefused
    with opened("writer") as repo:
        made = record(repo, version(0), message="again")
        assert texts(repo, made.snapshot_id) == version(0).texts
