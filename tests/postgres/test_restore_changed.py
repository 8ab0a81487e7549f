"""Restore of what differs, in place, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from pgsnap.errors import RestoreFailed, StoreFull, TargetRefused
from pgsnap.model import ReadMode, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore_changed import restore as restoring
from pgsnap.workflows.restore_changed.plan import ChangedOptions, ChangedPlan, plan_changed
from pgsnap.workflows.restore_changed.restore import ChangedReport, restore_changed
from pgsnap.workflows.undo.last import last_done
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

_SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text UNIQUE);
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int
  REFERENCES customers ON DELETE CASCADE, amount numeric, twice numeric GENERATED ALWAYS AS
  (amount * 2) STORED);
CREATE TABLE plain (a int, b text);
CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) AS total FROM orders;
CREATE MATERIALIZED VIEW above AS SELECT total + 1 AS more FROM totals;
INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 1000) i;
INSERT INTO orders (customer, amount) SELECT 1 + i % 1000, i FROM generate_series(1, 5000) i;
INSERT INTO plain SELECT i, 'x' FROM generate_series(1, 100) i;
REFRESH MATERIALIZED VIEW totals; REFRESH MATERIALIZED VIEW above;
"""
_ALL = (
    "SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM ("
    "SELECT c::text FROM customers c UNION ALL SELECT o::text FROM orders o UNION ALL"
    " SELECT p::text FROM plain p UNION ALL SELECT t::text FROM totals t UNION ALL"
    " SELECT a::text FROM above a UNION ALL"
    " SELECT last_value::text || is_called FROM orders_id_seq) x(r)"
)


@pytest.fixture
def shop(database: Database) -> Database:
    database.psql(_SHOP)
    return database


def record(repo: Repository, server: Server) -> SnapshotId:
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="test").snapshot_id


def plan_now(repo: Repository, snapshot: SnapshotId, server: Server) -> ChangedPlan:
    return plan_changed(
        repo, snapshot, server, ChangedOptions(), lambda database, label: record(repo, server)
    )


def put_back(
    repo: Repository,
    snapshot: SnapshotId,
    server: Server,
    safety: Callable[[], SnapshotId] | None = None,
) -> ChangedReport:
    plan = plan_now(repo, snapshot, server)
    recorded = safety or partial(record, repo, server)
    return restore_changed(repo, plan, server, safety=recorded, proof=partial(record, repo, server))


