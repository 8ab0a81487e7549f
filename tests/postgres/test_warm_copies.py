"""Warm copies: a restore takes one that is as it was, else loads the snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import TargetRefused
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.targets.naming import application_name
from pgsnap.targets.swap.warm import find_warm
from pgsnap.workflows.notes.baselines import BASELINE
from pgsnap.workflows.restore.plan import plan_restore
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore.target import RestoreOptions
from pgsnap.workflows.warming.keep import WarmReport, keep_warm
from support.restoring.clients import commit_database, restore_now, server_of
from support.servers.databases import Database, new_database, summarizing_cluster

TABLES = """
CREATE TABLE orders (id serial PRIMARY KEY, note text);
INSERT INTO orders (note) SELECT 'n' || g FROM generate_series(1, 5000) g;
CREATE MATERIALIZED VIEW notes AS SELECT count(*) FROM orders;
COMMENT ON TABLE orders IS 'all of them';
"""
NAMES = "SELECT datname FROM pg_database WHERE datname LIKE '%\\_\\_snap\\_warm\\_%' ORDER BY 1"


@pytest.fixture(scope="module")
def warm_cluster(binaries: Binaries) -> Iterator[Cluster]:
    with summarizing_cluster(binaries) as made:
        yield made


@pytest.fixture
def shop(warm_cluster: Cluster) -> Iterator[Database]:
    with new_database(warm_cluster, TABLES) as database:
        yield database


def warm(repo: Repository, snapshot: SnapshotId, server: Server, count: int = 1) -> WarmReport:
    return keep_warm(repo, snapshot, server, count, RestoreOptions())


def names(shop: Database) -> list[str]:
    return shop.cluster.psql(NAMES).splitlines()


def in_copy(shop: Database, report: WarmReport) -> Database:
    (name,) = report.copies
    return Database(shop.cluster, name)


def test_a_restore_takes_the_warm_copy_and_loads_nothing(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    before = shop.dump()
    copy = warm(repo, snapshot, server).made[0]
    oid = shop.cluster.psql(f"SELECT oid FROM pg_database WHERE datname = '{copy}'")
    shop.psql("DROP TABLE orders CASCADE")
    report = restore_now(repo, snapshot, server)
    assert report.warm_copy == copy
    assert (report.rows, report.plain_bytes) == (5000, 0)
    assert shop.dump() == before
    assert shop.cluster.psql(f"SELECT oid FROM pg_database WHERE datname = '{shop.name}'") == oid
    assert names(shop) == []
    comment, everybody = shop.psql(
        "SELECT shobj_description(oid, 'pg_database'),"
        " has_database_privilege('public', oid, 'CONNECT') FROM pg_database"
        " WHERE datname = current_database()"
    ).split("|")
    assert (comment, everybody) == ("", "t")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET note = 'other' WHERE id = 4000",
        "DELETE FROM orders WHERE id = 1",
        "CREATE TABLE more (a int)",
        "COMMENT ON TABLE orders IS 'some of them'",
        "ALTER TABLE orders ADD COLUMN more int",
        "TRUNCATE orders",
        "SELECT lo_from_bytea(0, 'x')",
    ],
)
def test_a_copy_that_was_changed_is_not_taken(
    repo: Repository, shop: Database, change: str
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    before = shop.dump()
    in_copy(shop, warm(repo, snapshot, server)).psql(change)
    report = restore_now(repo, snapshot, server)
    assert report.warm_copy is None
    assert shop.dump() == before


def test_a_sequence_that_moved_in_a_copy_is_set_back(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    before = shop.dump()
    in_copy(shop, warm(repo, snapshot, server)).psql("SELECT nextval('orders_id_seq')")
    assert restore_now(repo, snapshot, server).warm_copy is not None
    assert shop.dump() == before


def test_reading_and_vacuum_do_not_spoil_a_copy(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    copy = in_copy(shop, warm(repo, snapshot, server))
    copy.psql("SELECT count(*) FROM orders")
    copy.psql("ANALYZE")
    copy.psql("VACUUM")
    assert restore_now(repo, snapshot, server).warm_copy == copy.name


def test_a_copy_that_somebody_is_connected_to_is_not_taken(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    copy = in_copy(shop, warm(repo, snapshot, server))
    with server_of(copy).connect(copy.name, "somebody"):
        assert restore_now(repo, snapshot, server).warm_copy is None


def test_a_copy_of_another_snapshot_is_not_taken(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    first = commit_database(repo, server)
    warm(repo, first, server)
    shop.psql("INSERT INTO orders (note) VALUES ('new')")
    second = commit_database(repo, server)
    assert restore_now(repo, second, server).warm_copy is None
    assert shop.psql("SELECT count(*) FROM orders") == "5001"


def test_a_database_that_only_looks_like_a_copy_is_not_taken(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    copy = in_copy(shop, warm(repo, snapshot, server))
    comment = shop.cluster.psql(
        f"SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        f" WHERE datname = '{copy.name}'"
    )
    shop.cluster.drop_database(copy.name)
    shop.cluster.create_database(copy.name)
    shop.cluster.psql(f"COMMENT ON DATABASE {copy.name} IS '{comment}'")
    assert restore_now(repo, snapshot, server).warm_copy is None
    assert shop.psql("SELECT count(*) FROM orders") == "5000"


def test_more_copies_are_clones_and_others_are_dropped(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    first = commit_database(repo, server)
    before = shop.dump()
    made = warm(repo, first, server, 2)
    assert len(made.made) == 2
    assert warm(repo, first, server, 2).made == ()
    assert list(made.copies) == sorted(names(shop), key=made.copies.index)
    # Both can be used, one after the other.
    for _ in range(2):
        options = RestoreOptions(discard_old=True)
        assert restore_now(repo, first, server, options).warm_copy in made.copies
        assert shop.dump() == before
    warm(repo, first, server, 2)
    shop.psql("INSERT INTO orders (note) VALUES ('new')")
    second = commit_database(repo, server)
    report = warm(repo, second, server)
    assert len(report.dropped) == 2
    assert names(shop) == list(report.made)
    assert warm(repo, second, server, 0).dropped == report.made
    assert names(shop) == []


def test_a_copy_is_no_kept_database_and_no_leftover(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    (copy,) = warm(repo, snapshot, server).made
    other = Database(shop.cluster, f"{shop.name}_other")
    # With options that a copy does not have, all is loaded, and leftovers are dropped first.
    report = restore_now(repo, snapshot, server, RestoreOptions(to=other.name, no_acl=True))
    assert report.warm_copy is None
    assert names(shop) == [copy]
    assert plan_restore(repo, snapshot, server, RestoreOptions()).refusals == ()


def test_a_new_database_is_made_of_a_copy_too(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    (copy,) = warm(repo, snapshot, server).made
    other = Database(shop.cluster, f"{shop.name}_other")
    assert restore_now(repo, snapshot, server, RestoreOptions(to=other.name)).warm_copy == copy
    assert other.dump() == shop.dump()


def test_who_wants_a_load_gets_one(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    (copy,) = warm(repo, snapshot, server).made
    other = Database(shop.cluster, f"{shop.name}_other")
    report = restore_now(repo, snapshot, server, RestoreOptions(to=other.name, load=True))
    assert (report.warm_copy, report.rows) == (None, 5000)
    assert report.plain_bytes > 0
    assert other.dump() == shop.dump()
    assert names(shop) == [copy]


def test_copies_are_dropped_when_there_is_too_little_room(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    warm(repo, snapshot, server)
    (copy,) = find_warm(server.connect("postgres"), shop.name)
    assert copy.size_bytes is not None
    shop.psql("INSERT INTO orders (note) VALUES ('new')")
    second = commit_database(repo, server)
    need = plan_restore(repo, second, server, RestoreOptions()).needed_bytes
    monkeypatch.setattr(type(server.runner), "free_bytes", lambda self, path: need)
    plan = plan_restore(repo, second, server, RestoreOptions())
    assert plan.dropped_first == (copy,)
    assert plan.refusals == ()
    assert restore(repo, plan, server).warm_copy is None
    assert names(shop) == []


def test_a_copy_that_could_never_be_proven_is_not_kept(repo: Repository, shop: Database) -> None:
    shop.psql("CREATE TABLE places (a regclass); INSERT INTO places VALUES ('orders')")
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    with pytest.raises(TargetRefused) as caught:
        warm(repo, snapshot, server)
    assert "public.places" in caught.value.detail
    assert names(shop) == []
    assert repo.notes(BASELINE) == []


def test_a_clone_whose_maker_was_killed_before_it_was_marked_is_dropped(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    (copy,) = warm(repo, snapshot, server).made
    unfinished, foreign, other = (
        f"{shop.name}__snap_warm_{number}" for number in ("0123456789", "0123456789a", "abcdef0123")
    )
    for name in (unfinished, foreign):
        shop.cluster.psql(f"CREATE DATABASE {name} TEMPLATE {copy} CONNECTION LIMIT 0")
    shop.cluster.psql(f"CREATE DATABASE {other} TEMPLATE {copy}")
    with server.connect("postgres", application_name("0123456789")):
        restore_now(repo, snapshot, server)
        assert unfinished in names(shop)
    restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))
    assert names(shop) == [foreign, other]


def test_a_clone_that_cannot_be_marked_is_dropped(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    (copy,) = warm(repo, snapshot, server).made
    monkeypatch.setattr("pgsnap.targets.swap.warm.mark_statement", lambda *_: "COMMENT nothing")
    made = warm(repo, snapshot, server, 2).made
    assert sorted(names(shop)) == sorted([copy, *made])


def test_every_copy_has_the_subscriptions(repo: Repository, shop: Database) -> None:
    shop.psql(
        f"CREATE SUBSCRIPTION {shop.name} CONNECTION 'dbname=nothing' PUBLICATION p"
        " WITH (connect = false, slot_name = none)"
    )
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    made = warm(repo, snapshot, server, 2).made
    try:
        owners = shop.cluster.psql(
            "SELECT datname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
        )
        assert set(owners.splitlines()) == {shop.name, *made}
        plan = plan_restore(repo, snapshot, server, RestoreOptions())
        assert [copy.name for copy in plan.ready.warm] == list(made)
        # The mark in the comment is not enough: without its note a copy is of no use.
        repo.store.delete(*(info.name for info in repo.store.list(f"notes/{BASELINE}/")))
        assert plan_restore(repo, snapshot, server, RestoreOptions()).ready.warm == ()
    finally:
        warm(repo, snapshot, server, 0)
        shop.psql(f"DROP SUBSCRIPTION {shop.name}")


def test_notes_of_databases_that_are_gone_are_dropped(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    options = RestoreOptions(baseline=True, discard_old=True)
    for _ in range(4):
        warm(repo, snapshot, server)
        assert restore_now(repo, snapshot, server, options).warm_copy is not None
    there = shop.cluster.psql(f"SELECT oid FROM pg_database WHERE datname LIKE '{shop.name}%'")
    oids = [str(note.body["database_oid"]) for note in repo.notes(BASELINE)]
    # The third one is of the database that was dropped last, after the note.
    assert len(set(oids)) == len(oids) == 3
    assert set(there.splitlines()) <= set(oids)


def test_two_processes_do_not_make_copies_at_once(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    warm(repo, snapshot, server)
    (copy,) = find_warm(server.connect("postgres"), shop.name)
    with server.connect("postgres", application_name(copy.token)):
        with pytest.raises(TargetRefused):
            warm(repo, snapshot, server, 2)
        assert restore_now(repo, snapshot, server).warm_copy is None
