"""One table comes back: beside the live one or in its place, in one transaction, with its parts."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import psycopg
import pytest

from pgsnap import interrupts
from pgsnap.cluster.cluster import ClusterError
from pgsnap.dump.definitions.table_parts import quoted, tables_of
from pgsnap.dump.definitions.table_tree import partitions_below
from pgsnap.errors import Interrupted, RestoreFailed, TargetRefused, UnknownRevision
from pgsnap.interrupts import Stopped
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.process import LocalChild
from pgsnap.targets.load.feeder import Feeder
from pgsnap.workflows.contents.table_names import parse_tables, read_definitions
from pgsnap.workflows.restore_tables.chosen import TableOptions
from pgsnap.workflows.restore_tables.plan import plan_tables
from pgsnap.workflows.restore_tables.restore import TablesReport, restore_tables
from support.faults.disk import KillAt
from support.repositories.made import in_child
from support.restoring.clients import commit_database, commit_file, server_of
from support.restoring.steps import backends_gone, watched_restore
from support.servers.databases import Database

SHOP = r"""
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE TABLE shop.customers (id int PRIMARY KEY, name text);
INSERT INTO shop.customers SELECT g, 'c' || g FROM generate_series(1, 20) g;
CREATE FUNCTION shop.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE SEQUENCE shop.common;
CREATE TABLE shop."Order" (
    id serial PRIMARY KEY,
    number int GENERATED ALWAYS AS IDENTITY,
    other int DEFAULT nextval('shop.common'),
    parent int REFERENCES shop."Order" (id),
    customer int NOT NULL REFERENCES shop.customers (id),
    state shop.state DEFAULT 'new',
    "select" text DEFAULT 'shop."Order"' CHECK ("select" <> 'shop.seen'),
    UNIQUE (number)
);
CREATE INDEX order_state ON shop."Order" (state) WHERE state = 'new';
CREATE STATISTICS shop.order_stat ON id, customer FROM shop."Order";
CREATE TRIGGER seen BEFORE UPDATE ON shop."Order" FOR EACH ROW EXECUTE FUNCTION shop.seen();
CREATE POLICY own ON shop."Order" USING (customer > 0);
COMMENT ON TABLE shop."Order" IS 'shop."Order" is here';
COMMENT ON COLUMN shop."Order".id IS 'the number';
COMMENT ON INDEX shop.order_state IS 'of shop.order_state';
COMMENT ON TRIGGER seen ON shop."Order" IS 'sees';
GRANT SELECT ON shop."Order" TO PUBLIC;
GRANT USAGE ON SEQUENCE shop."Order_id_seq" TO PUBLIC;
INSERT INTO shop."Order" (customer) SELECT g % 20 + 1 FROM generate_series(1, 1000) g;
CREATE TABLE shop.items (id int, "order" int REFERENCES shop."Order" (id) ON DELETE CASCADE);
INSERT INTO shop.items VALUES (1, 1), (2, 1000);
CREATE VIEW shop.open WITH (security_barrier = true) AS
    SELECT id, customer FROM shop."Order" WHERE state = 'new';
