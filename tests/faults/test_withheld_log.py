"""A store that was put back, or that keeps something back: who finds that, and what it stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError, StoreBehind
from pgsnap.maintenance.repair.losses import accept, find_losses, vanished
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.maintenance.verify.withheld import not_shown
from pgsnap.model import SnapshotId, Verdict
from pgsnap.repository import layout
from pgsnap.repository.log.publications import entry_name
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.workflows.retention.gc import GcReport, gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.clone import check_expected, head_of
from pgsnap.workflows.watch.check import CheckReport, check_repository
from support.repositories.encrypted import unlocker
from support.repositories.hosts import Hosts, Silent, hosts_of

AT_ONCE = timedelta(0)


@pytest.fixture(params=["local", "s3"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hosts]:
    with hosts_of(request.param, tmp_path, is_encrypted=True) as hosts:
        yield hosts


def found(hosts: Hosts, host: str) -> str:
    """Return what a host that looks at all of the store finds missing, in one line."""
    with hosts.open(host, whole=True) as repo:
        return "; ".join(not_shown(repo))


def collect(hosts: Hosts, host: str, keep: int = 100) -> GcReport:
    with hosts.open(host, alone=True) as repo:
        return gc(repo, Policy(last=keep), grace=AT_ONCE, pack_grace=AT_ONCE)


def objects(hosts: Hosts) -> dict[str, bytes]:
    store = hosts.store()
    folders = (*layout.FOLDERS, layout.LOG, layout.COLLECTIONS)
    return {info.name: store.get(info.name) for one in folders for info in store.list(one)}


def put_back(hosts: Hosts, older: dict[str, bytes]) -> None:
    """Put the store back to an *older* state."""
    store = hosts.store()
    store.delete(*(objects(hosts).keys() - older.keys()))
    for name, data in older.items():
        store.put(name, data)


def manifest(snapshot: SnapshotId) -> str:
    return layout.snapshot_name(snapshot)


def test_what_others_publish_after_the_store_was_listed_is_no_alarm(hosts: Hosts) -> None:
    first = hosts.commit("one", "moving")
    with hosts.open("reader", whole=True) as repo:
        second = hosts.commit("two", "another")
        assert not_shown(repo) == []
        assert {first, second} <= repo.stored_snapshots()


def test_a_manifest_that_was_removed_is_found_by_everybody(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(3)]
    hosts.seen("reader")
    hosts.store().delete(manifest(made[2]))
    for host in ("reader", "new"):
        assert f"snapshot {made[2].hex()[:12]} was seen" in found(hosts, host)
    with hosts.open("newer", whole=True) as repo:
        named = [one for one in verify(repo).findings if one.name == manifest(made[2])]
        assert [one.problem for one in named] == ["The log has it, but it is gone."]
        report = CheckReport(datetime.now(UTC))
        check_repository(repo, report, database=None, max_age=timedelta(days=1), max_drill_age=None)
        texts = [one.reason for one in report.findings if one.verdict is Verdict.FAILED]
        assert any(made[2].hex()[:12] in text for text in texts)
    # What the missing one needs is not deleted by a host that never saw it.
    with pytest.raises(CorruptionError, match=f"{made[2].hex()[:12]} vanished"):
        collect(hosts, "collecting")


def test_a_manifest_that_was_removed_can_be_given_up(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(3)]
    hosts.store().delete(manifest(made[1]))
    with hosts.open("new", alone=True) as repo:
        gone = vanished(repo, made[1].hex()[:12])
        accept(repo, find_losses(repo, [gone]), by="test")
    collect(hosts, "new")
    for host in ("new", "newer"):
        assert found(hosts, host) == ""


def test_an_entry_that_was_removed_with_its_manifest_leaves_a_gap(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(3)]
    hosts.store().delete(manifest(made[1]), entry_name(2))
    assert "is not whole: entry 2 is missing" in found(hosts, "new")
    words = found(hosts, "one")
    assert f"snapshot {made[1].hex()[:12]} was seen" in words
    with hosts.open("newer", whole=True) as repo:
        damage = [one for one in verify(repo).findings if one.kind == "log"]
        assert [one.problem for one in damage] == ["It is not whole: entry 2 is missing."]
    with pytest.raises(CorruptionError, match=r"the log of .* is not whole"):
        collect(hosts, "collecting")


def test_a_repair_begins_a_log_again_that_is_not_whole(hosts: Hosts) -> None:
    for _ in range(3):
        hosts.commit("one")
    hosts.store().delete(entry_name(2))
    assert found(hosts, "new") != ""
    place = RemotePlace(hosts.url, hosts.store())
    report = repair(place, index_folder=hosts.cache("mending"), unlock=unlocker())
    assert [one.kind for one in report.mended] == ["log"]
    collect(hosts, "collecting")
    for host in ("one", "new", "newer"):
        assert found(hosts, host) == ""
        assert len(hosts.seen(host)) == 3
    assert hosts.entry(4).is_whole


def test_the_newest_entry_removed_with_its_manifest_is_found_by_who_saw_it(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(3)]
    hosts.store().delete(manifest(made[2]), entry_name(3))
    words = found(hosts, "one")
    assert f"snapshot {made[2].hex()[:12]} was seen" in words
    assert "it ends with entry 2, and entry 3 was seen here before" in words
    # Nothing in the store shows that there was more.
    assert found(hosts, "new") == ""


def test_a_store_that_was_put_back_is_found_by_who_saw_a_later_head(hosts: Hosts) -> None:
    hosts.commit("one")
    older = objects(hosts)
    made = hosts.commit("one")
    with hosts.open("one", whole=True) as repo:
        head = head_of(repo)
        assert head is not None
        check_expected(repo, head)
    put_back(hosts, older)
    # Also by an opening that only follows the log.
    with hosts.open("one") as repo:
        assert f"snapshot {made.hex()[:12]} was seen" in "; ".join(not_shown(repo))
    assert "it ends with entry 1, and entry 2 was seen here before" in found(hosts, "one")
    assert found(hosts, "new") == ""
    with (
        hosts.open("newer", whole=True) as repo,
        pytest.raises(StoreBehind, match=f"entry {head} is not in the log") as caught,
    ):
        check_expected(repo, head)
    assert "put back to an older state" in caught.value.detail


def test_a_store_that_was_put_back_and_written_to_is_found_by_who_saw_what_was_there(
    hosts: Hosts,
) -> None:
    hosts.commit("one")
    older = objects(hosts)
    hosts.commit("one")
    with hosts.open("one", whole=True) as repo:
        head = head_of(repo)
        assert head is not None
    put_back(hosts, older)
    hosts.commit("another")
    hosts.commit("another")
    assert "entry 2 is not the one that was seen here before" in found(hosts, "one")
    assert found(hosts, "new") == ""
    with (
        hosts.open("newer", whole=True) as repo,
        pytest.raises(StoreBehind) as caught,
    ):
        check_expected(repo, head)
    assert "Another entry has its number" in caught.value.detail


def test_a_store_that_has_all_again_after_it_was_put_back_is_no_alarm(hosts: Hosts) -> None:
    hosts.commit("one")
    older = objects(hosts)
    made = hosts.commit("one")
    newer = objects(hosts)
    with hosts.open("one") as repo:
        data = repo.manifest(made)
    put_back(hosts, older)
    hosts.commit("another")
    assert "seen here before" in found(hosts, "one")
    with hosts.open("one") as repo:
        for name in newer.keys() - older.keys():
            if name.startswith(layout.PACKS):
                hosts.store().put(name, newer[name])
        repo.put_back(made, data)
    for host in ("one", "another", "new"):
        assert found(hosts, host) == ""
    collect(hosts, "one")


def test_the_state_of_a_tag_that_was_removed_is_found(hosts: Hosts) -> None:
    made = hosts.commit("one", "moving")
    with hosts.open("one") as repo:
        (tag,) = repo.tags.all()
        repo.tags.set(replace(tag, snapshot=made, time=tag.time + timedelta(1)), force=True)
        repo.tags.set(replace(tag, snapshot=b"s" * 32), force=True)
    newest = max(hosts.store_names("tags/"))
    data = hosts.store().get(newest)
    hosts.store().delete(newest)
    words = "what it has as tags/shop/moving/00000002 is gone"
    for host in ("one", "new"):
        assert words in found(hosts, host)
    with pytest.raises(CorruptionError, match=r"the log of .* is not whole"):
        collect(hosts, "collecting")
    hosts.store().create(newest, data)
    assert found(hosts, "new") == ""
    # One that a newer state replaces may go.
    hosts.store().delete(min(hosts.store_names("tags/")))
    assert found(hosts, "newer") == ""


def test_a_log_that_was_removed_is_missed_by_who_saw_it(hosts: Hosts) -> None:
    made = {hosts.commit("one"), hosts.commit("one")}
    hosts.store().delete(entry_name(1), entry_name(2))
    assert "it has no entry, and entry 2 was seen here before" in found(hosts, "one")
    # It looks like a repository of a version that wrote none.
    assert found(hosts, "new") == ""
    assert hosts.seen("new") == made


def test_an_older_entry_in_the_place_of_another_does_not_open(hosts: Hosts) -> None:
    for _ in range(3):
        hosts.commit("one")
    store = hosts.store()
    store.put(entry_name(2), store.get(entry_name(1)))
    assert "is not whole" in found(hosts, "new")


def test_what_was_forgotten_and_collected_is_no_alarm(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(4)]
    hosts.seen("reader")
    with hosts.open("one") as repo:
        repo.forget(made[0], by="test", reason="test")
    collect(hosts, "collecting", keep=2)
    for host in ("one", "reader", "collecting", "new"):
        assert found(hosts, host) == ""
        assert hosts.seen(host) == set(made[2:])
    assert made[0] not in hosts.entry(7).snapshots
    collect(hosts, "collecting", keep=2)
    assert len(hosts.entries()) == 7


def test_a_gc_that_died_before_its_entry_is_no_alarm(hosts: Hosts) -> None:
    made = [hosts.commit("one") for _ in range(3)]
    hosts.seen("reader")
    with (
        hosts.open("collecting", alone=True, store=Silent(hosts.store())) as repo,
        pytest.raises(Exception, match="no answer"),
    ):
        gc(repo, Policy(last=1), grace=AT_ONCE, pack_grace=AT_ONCE)
    assert len(hosts.store_names("snapshots/")) == 1
    for host in ("one", "reader", "collecting", "new"):
        assert found(hosts, host) == ""
        assert hosts.seen(host) == {made[2]}


def test_a_gc_makes_a_long_log_short(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pgsnap.repository.log.publications", "pgsnap.maintenance.log"):
        monkeypatch.setattr(f"{module}.KEPT", 2)
    made = {hosts.commit("one") for _ in range(6)}
    hosts.seen("reader")
    with hosts.open("one", whole=True) as repo:
        old, new = "3-" + "0" * 16, head_of(repo)
    assert new is not None
    collect(hosts, "collecting")
    assert hosts.entries() == [entry_name(number) for number in (5, 6, 7)]
    for host in ("reader", "new"):
        assert found(hosts, host) == ""
        assert hosts.seen(host) == made
    with hosts.open("newer", whole=True) as repo:
        check_expected(repo, new)
        with pytest.raises(StoreBehind) as caught:
            check_expected(repo, old)
    assert "The log begins with entry 5" in caught.value.detail
    made.add(hosts.commit("one"))
    assert hosts.seen("reader") == made
    assert not hosts.is_listed()
