"""A repository that a URL names has everything a folder has, except what only a folder can have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgsnap.errors import (
    CorruptionError,
    RepositoryExists,
    RepositoryLocked,
    RepositoryNotFound,
    TagExists,
)
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SnapshotId, Tag
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.places import lease
from pgsnap.repository.places.opening import place_of
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import delete_tag, set_tag
from support.dumps.scripted import shop, texts
from support.faults.damaging import flip
from support.repositories.made import record

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def url(folder: Path) -> str:
    made = folder.as_uri()
    Repository.create(made)
    return made


def test_a_snapshot_is_committed_read_and_verified(url: str, tmp_path: Path) -> None:
    with Repository.open(url, index_folder=tmp_path / "cache") as repo:
        made = record(repo, shop(300), tags=["first"])
    with Repository.open(url) as repo:
        assert texts(repo, made.snapshot_id) == shop(300).texts
        assert repo.tags.by_snapshot() == {made.snapshot_id: ["first"]}
        assert not verify(repo, data=True).findings


def test_neither_index_nor_lock_nor_log_is_put_into_the_store(
    url: str, folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with Repository.open(url, index_folder=cache) as repo:
        record(repo)
    assert {entry.name for entry in folder.iterdir()} == {
        *("config", "log", "packs", "snapshots", "tmp")
    }
    (index,) = cache.glob("*.sqlite")
    assert index.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700


def test_opening_sets_no_tags_for_commits_of_other_hosts(url: str, tmp_path: Path) -> None:
    with Repository.open(url, index_folder=tmp_path / "two"):
        pass
    with Repository.open(url, index_folder=tmp_path / "one") as repo:
        first = record(repo, shop(100), tags=["moved", "deleted"]).snapshot_id
        label = repo.databases()[0]
        repo.tags.delete(label, "deleted")
    with Repository.open(url, index_folder=tmp_path / "two") as repo:
        assert repo.tags.by_snapshot() == {first: ["moved"]}
    with Repository.open(url, index_folder=tmp_path / "one") as repo:
        second = record(repo, shop(101), tags=["moved"], force_tags=True).snapshot_id
        repo.tags.set(Tag(label, "moved", first, datetime(2020, 1, 1, tzinfo=UTC)), force=True)
    with Repository.open(url, index_folder=tmp_path / "two") as repo:
        assert second in repo.newest(None)
        assert repo.tags.by_snapshot() == {first: ["moved"]}


def test_another_host_finds_what_this_one_committed_and_a_lost_index_is_rebuilt(
    url: str, tmp_path: Path
) -> None:
    made: list[SnapshotId] = []
    for host in ("one", "two", "one"):
        with Repository.open(url, index_folder=tmp_path / host) as repo:
            assert sorted(repo.newest(None)) == sorted(made)
            made.append(record(repo, shop(100 + len(made))).snapshot_id)
    reindex(url, index_folder=tmp_path / "one")
    with Repository.open(url, index_folder=tmp_path / "one") as repo:
        for number, snapshot in enumerate(made):
            assert texts(repo, snapshot) == shop(100 + number).texts


def test_a_place_without_a_repository_says_so(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(RepositoryNotFound, match="there is no repository in") as caught:
        Repository.open(folder.as_uri())
    assert caught.value.hint == f"Make one: snap init {folder.as_uri()}"


@pytest.mark.parametrize("inner", ["packs", "snapshots/deep/er", "tags/x", "log"])
@pytest.mark.parametrize("by_url", [False, True])
def test_none_is_made_among_the_objects_of_another_one(
    tmp_path: Path, inner: str, by_url: bool
) -> None:
    outer = tmp_path / "outer"
    Repository.create(outer.as_uri() if by_url else outer)
    within = outer / inner
    with pytest.raises(RepositoryExists, match="is within the repository in"):
        Repository.create(within.as_uri() if by_url else within)
    assert not (within / "config").exists()
    # Elsewhere such names are as good as others, and so are others there.
    Repository.create(tmp_path / "packs" / "mine")
    Repository.create((outer / "mine").as_uri())


def test_a_second_repository_is_not_made_in_the_same_place(url: str, folder: Path) -> None:
    with pytest.raises(RepositoryExists, match="is a repository already"):
        Repository.create(url)
    (folder / "config").unlink()
    with Repository.open(_other(folder)) as repo:
        record(repo)
    (_folder(_other(folder)) / "config").unlink()
    with pytest.raises(RepositoryExists, match="holds objects already"):
        Repository.create(_other(folder))


def _other(folder: Path) -> str:
    other = folder.with_name("other")
    if not other.exists():
        Repository.create(other.as_uri())
    return other.as_uri()


def _folder(url: str) -> Path:
    return Path(url.removeprefix("file://"))


# -- tags ------------------------------------------------------------------------------------------


def test_a_tag_moves_and_is_deleted_by_creating_objects_only(url: str, folder: Path) -> None:
    with Repository.open(url) as repo:
        one, two = (record(repo, shop(number)).snapshot_id for number in (100, 200))
        refuse_all_but_creating(repo)
        set_tag(repo, "release", one)
        with pytest.raises(TagExists):
            set_tag(repo, "release", two)
        set_tag(repo, "release", two, force=True)
        assert repo.tags.by_snapshot() == {two: ["release"]}
        delete_tag(repo, "release", database="shop")
        assert repo.tags.all() == []
        set_tag(repo, "release", one)
        assert repo.tags.by_snapshot() == {one: ["release"]}
    names = sorted(file.name for file in (folder / "tags" / "shop" / "release").iterdir())
    assert names == ["00000001", "00000002", "00000003", "00000004"]
    with Repository.open(url) as repo:
        assert isinstance(repo.store, CreatedOnly)
        assert sorted(repo.store.superseded()) == [f"tags/shop/release/{n}" for n in names[:3]]


def refuse_all_but_creating(repo: Repository) -> None:
    """Let the bare store refuse what credentials that may only create objects may not do."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("an object was changed or deleted")

    for method in ("put", "replace", "delete"):
        setattr(repo.place.store, method, refused)