CREATE TABLE shop.parts (id int) PARTITION BY RANGE (id);
CREATE TABLE shop.parts_1 PARTITION OF shop.parts FOR VALUES FROM (0) TO (10);
"""


@pytest.fixture
def shop(repo: Repository, database: Database) -> SnapshotId:
    database.psql(SHOP)
    return commit_database(repo, server_of(database))


def again(
    repo: Repository,
    snapshot: SnapshotId,
    database: Database,
    *names: str,
    replace: bool = False,
    check_keys: bool = False,
    beside: str = "was",
) -> TablesReport:
    options = TableOptions(parse_tables(list(names)), beside, replace, check_keys)
    server = server_of(database)
    plan = plan_tables(repo, snapshot, server, options, datetime.now(UTC))
    return restore_tables(repo, plan, server)


def definition(database: Database, table: str) -> str:
    """Everything that pg_dump says about a table and what belongs to it."""
    return database.dump("--schema-only", f"--table={table}").decode()


def test_a_table_comes_back_beside_the_live_one_with_all_its_parts(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    before = database.dump()
    report = again(repo, shop, database, 'shop."Order"')
    assert report.rows == 1000
    assert [(t.target, t.kept) for t in report.tables] == [(("shop", "Order__was"), None)]
    # But for the new table nothing changed; and nothing of the new one hangs on the live one.
    database.psql("UPDATE shop.\"Order\" SET state = 'paid' WHERE id < 10")
    assert database.psql("SELECT count(*) FROM shop.\"Order__was\" WHERE state = 'new'") == "1000"
    new, live = definition(database, 'shop."Order__was"'), definition(database, 'shop."Order"')
    for words in (
        "CREATE INDEX order_state__was",
        "PRIMARY KEY (id)",
        "UNIQUE (number)",
        'SEQUENCE NAME shop."Order_number_seq__was"',
        "nextval('shop.\"Order_id_seq__was\"'::regclass)",
        "nextval('shop.common'::regclass)",
        "CREATE TRIGGER seen",
        "CREATE POLICY own",
        "COMMENT ON INDEX shop.order_state__was IS 'of shop.order_state'",
        'COMMENT ON TRIGGER seen ON shop."Order__was"',
        'COMMENT ON COLUMN shop."Order__was".id',
        'GRANT SELECT ON TABLE shop."Order__was" TO PUBLIC',
        'GRANT USAGE ON SEQUENCE shop."Order_id_seq__was" TO PUBLIC',
    ):
        assert words in new
        assert words.replace("__was", "") in live
    assert "DEFAULT 'shop.\"Order\"'::text" in new
    assert "IS 'shop.\"Order\" is here'" in new
    assert "FOREIGN KEY" not in new
    assert database.psql("SELECT stxnamespace::regnamespace FROM pg_statistic_ext") == "shop\nshop"
    database.psql('INSERT INTO shop."Order__was" (customer) VALUES (77)')
    assert database.psql('SELECT max(id) FROM shop."Order__was"') == "1001"
    assert database.psql('SELECT last_value FROM shop."Order_id_seq"') == "1000"
    database.psql('DROP TABLE shop."Order__was"')
    database.psql("UPDATE shop.\"Order\" SET state = 'new'")
    assert len(database.dump()) == len(before)
    assert "snap_" not in database.psql("SELECT nspname FROM pg_namespace")


def test_a_replaced_table_is_kept_and_views_and_keys_look_at_the_new_one(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    before = database.dump()
    database.psql('DELETE FROM shop."Order" WHERE id BETWEEN 100 AND 900')
    database.psql('ALTER TABLE shop."Order" ADD COLUMN extra int')
    report = again(repo, shop, database, 'shop."Order"', replace=True, check_keys=True)
    kept = report.tables[0].kept
    assert kept is not None
    assert kept[1].startswith("Order__replaced_")
    assert database.psql("SELECT count(*) FROM shop.open") == "1000"
    assert database.psql(f'SELECT count(*) FROM shop."{kept[1]}"') == "199"
    with pytest.raises(ClusterError) as refused:
        database.psql("INSERT INTO shop.items VALUES (3, 5000)")
    assert "violates foreign key" in refused.value.detail
    # A customer that only the kept table names can go.
    database.psql(f'UPDATE shop."{kept[1]}" SET customer = 20; DROP TABLE shop."{kept[1]}"')
    assert database.dump() == before


def test_what_forbids_a_replacement_is_told_before_anything_is_touched(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    before = database.dump()
    with pytest.raises(TargetRefused, match="foreign keys refer") as refused:
        again(repo, shop, database, 'shop."Order"', replace=True)
    assert "--cascade-check" in refused.value.hint
    with pytest.raises(TargetRefused, match=r"parts_1 is a partition") as refused:
        again(repo, shop, database, "shop.parts_1", replace=True)
    assert f"snap restore {shop.hex()[:12]} --to NEW --table shop.parts_1" in refused.value.hint
    with pytest.raises(UnknownRevision, match="no table shop"):
        again(repo, shop, database, "shop.Orders")
    assert database.dump() == before
    database.psql('CREATE MATERIALIZED VIEW shop.m AS SELECT count(*) FROM shop."Order"')
    with pytest.raises(TargetRefused, match="materialized view"):
        again(repo, shop, database, 'shop."Order"', replace=True, check_keys=True)


def test_a_key_that_does_not_hold_any_more_takes_everything_back(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    database.psql('INSERT INTO shop."Order" (customer) VALUES (1)')
    database.psql('INSERT INTO shop.items SELECT 3, max(id) FROM shop."Order"')
    before = database.dump()
    with pytest.raises(RestoreFailed, match="violates foreign key"):
        again(repo, shop, database, 'shop."Order"', replace=True, check_keys=True)
    assert database.dump() == before


def test_a_table_that_was_told_to_be_there_is_durable_and_has_statistics(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    fed: list[bytes] = []

    def write(child: LocalChild, data: bytes | memoryview) -> None:
        fed.append(bytes(data))
        whole(child, data)

    whole = LocalChild.write
    with mock.patch.object(LocalChild, "write", write):
        again(repo, shop, database, "shop.items", replace=True)
    *_, last = [block for block in fed if b"COMMIT" in block]
    assert last == b"SET LOCAL synchronous_commit = on;\nCOMMIT;\n"
    assert database.psql("SELECT count(*) FROM pg_stats WHERE tablename = 'items'") == "2"


def test_services_are_away_for_the_swap_only_and_a_signal_behind_it_says_that_it_is_done(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    loaded: list[str] = []

    @contextmanager
    def aside() -> Iterator[None]:
        # All rows are there by now, in a transaction that is not done.
        loaded.append(
            database.psql(
                "SELECT sum(tuples_processed) FROM pg_stat_progress_copy UNION ALL"
                " SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                " AND application_name LIKE 'snap restore%'"
            )
        )
        yield
        raise KeyboardInterrupt

    database.psql("DELETE FROM shop.items")
    options = TableOptions((("shop", "items"),), "was", replace=True)
    server = server_of(database)
    plan = plan_tables(repo, shop, server, options, datetime.now(UTC))
    with pytest.raises(Interrupted, match="restored already"):
        restore_tables(repo, plan, server, aside=aside)
    assert loaded == ["\n1"]
    assert database.psql("SELECT count(*) FROM shop.items") == "2"


def test_ctrl_c_while_the_live_table_is_in_use_leaves_no_backend_that_waits_for_it(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    main = threading.main_thread().ident
    assert main is not None
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'snap restore%' AND wait_event_type = 'Lock'"
    )

    def interrupt() -> None:
        while database.psql(waiting) != "1":
            time.sleep(0.02)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with psycopg.connect(database.dsn) as reader:
        reader.execute("SELECT count(*) FROM shop.items")
        thread.start()
        with interrupts.handled(), pytest.raises(Stopped):
            again(repo, shop, database, "shop.items", replace=True)
        # Else everybody else would wait behind it, as long as it waits itself.
        assert database.psql(waiting) == "0"
    thread.join()


def test_ctrl_c_behind_the_commit_says_that_the_tables_are_restored(
    repo: Repository, database: Database, shop: SnapshotId, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Feeder.run

    def run_and_be_interrupted(feeder: Feeder, blocks: Iterator[bytes]) -> None:
        real(feeder, blocks)
        raise KeyboardInterrupt

    monkeypatch.setattr(Feeder, "run", run_and_be_interrupted)
    database.psql("DELETE FROM shop.items")
    with pytest.raises(Interrupted, match="restored already"):
        again(repo, shop, database, "shop.items", replace=True)
    assert database.psql("SELECT count(*) FROM shop.items") == "2"


def test_two_tables_that_refer_to_each_other_are_replaced_together(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    before = database.dump()
    database.psql('TRUNCATE shop."Order" CASCADE')
    report = again(
        repo, shop, database, 'shop."Order"', "shop.items", replace=True, check_keys=True
    )
    assert report.rows == 1002
    for table in report.tables:
        assert table.kept is not None
        database.psql(f'DROP TABLE shop."{table.kept[1]}"')
    assert sorted(database.dump().splitlines()) == sorted(before.splitlines())


def test_a_table_restore_killed_at_any_step_leaves_the_database_as_it_was(
    repo: Repository, database: Database, shop: SnapshotId
) -> None:
    database.psql("UPDATE shop.customers SET name = 'changed'")
    before = database.dump()

    def restored_until(watcher: KillAt) -> int:
        def task() -> None:
            with watched_restore(repo.path, watcher), Repository.open(repo.path) as opened:
                again(opened, shop, database, "shop.items", replace=True)

        return in_child(task)

    moment, killed = 1, 0
    while restored_until(KillAt(moment)) != 0:
        backends_gone(database)
        found = database.dump()
        assert found == before or b"items__replaced_" in found, moment
        assert b"snap_" not in found
        killed += 1
        moment += 12
        if b"items__replaced_" in found:
            break
    assert killed >= 2


def test_who_owns_database_and_tables_needs_no_more_rights(
    repo: Repository, database: Database
) -> None:
    role = f"app_{database.name}"
    database.cluster.psql(
        f'CREATE ROLE {role} LOGIN; ALTER DATABASE "{database.name}" OWNER TO {role}'
    )
    database.psql(f"GRANT CREATE ON SCHEMA public TO {role}")
    database.psql("CREATE TABLE t (a serial PRIMARY KEY); INSERT INTO t VALUES (1)", user=role)
    server = server_of(database, user=role)
    snapshot = commit_database(repo, server)
    database.psql("DELETE FROM t")
    options = TableOptions(parse_tables(["t"]), "was", replace=True)
    plan = plan_tables(repo, snapshot, server, options, datetime.now(UTC))
    assert restore_tables(repo, plan, server).rows == 1
    assert database.psql("SELECT count(*) FROM t") == "1"
    assert definition(database, "t").count(f"OWNER TO {role}") == 2


def test_a_tables_policy_with_marks_that_the_server_cannot_read_back_comes_back(
    repo: Repository, database: Database
) -> None:
    walk = "WITH RECURSIVE r (a) AS (SELECT 1 UNION ALL SELECT a % 3 + 1 FROM r)"
    database.psql(
        "CREATE TABLE t (a int); CREATE POLICY p ON t USING (EXISTS ("
        f"{walk} CYCLE a SET c TO 'y' DEFAULT 'n' USING w SELECT FROM r WHERE c = 'y'))"
    )
    snapshot = commit_database(repo, server_of(database))
    before = definition(database, "t")
    assert again(repo, snapshot, database, "t", replace=True).rows == 0
    assert definition(database, "t") == before


@pytest.mark.parametrize("option", ["--use-set-session-authorization", "--no-owner"])
def test_tables_of_other_ways_to_dump_have_the_owner_that_the_dump_says(
    repo: Repository, database: Database, tmp_path: Path, option: str
) -> None:
    role = f"owner_{database.name}"
    database.psql(
        f"CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role};"
        ' CREATE TABLE "a\nb" (n serial PRIMARY KEY); INSERT INTO "a\nb" VALUES (1);'
        f' ALTER TABLE "a\nb" OWNER TO {role}'
    )
    snapshot = commit_file(repo, tmp_path / "dump.sql", database.dump(option).decode())
    assert again(repo, snapshot, database, '"a\nb"', replace=True).rows == 1
    owners = database.psql(
        "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname IN"
        " (E'a\\nb', E'a\\nb_pkey', E'a\\nb_n_seq')"
    )
    assert owners == (role if option != "--no-owner" else "postgres")


def test_all_tables_of_the_sample_that_can_be_replaced_come_back_as_they_were(
    repo: Repository, sample_database: Database
) -> None:
    database = sample_database
    server = server_of(database)
    snapshot = commit_database(repo, server)
    # Tied to what cannot be made again, told of publications, or with checks whose text changes
    # when PostgreSQL reads it once.
    left = {"order_items", "orders", "events", "log", "marked", "web_log", "far_away"}
    left |= {"people", "teams", "checks", "users"}
    definitions = read_definitions(repo, repo.snapshot(snapshot))
    whole = partitions_below(definitions, tables_of(definitions))
    names = [name for name, parent in whole.items() if parent is None and name[1] not in left]
    assert len(names) > 25
    before = Counter(database.dump().splitlines())
    options = TableOptions(tuple(names), "was", replace=True, check_keys=True)
    plan = plan_tables(repo, snapshot, server, options, datetime.now(UTC))
    report = restore_tables(repo, plan, server)
    kept = [quoted(t.kept) for t in report.tables if t.kept is not None and t.parent is None]
    database.psql("".join(f"DROP TABLE {name};" for name in kept))
    now = Counter(database.dump().splitlines())
    assert (now - before, before - now) == (Counter(), Counter())