def test_what_differs_is_put_back_and_nothing_else_is_rewritten(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    before = shop.psql(_ALL)
    shop.psql(
        "UPDATE orders SET amount = 0 WHERE id % 100 = 0; DELETE FROM customers WHERE id = 7;"
        " UPDATE customers SET name = 'new' WHERE id = 8; INSERT INTO plain VALUES (1, 'more');"
        " INSERT INTO orders (customer, amount) VALUES (1, 1); REFRESH MATERIALIZED VIEW totals;"
    )
    changed = shop.psql(_ALL)
    files = shop.psql("SELECT pg_relation_filenode('orders'), pg_relation_filenode('customers')")
    report = put_back(repo, snapshot, server)
    assert shop.psql(_ALL) == before
    assert (
        shop.psql("SELECT pg_relation_filenode('orders'), pg_relation_filenode('customers')")
        == files
    )
    found = {table.table[1]: table for table in report.tables}
    assert not found["orders"].rewritten
    assert found["customers"].rows_deleted == 1
    assert found["customers"].rows_loaded == 2
    assert found["plain"].rewritten
    assert report.sequences == 1
    assert report.safety is not None
    assert put_back(repo, report.safety, server).safety is not None
    # The view that was not refreshed is so now.
    shop.psql("REFRESH MATERIALIZED VIEW above")
    assert changed != before
    assert shop.psql("SELECT count(*) FROM plain") == "101"


def test_a_failure_before_commit_leaves_the_database_as_it_was(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    shop.psql("UPDATE orders SET amount = 0 WHERE id = 3; SELECT nextval('orders_id_seq')")
    changed = shop.psql(_ALL)

    def fails(*_: object, **__: object) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(restoring, "note_put_back", fails)
    with pytest.raises(StoreFull):
        put_back(repo, snapshot, server)
    assert shop.psql(_ALL) == changed
    assert repo.notes("put_back") == []


def test_an_uncommitted_note_is_no_undo(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    shop.psql("DELETE FROM plain")
    real = restoring.note_put_back

    def then_killed(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "note_put_back", then_killed)
        with pytest.raises(KeyboardInterrupt):
            put_back(repo, snapshot, server)
    assert shop.psql("SELECT count(*) FROM plain") == "0"
    assert len(repo.notes("put_back")) == 1
    assert last_done(repo, server, LABEL).done is None
    done = put_back(repo, snapshot, server)
    found = last_done(repo, server, LABEL).done
    assert found is not None
    assert found.safety == done.safety


def test_what_is_committed_while_the_lock_waits_is_in_the_safety_snapshot(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    plan = plan_now(repo, snapshot, server)
    with psycopg.connect(shop.dsn) as writer:
        writer.execute("INSERT INTO plain VALUES (-1, 'late')")
        timer = threading.Timer(1.0, writer.commit)
        timer.start()
        report = restore_changed(repo, plan, server, safety=partial(record, repo, server))
        timer.join()
    assert shop.psql("SELECT count(*) FROM plain WHERE a = -1") == "0"
    assert report.safety is not None
    put_back(repo, report.safety, server)
    assert shop.psql("SELECT count(*) FROM plain WHERE a = -1") == "1"


def test_no_trigger_fires_and_each_keeps_its_mode(repo: Repository, shop: Database) -> None:
    shop.psql(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.log VALUES (tg_name); RETURN NULL; END $$;"
        " CREATE TABLE log (who text);"
        + "".join(
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW"
            f" EXECUTE FUNCTION audit(); ALTER TABLE orders {mode} TRIGGER {name};"
            for name, mode in (
                ("own", "ENABLE"),
                ("always", "ENABLE ALWAYS"),
                ("replica", "ENABLE REPLICA"),
                ("off", "DISABLE"),
            )
        )
    )
    server = server_of(shop)
    snapshot = record(repo, server)
    modes = shop.psql("SELECT tgname, tgenabled FROM pg_trigger ORDER BY 1")
    shop.psql("SET session_replication_role = replica; UPDATE orders SET amount = 1 WHERE id = 9")
    shop.psql("DELETE FROM log")
    put_back(repo, snapshot, server)
    assert shop.psql("SELECT count(*) FROM log") == "0"
    assert shop.psql("SELECT tgname, tgenabled FROM pg_trigger ORDER BY 1") == modes


def test_equal_rows_that_are_not_the_same_are_put_back(repo: Repository, shop: Database) -> None:
    shop.psql(
        "CREATE TABLE odd (id int PRIMARY KEY, n numeric, d interval, j jsonb, k json, p point,"
        " f float8, b bytea, a int[], t text);"
        "INSERT INTO odd SELECT i, 1.0, '1 day', '{\"a\": 1.0}', '{\"a\":1}', '(1,2)', 0,"
        " '\\x00', '{1,NULL}', E'tab\\tline\\n\\\\' FROM generate_series(1, 200) i"
    )
    server, said = server_of(shop), "SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM odd o"
    snapshot, before = record(repo, server), shop.psql(said)
    for changes in (
        "n = 1.00, d = '24:00', j = '{\"a\": 1.00}', k = '{\"a\": 1}', f = '-0'",
        # Stored otherwise than their texts would be: a computed NaN, an array without its NULL.
        "f = 'Infinity'::float8 - 'Infinity', a[2] = 2",
    ):
        shop.psql(f"UPDATE odd SET {changes} WHERE id IN (4, 5)")
        (table,) = put_back(repo, snapshot, server).tables
        assert (table.rewritten, table.rows_deleted, table.rows_loaded) == (False, 2, 2)
        assert shop.psql(said) == before


def test_unique_values_that_moved_and_a_table_of_which_half_is_gone(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    before = shop.psql(_ALL)
    shop.psql(
        "UPDATE customers SET name = 'x' WHERE id = 1;"
        " UPDATE customers SET name = 'c1' WHERE id = 2;"
        " UPDATE customers SET name = 'c2' WHERE id = 1; DELETE FROM orders WHERE id % 2 = 0"
    )
    found = {t.table[1]: t for t in put_back(repo, snapshot, server).tables}
    assert (found["customers"].rows_deleted, found["orders"].rewritten) == (2, True)
    assert shop.psql(_ALL) == before


def test_a_referenced_table_is_rewritten_without_its_referents_going(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    before = shop.psql(_ALL)
    shop.psql("UPDATE customers SET name = 'all' || id")
    (table,) = put_back(repo, snapshot, server).tables
    assert table.rewritten
    assert shop.psql(_ALL) == before


def test_keys_that_do_not_hold_are_found(repo: Repository, shop: Database) -> None:
    """The snapshot itself has an orphan, as replica mode may leave one."""
    server = server_of(shop)
    shop.psql("SET session_replication_role = replica; DELETE FROM customers WHERE id = 5")
    snapshot = record(repo, server)
    shop.psql("UPDATE orders SET amount = 0 WHERE id = 3")
    changed = shop.psql(_ALL)
    with pytest.raises(RestoreFailed, match=r"orders_customer_fkey.*does not hold"):
        put_back(repo, snapshot, server)
    assert shop.psql(_ALL) == changed


def test_definitions_and_large_objects_that_differ_are_refused(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    shop.psql("SELECT lo_from_bytea(0, 'x')")
    with pytest.raises(TargetRefused) as caught:
        put_back(repo, snapshot, server)
    # Some versions of pg_dump write them among the definitions, too.
    assert "large objects differ" in caught.value.message + caught.value.detail.lower()
    shop.psql("CREATE INDEX ON plain (a); SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    with pytest.raises(TargetRefused, match="definitions"):
        put_back(repo, snapshot, server)


def test_definitions_that_change_after_the_plan_are_refused(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    shop.psql("DELETE FROM plain")
    plan = plan_now(repo, snapshot, server)
    shop.psql("ALTER TABLE plain ADD c int")
    with pytest.raises(TargetRefused, match="definitions"):
        restore_changed(repo, plan, server, safety=partial(record, repo, server))
    assert shop.psql("SELECT count(*) FROM plain") == "0"


def test_partitions_foreign_keys_between_them_and_odd_names(
    repo: Repository, database: Database
) -> None:
    database.psql(
        'CREATE SCHEMA "o d""d"; CREATE TABLE "o d""d"."p a" ("k ey" int, "v\'al" text,'
        ' PRIMARY KEY ("k ey")) PARTITION BY RANGE ("k ey");'
        ' CREATE TABLE "o d""d"."p 1" PARTITION OF "o d""d"."p a" FOR VALUES FROM (0) TO (1000);'
        ' CREATE TABLE "o d""d"."p 2" PARTITION OF "o d""d"."p a" FOR VALUES FROM (1000) TO (9999);'
        ' CREATE TABLE child (id serial PRIMARY KEY, r int REFERENCES "o d""d"."p a");'
        ' INSERT INTO "o d""d"."p a" SELECT i, i FROM generate_series(1, 2000) i;'
        " INSERT INTO child (r) SELECT i FROM generate_series(1, 2000) i"
    )
    everything = (
        "SELECT md5(string_agg(x, ',' ORDER BY x)) FROM (SELECT tableoid || t::text FROM"
        ' "o d""d"."p a" t UNION ALL SELECT c::text FROM child c) y(x)'
    )
    server = server_of(database)
    snapshot = record(repo, server)
    before = database.psql(everything)
    database.psql(
        'DELETE FROM child WHERE r IN (5, 1500); DELETE FROM "o d""d"."p a" WHERE "k ey" = 5;'
        ' UPDATE "o d""d"."p a" SET "v\'al" = \'all\' WHERE "k ey" >= 1000;'
        ' UPDATE "o d""d"."p a" SET "k ey" = 5 WHERE "k ey" = 1500'
    )
    found = {table.table[1]: table.rewritten for table in put_back(repo, snapshot, server).tables}
    assert found == {"p 1": False, "p 2": True, "child": False}
    assert database.psql(everything) == before


def test_rules_and_row_security_change_nothing(repo: Repository, shop: Database) -> None:
    shop.psql(
        "ALTER TABLE plain ADD PRIMARY KEY (a);"
        "CREATE RULE keep AS ON DELETE TO plain DO INSTEAD NOTHING;"
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY"
    )
    server = server_of(shop)
    snapshot = record(repo, server)
    before = shop.psql(_ALL)
    shop.psql("UPDATE plain SET b = 'y' WHERE a = 3; DELETE FROM orders WHERE id = 3")
    put_back(repo, snapshot, server)
    assert shop.psql(_ALL) == before


def test_a_default_of_repeatable_read_does_not_hide_what_was_committed_before_the_lock(
    repo: Repository, shop: Database
) -> None:
    shop.psql(
        f"ALTER DATABASE \"{shop.name}\" SET default_transaction_isolation = 'repeatable read';"
        f' ALTER DATABASE "{shop.name}" SET idle_in_transaction_session_timeout = 1'
    )
    server = server_of(shop)
    snapshot = record(repo, server)
    before = shop.psql(_ALL)
    plan = plan_now(repo, snapshot, server)
    no_timeout = "-c idle_in_transaction_session_timeout=0"
    with psycopg.connect(shop.dsn, options=no_timeout) as writer:
        writer.execute("UPDATE orders SET amount = 0 WHERE id = 77")
        timer = threading.Timer(1.0, writer.commit)
        timer.start()
        report = restore_changed(repo, plan, server, safety=partial(record, repo, server))
        timer.join()
    assert [table.rows_deleted for table in report.tables] == [1]
    assert shop.psql(_ALL) == before


def test_the_safety_snapshot_reads_only_what_changed(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = record(repo, server)
    shop.psql("UPDATE orders SET amount = 0 WHERE id = 77")
    report = put_back(repo, snapshot, server)
    assert report.safety is not None
    reading = repo.snapshot(report.safety).reading
    assert reading is not None
    assert reading.mode is ReadMode.CHANGED


def test_an_owner_without_foreign_keys_needs_no_superuser(
    repo: Repository, database: Database
) -> None:
    role = f"owner_{database.name}"
    database.psql(f"CREATE ROLE {role} LOGIN")
    try:
        database.psql(f'ALTER DATABASE "{database.name}" OWNER TO {role}')
        database.psql(f"GRANT ALL ON SCHEMA public TO {role}")
        database.psql(
            f"SET ROLE {role}; CREATE TABLE a (id serial PRIMARY KEY, b text); INSERT INTO a (b)"
            " SELECT 'x' FROM generate_series(1, 500);"
            "CREATE TABLE seen (what text); CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql"
            " AS $$BEGIN INSERT INTO public.seen VALUES (TG_OP); RETURN NULL; END$$;"
            "CREATE TRIGGER rows_seen AFTER INSERT OR DELETE ON a FOR EACH ROW EXECUTE FUNCTION"
            " seen(); CREATE CONSTRAINT TRIGGER later AFTER INSERT ON a DEFERRABLE INITIALLY"
            " DEFERRED FOR EACH ROW EXECUTE FUNCTION seen(); CREATE TRIGGER never AFTER DELETE ON a"
            " EXECUTE FUNCTION seen(); ALTER TABLE a DISABLE TRIGGER never;"
            "CREATE TRIGGER always AFTER DELETE ON a EXECUTE FUNCTION seen();"
            " ALTER TABLE a ENABLE ALWAYS TRIGGER always"
        )
        state = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM seen), string_agg(tgname ||"
        state += " tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal"
        server = server_of(database, user=role)
        snapshot = record(repo, server)
        database.psql("DELETE FROM a WHERE id = 9; INSERT INTO a (b) VALUES ('new')")
        put_back(repo, snapshot, server)
        assert database.psql("SELECT count(*), max(id) FROM a") == "500|500"
        # No trigger fired, and each is as it was; where the table is emptied and filled, too.
        assert database.psql(state) == "500|0|alwaysA laterO neverD rows_seenO"
        database.psql(f"SET ROLE {role}; DELETE FROM a; DELETE FROM seen")
        put_back(repo, snapshot, server)
        assert database.psql(state) == "500|0|alwaysA laterO neverD rows_seenO"
        database.psql(f"SET ROLE {role}; CREATE TABLE c (r int REFERENCES a)")
        snapshot = record(repo, server)
        database.psql("INSERT INTO c VALUES (1)")
        with pytest.raises(TargetRefused, match="may not turn them off"):
            put_back(repo, snapshot, server)
        assert database.psql("SELECT count(*) FROM c") == "1"
    finally:
        database.psql(f"DROP OWNED BY {role} CASCADE")
        database.psql(f'ALTER DATABASE "{database.name}" OWNER TO CURRENT_USER')
        database.psql(f"DROP ROLE {role}")
