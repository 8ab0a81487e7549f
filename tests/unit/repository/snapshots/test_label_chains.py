"""Chains: which snapshots of a label belong together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import AmbiguousChain, CorruptionError, UnknownRevision, UsageError
from pgsnap.maintenance.reindex import reindex
from pgsnap.model import ServerInfo, SnapshotId, SourceKind
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import CHAIN, DIVIDED, Chains
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.workflows.commit.commit import CommitReport
from pgsnap.workflows.history.databases import adopt, list_databases, rename, retire
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy, decide
from support.dumps.scripted import ORIGIN, shop
from support.faults.damaging import flip
from support.repositories.made import make, record

NOW = datetime.now(UTC)
ORDER = [0]


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(make(tmp_path / "repo")) as opened:
        yield opened


def of(repo: Repository, server: str, *, at: datetime | None = None) -> CommitReport:
    """Commit other contents than ever before, as from *server*; "" is a file."""
    ORDER[0] += 1
    origin = ORIGIN
    if server:
        info = ServerInfo(150018, "15.18", system_identifier=server)
        origin = replace(ORIGIN, kind=SourceKind.POSTGRES, server=info, host=f"host-{server}")
    return record(repo, replace(shop(ORDER[0]), origin=origin), at=at)


def recorded_before_chains(repo: Repository, *servers: str) -> list[SnapshotId]:
    """Record snapshots as a version did that knew no chains: each the child of the one before."""
    found: list[SnapshotId] = []
    for number, server in enumerate(servers):
        made = of(repo, "")
        origin = replace(
            ORIGIN,
            kind=SourceKind.POSTGRES,
            server=ServerInfo(150018, "15.18", system_identifier=server),
        )
        old = replace(
            made.snapshot,
            time=NOW - timedelta(days=len(servers) - number),
            parent=found[-1] if found else None,
            origin=origin,
        )
        found.append(repo.publish(old)[0])
        repo.store.delete(f"snapshots/{made.snapshot_id.hex()}")
        repo.index.drop_snapshots([made.snapshot_id])
    return found


def chains(repo: Repository, label: str = "shop") -> dict[str, list[SnapshotId]]:
    known = Chains(repo)
    return {chain.server: known.snapshots(chain) for chain in known.of_label(label)}


def test_what_an_earlier_version_recorded_is_one_chain_until_another_server_commits(
    repo: Repository,
) -> None:
    old = recorded_before_chains(repo, "1", "2", "1", "2")
    assert chains(repo) == {"2": old[::-1]}
    assert resolve(repo, "latest", database=None) == old[-1]
    kept = [one.keep for one in decide(repo, Policy(last=3), NOW)]
    assert kept == [True, True, True, False]
    goes_on = of(repo, "2")
    assert (goes_on.other, goes_on.snapshot.parent) == (None, old[-1])
    assert list(chains(repo)) == ["2"]
    other = of(repo, "1")
    assert other.other is not None
    assert other.other.origin.system_identifier == "2"
    assert other.snapshot.parent == old[2]
    assert chains(repo) == {
        "1": [other.snapshot_id, old[2], old[0]],
        "2": [goes_on.snapshot_id, old[3], old[1]],
    }
    with pytest.raises(AmbiguousChain) as caught:
        resolve(repo, "latest", database=None)
    assert "shop@1 (host-1)" in caught.value.detail


def test_what_has_no_server_belongs_to_the_newest_chain(repo: Repository) -> None:
    dump = of(repo, "", at=NOW - timedelta(days=9))
    first = of(repo, "1")
    assert first.snapshot.parent == dump.snapshot_id
    second = of(repo, "2")
    assert chains(repo) == {
        "2": [second.snapshot_id, dump.snapshot_id],
        "1": [first.snapshot_id],
    }
    third = of(repo, "")
    assert (third.snapshot.parent, third.other) == (second.snapshot_id, None)


def test_a_server_that_does_not_say_which_it_is_is_told_of_where_there_are_several(
    repo: Repository,
) -> None:
    nameless = replace(ORIGIN, kind=SourceKind.POSTGRES, server=ServerInfo(150018, "15.18"))
    of(repo, "1")
    assert not record(repo, replace(shop(500), origin=nameless)).is_of_unknown_server
    newest = of(repo, "2")
    made = record(repo, replace(shop(501), origin=nameless))
    assert made.is_of_unknown_server
    assert made.snapshot.parent == newest.snapshot_id
    assert not of(repo, "").is_of_unknown_server


def test_a_reindex_and_a_new_index_know_the_same_chains(repo: Repository) -> None:
    of(repo, "1")
    of(repo, "2")
    before = chains(repo)
    path = repo.path
    repo.close()
    reindex(path, lock_timeout_seconds=1.0)
    with Repository.open(path) as again:
        assert chains(again) == before


def test_an_index_of_an_earlier_version_learns_which_server_a_snapshot_is_of(
    repo: Repository,
) -> None:
    of(repo, "1")
    of(repo, "2")
    before, path = chains(repo), repo.path
    repo.close()
    connection = sqlite3.connect(path / "index.sqlite")
    connection.executescript(
        "DROP INDEX idx_snapshots_database_server_time_us_id;"
        " DROP INDEX idx_snapshots_alias; ALTER TABLE snapshots DROP COLUMN alias;"
        " ALTER TABLE snapshots DROP COLUMN server; DROP TABLE copied_ids;"
        " DELETE FROM _sqlite_migrations WHERE name IN ('m005_servers', 'm007_copies');"
        " PRAGMA user_version = 4"
    )
    connection.close()
    with Repository.open(path) as again:
        assert chains(again) == before
    assert not (path / "index.sqlite.damaged").exists()


def test_a_note_without_the_commit_that_it_was_for_changes_nothing(repo: Repository) -> None:
    first = of(repo, "1")
    Chains(repo).add(DIVIDED, "shop", server="2")
    assert chains(repo) == {"1": [first.snapshot_id]}
    assert resolve(repo, "latest", database=None) == first.snapshot_id
    assert of(repo, "1").snapshot.parent == first.snapshot_id


def test_gc_drops_nothing_while_a_note_of_chains_is_damaged(repo: Repository) -> None:
    of(repo, "1")
    of(repo, "2")
    [note] = repo.store.list(f"notes/{CHAIN}/")
    flip(repo.path / note.name, 30)
    with pytest.raises(CorruptionError) as caught:
        gc(repo, Policy(last=1), grace=timedelta(), dry_run=True)
    assert "snap repair" in caught.value.hint


def test_only_a_server_beside_one_in_use_falls_out_of_use(repo: Repository) -> None:
    policy = Policy(last=1, tags=("none",))
    old = of(repo, "1", at=NOW - timedelta(days=100)).snapshot_id
    reasons = {one.snapshot_id: one.reasons for one in decide(repo, policy, NOW)}
    assert "newest" in reasons[old]
    new = of(repo, "2").snapshot_id
    reasons = {one.snapshot_id: one.reasons for one in decide(repo, policy, NOW)}
    assert "newest" in reasons[new]
    assert reasons[old] == ("last 1 of 1",)
    longer = replace(policy, retire_after=timedelta(days=200))
    reasons = {one.snapshot_id: one.reasons for one in decide(repo, longer, NOW)}
    assert "newest" in reasons[old]


def test_delta_bases_come_from_the_newest_of_the_label(repo: Repository) -> None:
    of(repo, "1")
    ORDER[0] += 1000
    big = of(repo, "1")
    ORDER[0] -= 1
    other = of(repo, "2")
    assert other.snapshot.parent is None
    assert other.stored_bytes < big.stored_bytes / 10


def test_a_server_is_adopted_through_another_one_and_never_in_a_circle(repo: Repository) -> None:
    first = of(repo, "1")
    of(repo, "2")
    adopt(repo, "shop@1", "2")
    adopt(repo, "shop", "3")
    (chain,) = Chains(repo).of_label("shop")
    assert chain.server == "3"
    assert first.snapshot_id in Chains(repo).snapshots(chain)
    adopt(repo, "shop@3", "1")
    assert list(chains(repo)) == ["1"]
    with pytest.raises(UsageError):
        adopt(repo, "shop", "")


def test_a_retired_server_that_is_adopted_does_not_retire_the_other(repo: Repository) -> None:
    of(repo, "1")
    of(repo, "2")
    retire(repo, "shop@1")
    adopt(repo, "shop@1", "2")
    of(repo, "3")
    found = {one.chain.server: one.retired for one in list_databases(repo, None, datetime.now(UTC))}
    assert found == {"3": None, "2": None}


def test_a_chain_is_named_by_a_few_digits(repo: Repository) -> None:
    of(repo, "7301")
    of(repo, "7302")
    known = Chains(repo)
    assert known.named("shop@7301").server == "7301"
    with pytest.raises(AmbiguousChain):
        known.named("shop@73")
    for wrong in ("shop@8", "shop@", "shop", "other@7301"):
        with pytest.raises(UnknownRevision):
            known.named(wrong)


def test_what_was_retired_or_renamed_is_listed_so(repo: Repository) -> None:
    of(repo, "1")
    of(repo, "2")
    assert retire(repo, "shop@1") == ("shop", "1")
    found = {one.chain.server: one.retired for one in list_databases(repo, None, datetime.now(UTC))}
    assert found["1"] is not None
    assert found["2"] is None
    rename(repo, "shop", "store")
    assert {one.renamed_to for one in list_databases(repo, "shop", datetime.now(UTC))} == {"store"}
    # Until it is committed under that name again.
    of(repo, "2")
    assert {one.renamed_to for one in list_databases(repo, "shop", datetime.now(UTC))} == {None}