def test_of_two_who_move_a_tag_at_once_one_is_refused(url: str) -> None:
    with Repository.open(url) as repo, Repository.open(url) as other:
        one, two, three = (record(repo, shop(number)).snapshot_id for number in (100, 200, 300))
        set_tag(repo, "release", one)
        between(repo, lambda: other.tags.set(Tag("shop", "release", two, NOW), force=True))
        with pytest.raises(TagExists, match="was moved by another process"):
            set_tag(repo, "release", three, force=True)
        assert repo.tags.by_snapshot() == {two: ["release"]}


def between(repo: Repository, act: Callable[[], object]) -> None:
    """Let *act* happen after the next tag was read and before it is written."""
    create = repo.place.store.create

    def create_late(name: str, data: bytes) -> None:
        repo.place.store.create = create  # type: ignore[method-assign]
        act()
        create(name, data)

    repo.place.store.create = create_late  # type: ignore[method-assign]


def test_a_damaged_deletion_is_damage_and_no_deletion(url: str, folder: Path) -> None:
    with Repository.open(url) as repo:
        made = record(repo, tags=["release"])
        delete_tag(repo, "release", database="shop")
    flip(folder / "tags" / "shop" / "release" / "00000002", 20)
    with Repository.open(url) as repo:
        with pytest.raises(CorruptionError, match='tag "release"'):
            repo.tags.all()
        set_tag(repo, "release", made.snapshot_id, force=True)
        assert repo.tags.by_snapshot() == {made.snapshot_id: ["release"]}


# -- the lease -------------------------------------------------------------------------------------


def test_the_lease_has_one_holder_and_is_free_afterwards(url: str, folder: Path) -> None:
    place = place_of(url)
    with place.lock(0.0, alone=True) as held:
        held.check()
        assert place.held_since() is not None
        with pytest.raises(RepositoryLocked, match="locked by another process"):
            place_of(url).lock(0.0, alone=True).__enter__()
        # Commits and readers take none.
        with Repository.open(url) as repo:
            record(repo)
    assert place.held_since() is None
    assert not (folder / "gc" / "lease").exists()


def test_a_dead_holders_lease_is_taken_over_and_the_sleeper_finds_out(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place_of(url).store
    sleeper = lease.RemoteLease(store, lease._take(store, 0.0))
    sleeper._ended.set()
    sleeper._thread.join()
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.2)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    with lease.held_lease(store, 10.0) as held:
        held.check()
        sleeper._seen -= 1.0
        assert not sleeper.is_held()
        # What it does at its end takes nothing away from the new holder.
        sleeper.end()
        held.check()
        assert place_of(url).held_since() is not None
