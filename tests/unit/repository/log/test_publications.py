"""The log of a remote repository: whoever has an index reads what is new there, and lists nothing;
whatever is odd about the log, all is seen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import ObjectExists
from pgsnap.format.remote import (
    NUMBER_MAX,
    Publication,
    encode_publication,
    publication_id,
)
from pgsnap.model import SnapshotId
from pgsnap.repository.log import publications
from pgsnap.repository.log.publications import LISTED_SECONDS, entry_name
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.stores.opening import open_store
from support.dumps.scripted import shop, texts
from support.repositories.hosts import Hosts, Silent, hosts_of
from support.repositories.made import record
from support.servers.object_server import ObjectServer
from support.servers.object_stores import QUICK, aws_environ


@pytest.fixture(params=["local", "s3"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hosts]:
    with hosts_of(request.param, tmp_path) as hosts:
        yield hosts


def test_an_opening_reads_what_is_new_and_lists_nothing(hosts: Hosts) -> None:
    first = hosts.commit("one", "first")
    assert hosts.seen("two") == {first}
    assert hosts.is_listed()
    second = hosts.commit("one", "second")
    with hosts.open("one") as repo:
        repo.forget(first, by="test", reason="test")
        repo.tags.delete(repo.databases()[0], "first")
    with hosts.open("two") as repo:
        assert repo.newest(None) == [second]
        assert repo.newest(None, also_forgotten=True) == [second, first]
        assert repo.tags.by_snapshot() == {second: ["second"]}
        assert not hosts.is_listed()
        # Three entries, a manifest, and a note; then the two tags, of one of which the first
        # generation was read before it was deleted.
        assert [name for call, name in hosts.calls if call == "list"] == ["log/"]
        assert len([name for call, name in hosts.calls if call == "get"]) <= 1 + 4 + 1 + 1 + 3
    with hosts.open("two") as repo:
        assert repo.tags.by_snapshot() == {second: ["second"]}
        assert hosts.calls == [("get", "config"), ("list", "log/")]


def test_one_entry_has_all_that_a_commit_publishes(hosts: Hosts) -> None:
    made = hosts.commit("one", "a", "b")
    assert hosts.entries() == [entry_name(1)]
    entry = hosts.entry(1)
    assert entry.snapshots == (made,)
    assert sorted(name.split("/")[2] for name in entry.names) == ["a", "b"]
    assert (entry.before, entry.is_whole) == (b"", False)
    hosts.commit("two")
    assert hosts.entry(2).before == publication_id(hosts.store().get(entry_name(1)))


def test_an_entry_of_a_late_writer_with_a_slow_clock_is_not_lost(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2001, 1, 1, tzinfo=UTC)

    hosts.commit("one")
    with hosts.open("late") as late:
        hosts.commit("one")
        hosts.seen("reader")
        monkeypatch.setattr(publications, "datetime", Slow)
        made = record(late, shop(10)).snapshot_id
        monkeypatch.undo()
    times = [hosts.entry(number).time for number in (1, 2, 3)]
    assert times[2] < times[0] < times[1]
    assert made in hosts.seen("reader")
    assert not hosts.is_listed()


def test_of_writers_at_the_same_time_each_has_an_entry(tmp_path: Path) -> None:
    url = "s3://bucket/p"
    with ObjectServer() as server:
        environ = aws_environ(server.endpoint)
        hosts = Hosts(url, lambda: open_store(url, environ, pace=QUICK), tmp_path / "caches")
        first = hosts.commit("reader")
        hosts.seen("reader")

        def write(number: int) -> SnapshotId:
            place = RemotePlace(url, hosts.store())
            with Repository.open(place, index_folder=tmp_path / f"caches/{number}") as repo:
                return record(repo, shop(100 + number)).snapshot_id

        with ThreadPoolExecutor(6) as pool:
            made = set(pool.map(write, range(6)))
        assert hosts.entries() == [entry_name(number) for number in range(1, 8)]
        assert hosts.seen("reader") == {first, *made}
        assert not hosts.is_listed()


def test_what_a_writer_did_not_come_to_log_is_seen_by_the_next_listing(hosts: Hosts) -> None:
    hosts.commit("one")
    hosts.seen("reader")
    dead = hosts.commit("one", store=Silent(hosts.store()))
    assert hosts.entries() == [entry_name(1)]
    assert dead not in hosts.seen("reader")
    assert dead in hosts.seen("new")
    assert dead in hosts.seen("reader", whole=True)


def test_what_a_writer_did_not_come_to_log_is_in_its_next_entry(hosts: Hosts) -> None:
    hosts.commit("one")
    hosts.seen("reader")
    dead = hosts.commit("one", "tagged", store=Silent(hosts.store()))
    later = hosts.commit("one")
    assert {dead, later} < hosts.seen("reader")
    with hosts.open("reader") as repo:
        assert repo.tags.by_snapshot() == {dead: ["tagged"]}
    assert not hosts.is_listed()


def test_what_is_stored_again_is_logged_where_it_was_not(hosts: Hosts) -> None:
    first = hosts.commit("one")
    with hosts.open("one") as repo:
        data = repo.manifest(first)
    hosts.seen("reader")
    hosts.store().delete(entry_name(1))
    with hosts.open("two") as repo:
        assert repo.log is not None
        repo.log.listing.drop([f"snapshots/{first.hex()}"])
        repo.put_back(first, data)
    assert hosts.entry(1).snapshots == (first,)


def test_the_store_is_listed_each_day(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.commit("one")
    hosts.seen("reader")
    dead = hosts.commit("one", store=Silent(hosts.store()))
    assert dead not in hosts.seen("reader")
    now = time.time()
    for moment in (now + LISTED_SECONDS, now - 3600):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert dead in hosts.seen("reader")
        assert hosts.is_listed()
        monkeypatch.undo()


def _forged(number: int, before: bytes, **changed: object) -> bytes:
    made = Publication(number, before, datetime.now(UTC), (), (), False, secrets.token_bytes(16))
    return encode_publication(replace(made, **changed))


FORGERIES: dict[str, Callable[[bytes], tuple[int, bytes]]] = {
    "garbage": lambda _: (3, b"garbage"),
    "another before": lambda _: (3, _forged(3, b"x" * 32)),
    "another number": lambda last: (3, _forged(4, last)),
    "a gap": lambda last: (9, _forged(9, last)),
    "the greatest number": lambda last: (NUMBER_MAX, _forged(NUMBER_MAX, last)),
    "nothing is left": lambda last: (3, _forged(3, last, is_whole=True)),
    "what is not there": lambda last: (3, _forged(3, last, snapshots=(b"s" * 32,))),
    "tags that are not there": lambda last: (3, _forged(3, last, names=("tags/a/b/00000007",))),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_entry_hides_nothing(hosts: Hosts, kind: str) -> None:
    made = {hosts.commit("one", "a"), hosts.commit("one", "b")}
    hosts.seen("reader")
    last = publication_id(hosts.store().get(entry_name(2)))
    number, data = FORGERIES[kind](last)
    hosts.store().create(entry_name(number), data)
    for host in ("reader", "new", "reader"):
        assert hosts.seen(host) == made
        with hosts.open(host) as repo:
            assert len(repo.tags.all()) == 2
    with hosts.open("one") as repo:
        repo.forget(min(made), by="test", reason="test")
    late = hosts.commit("one", "c")
    for host in ("new", "reader", "newer"):
        assert hosts.seen(host) == {max(made), late}
        with hosts.open(host) as repo:
            assert {tag.name for tag in repo.tags.all()} == {"a", "b", "c"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_withheld_entry_hides_nothing_from_whoever_lists(hosts: Hosts, number: int) -> None:
    made = {hosts.commit("one")}
    hosts.seen("reader")
    made |= {hosts.commit("one"), hosts.commit("one")}
    hosts.store().delete(entry_name(number))
    if number != 3:
        assert hosts.seen("reader") == made
    # The end of the log does not show that something is missing behind it.
    assert hosts.seen("reader", whole=True) == made
    assert hosts.seen("new") == made


def test_a_repository_without_a_log_is_listed_and_gets_one(hosts: Hosts) -> None:
    made = [hosts.commit("one", store=Silent(hosts.store()))]
    for host in ("reader", "reader"):
        assert hosts.seen(host) == set(made)
        assert hosts.is_listed()
    # As an older version of snap does: no entry.
    made.append(hosts.commit("two", store=Silent(hosts.store())))
    assert hosts.seen("reader") == set(made)
    made.append(hosts.commit("three"))
    assert hosts.entries() == [entry_name(1)]
    assert hosts.seen("reader") == set(made)
    assert hosts.seen("reader") == set(made)
    assert not hosts.is_listed()


def test_a_writer_that_may_not_write_entries_commits_all_the_same(hosts: Hosts) -> None:
    with hosts.open("one", store=Silent(hosts.store())) as repo:
        made = record(repo, shop(20)).snapshot_id
        assert repo.log is not None
        assert repo.log.fault is not None
        assert texts(repo, made) == shop(20).texts
    assert hosts.seen("reader") == {made}


def test_a_tag_that_moved_is_looked_up_in_the_store(hosts: Hosts) -> None:
    first = hosts.commit("one", "moving")
    with hosts.open("reader") as repo:
        label = repo.databases()[0]
        second = hosts.commit("one")
        with hosts.open("one") as other:
            (tag,) = other.tags.all()
            other.tags.set(replace(tag, snapshot=second), force=True)
        found = repo.tags.get(label, "moving")
        assert found is not None
        assert (found.snapshot, first != second) == (second, True)
        # What replaces it is compared with what it is now.
        repo.tags.set(replace(found, snapshot=first), force=True)
    with hosts.open("one") as other:
        assert [tag.snapshot for tag in other.tags.all()] == [first]


def test_an_entry_is_created_once(hosts: Hosts) -> None:
    hosts.commit("one")
    with pytest.raises(ObjectExists):
        hosts.store().create(entry_name(1), b"another")


def test_so_many_new_entries_that_a_listing_is_cheaper_are_not_read(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.commit("one")
    hosts.seen("reader")
    monkeypatch.setattr(publications, "FOLLOWED_MAX", 3)
    made = [hosts.commit("one") for _ in range(3)]
    assert set(made) < hosts.seen("reader")
    assert hosts.is_listed()
    assert timedelta(seconds=LISTED_SECONDS) == timedelta(days=1)
