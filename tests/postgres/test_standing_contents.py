"""Contents that still stand in a kept database or a template: a restore clones it, else it loads
the snapshot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.commit.safety_snapshot import safety_commit
from pgsnap.workflows.restore.plan import plan_restore
from pgsnap.workflows.restore.ready import cloning
from pgsnap.workflows.restore.report import RestoreReport
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore.target import RestoreOptions
from pgsnap.workflows.undo.undo import kept_databases, plan_undo, undo
from support.restoring.clients import LABEL, databases_like, restore_now, server_of
from support.servers.databases import Database, new_database, summarizing_cluster

TABLES = """
CREATE TABLE orders (id serial PRIMARY KEY, note text);
INSERT INTO orders (note) SELECT 'n' || g FROM generate_series(1, 5000) g;
CREATE TABLE log (a int);
SELECT lo_from_bytea(4711, 'large');
COMMENT ON DATABASE {name} IS 'the shop';
ALTER DATABASE {name} SET work_mem = '5MB';
"""
MIGRATE = "UPDATE orders SET note = 'migrated' WHERE id % 7 = 0; ALTER TABLE log ADD b int"
OPTIONS = RestoreOptions(baseline=True, keep_replaced=2)


@pytest.fixture(scope="module")
def loop_cluster(binaries: Binaries) -> Iterator[Cluster]:
    with summarizing_cluster(binaries) as made:
        yield made


@pytest.fixture
def shop(loop_cluster: Cluster) -> Iterator[Database]:
    with new_database(loop_cluster, TABLES) as database:
        yield database


def direct(repo: Repository, server: Server) -> SnapshotId:
    return commit(
        repo, PostgresSource(server, jobs=2), database=LABEL, message="direct"
    ).snapshot_id


def back(
    repo: Repository, snapshot: SnapshotId, server: Server, options: RestoreOptions = OPTIONS
) -> tuple[RestoreReport, SnapshotId]:
    """Restore with a safety snapshot that reads only what changed; return that too."""
    record = safety_commit(
        repo,
        server,
        label=LABEL,
        database=server.endpoint.database,
        verb="restore",
        lock_wait_timeout_seconds=5.0,
        jobs=2,
    )
    report = restore(repo, plan_restore(repo, snapshot, server, options), server, safety=record)
    assert report.safety is not None
    return report, report.safety


def test_a_look_at_an_older_state_and_back_loads_the_older_one_only(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    before = direct(repo, server)
    old = shop.dump()
    shop.psql(MIGRATE)
    new = shop.dump()
    there, safety = back(repo, before, server)
    assert there.cloned_from is None
    assert shop.dump() == old
    shop.psql("SELECT nextval('orders_id_seq')")
    plan = plan_restore(repo, safety, server, OPTIONS)
    assert [each.name for each in plan.ready.standing] == [there.kept]
    assert plan_restore(repo, safety, server, replace(OPTIONS, load=True)).ready.standing == ()
    again, _ = back(repo, safety, server)
    assert (again.cloned_from, again.plain_bytes) == (there.kept, 0)
    assert shop.dump() == new
    # What undo puts back is as it always is; the source is kept as it was.
    kept = [each.name for each in kept_databases(repo, server, LABEL)]
    assert kept == [again.kept, there.kept]
    assert Database(shop.cluster, there.kept or "").dump() == new
    assert (
        shop.psql(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE"
            " datname = current_database()"
        )
        == "the shop"
    )
    assert shop.psql("SHOW work_mem") == "5MB"
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert shop.psql("SELECT count(*) FROM orders WHERE note = 'migrated'") == "0"
    # Now the restored state stands in the database that this undo replaced, by the restore's note.
    assert restore_now(repo, safety, server, OPTIONS).cloned_from is not None
    assert shop.dump() == new
    # And what a commit after that reads is complete.
    shop.psql("DELETE FROM orders WHERE id = 1")
    last = shop.dump()
    snapshot = direct(repo, server)
    shop.psql("DROP TABLE orders")
    restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))
    assert shop.dump() == last


def test_a_kept_database_that_cannot_be_proven_is_not_cloned(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    before = direct(repo, server)
    shop.psql(MIGRATE)
    new = shop.dump()
    many = RestoreOptions(baseline=True, keep_replaced=9)
    there, safety = back(repo, before, server, many)
    kept = Database(shop.cluster, there.kept or "")

    def source() -> str | None:
        report = restore_now(repo, safety, server, many)
        assert shop.dump() == new
        return report.cloned_from

    with server.connect(kept.name, "somebody"):
        assert source() != kept.name
    shop.cluster.psql(f"ALTER DATABASE {kept.name} ALLOW_CONNECTIONS false")
    assert source() != kept.name
    shop.cluster.psql(f"ALTER DATABASE {kept.name} ALLOW_CONNECTIONS true")
    assert source() is not None
    # A name alone counts for nothing.
    shop.cluster.drop_database(kept.name)
    shop.cluster.create_database(kept.name)
    assert source() != kept.name


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET note = 'other' WHERE id = 4000",
        "COMMENT ON TABLE orders IS 'other'",
        "SELECT lo_put(4711, 0, 'other')",
    ],
)
def test_a_kept_database_that_was_changed_is_not_cloned(
    repo: Repository, shop: Database, change: str
) -> None:
    server = server_of(shop)
    before = direct(repo, server)
    shop.psql(MIGRATE)
    new = shop.dump()
    there, safety = back(repo, before, server)
    kept = Database(shop.cluster, there.kept or "")
    kept.psql(change)
    changed = kept.dump()
    again = restore_now(repo, safety, server, OPTIONS)
    assert again.cloned_from is None
    assert shop.dump() == new
    assert kept.dump() == changed


def test_a_database_that_was_replaced_by_what_it_should_be_is_not_cloned_for_it(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    old = shop.dump()
    first, second = direct(repo, server), direct(repo, server)
    shop.psql("CHECKPOINT")
    folder = shop.psql("SHOW data_directory")
    file = Path(folder, shop.psql("SELECT pg_relation_filepath('orders')"))
    # No position in the WAL says that the page has changed.
    file.write_bytes(file.read_bytes().replace(b"n4000", b"n4OO0"))
    restore_now(repo, first, server, OPTIONS)
    shop.psql("DELETE FROM orders")
    assert plan_restore(repo, second, server, OPTIONS).ready.standing == ()
    assert restore_now(repo, second, server, OPTIONS).cloned_from is None
    assert shop.dump() == old


def test_what_is_written_while_the_clone_is_made_is_noticed(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    before = direct(repo, server)
    shop.psql(MIGRATE)
    new = shop.dump()
    there, safety = back(repo, before, server)
    kept = Database(shop.cluster, there.kept or "")
    clone, made = cloning.clone_closed, []

    def written_before(*words: object, **more: object) -> int:
        kept.psql("INSERT INTO log VALUES (1)")
        made.append(kept.name)
        return clone(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(cloning, "clone_closed", written_before)
    assert restore_now(repo, safety, server, OPTIONS).cloned_from is None
    assert made == [kept.name]
    assert shop.dump() == new
    # The clone went.
    left = databases_like(shop, f"{shop.name}\\_\\_snap\\_%")
    assert all("__snap_kept_" in name for name in left)


def test_a_restore_that_is_interrupted_after_its_clone_leaves_no_scratch_database(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    before = direct(repo, server)
    shop.psql(MIGRATE)
    # Whoever reads what was written first changes its pages.
    shop.dump()
    _, safety = back(repo, before, server)
    old, stopped = shop.dump(), []

    def stop(*_: object) -> None:
        stopped.append(databases_like(shop, f"{shop.name}\\_\\_snap\\_%"))
        raise KeyboardInterrupt

    monkeypatch.setattr(cloning, "set_sequences", stop)
    with pytest.raises(KeyboardInterrupt):
        restore_now(repo, safety, server, OPTIONS)
    kept = [each.name for each in kept_databases(repo, server, LABEL)]
    assert len(stopped[0]) == len(kept) + 1
    assert databases_like(shop, f"{shop.name}\\_\\_snap\\_%") == kept
    assert shop.dump() == old


def test_a_template_is_cloned_and_the_live_database_never(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    first = direct(repo, server)
    second = direct(repo, server)
    old = shop.dump()
    copy = RestoreOptions(to=f"{shop.name}_copy")
    shop.cluster.psql(f"ALTER DATABASE {shop.name} IS_TEMPLATE true")
    assert plan_restore(repo, second, server, copy).ready.standing == ()
    golden = f"{shop.name}_golden"
    shop.cluster.psql(f"ALTER DATABASE {shop.name} RENAME TO {golden}")
    for snapshot, source in ((second, golden), (first, None)):
        options = RestoreOptions(to=f"{shop.name}_{snapshot.hex()[:6]}")
        plan = plan_restore(repo, snapshot, server, options)
        report = restore(repo, plan, server)
        # The first commit's own reading set hint bits: what it says of blocks proves nothing.
        assert source is None or report.cloned_from == source
        assert Database(shop.cluster, options.to or "").dump() == old


def test_a_copy_of_another_that_has_the_number_of_the_database_is_not_taken_for_it(
    repo: Repository, shop: Database
) -> None:
    if shop.cluster.major < 15:
        pytest.skip("CREATE DATABASE ... OID is of PostgreSQL 15")
    server, cluster = server_of(shop), shop.cluster
    direct(repo, server)
    shop.psql("VACUUM FREEZE")
    golden = f"{shop.name}_golden"
    cluster.psql(f"CREATE DATABASE {golden} TEMPLATE {shop.name} STRATEGY file_copy")
    shop.psql("DELETE FROM orders WHERE id = 5000")
    # The last one's own reading marked nothing any more.
    snapshot = [direct(repo, server) for _ in range(3)][-1]
    old = shop.dump()
    # Files have the time of the second in which they were made.
    while datetime.now(UTC) < repo.snapshot(snapshot).time + timedelta(seconds=2):
        time.sleep(0.1)
    oid = shop.psql("SELECT oid FROM pg_database WHERE datname = current_database()")
    cluster.drop_database(shop.name)
    cluster.psql(f"CREATE DATABASE {shop.name} TEMPLATE {golden} STRATEGY file_copy OID {oid}")
    report = commit(repo, PostgresSource(server, jobs=2), database=LABEL, message="copy")
    assert (report.missed, report.unchanged) == ((), False)
    cluster.psql(f"ALTER DATABASE {shop.name} RENAME TO {shop.name}_other")
    cluster.psql(f"ALTER DATABASE {shop.name}_other IS_TEMPLATE true")
    assert restore_now(repo, snapshot, server).cloned_from is None
    assert shop.dump() == old


def test_a_clone_that_was_not_marked_is_dropped_by_the_next_restore(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = direct(repo, server)
    left = f"{shop.name}__snap_0123456789"
    shop.cluster.psql(f"CREATE DATABASE {left} TEMPLATE {shop.name} CONNECTION LIMIT 0")
    restore_now(repo, snapshot, server)
    assert databases_like(shop, left) == []
