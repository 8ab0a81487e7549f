"""Foreign tables below others: a restore and a drill ask nothing of the servers behind them."""

from __future__ import annotations

from pathlib import Path

from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import commit_database, restore_now, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database, new_name

# Nothing can be asked of a wrapper that has no handler: whoever reads these tables fails.
TABLES = """
CREATE FOREIGN DATA WRAPPER mute; CREATE SERVER far FOREIGN DATA WRAPPER mute;
CREATE TABLE sale (y int, region int) PARTITION BY LIST (y);
CREATE TABLE sale_old PARTITION OF sale FOR VALUES IN (1) PARTITION BY LIST (region);
CREATE FOREIGN TABLE "sale far" PARTITION OF sale_old FOR VALUES IN (1) SERVER far;
CREATE TABLE sale_near PARTITION OF sale_old FOR VALUES IN (2);
CREATE TABLE sale_new PARTITION OF sale FOR VALUES IN (2);
INSERT INTO sale SELECT 1 + i % 2, 2 FROM generate_series(1, 100) i;
CREATE TABLE "par ent" (n int); INSERT INTO "par ent" VALUES (1);
CREATE FOREIGN TABLE heir () INHERITS ("par ent") SERVER far;
CREATE TABLE alone (n int); INSERT INTO alone SELECT generate_series(1, 100);
CREATE MATERIALIZED VIEW seen AS SELECT n FROM alone;
"""
ANALYZED = "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"


def test_what_is_above_a_foreign_table_comes_back_without_its_server(
    repo: Repository, database: Database
) -> None:
    database.psql(TABLES)
    before, server = database.dump(), server_of(database)
    snapshot = commit_database(repo, server)
    report = restore_now(repo, snapshot, server)
    assert report.warnings == (
        'without statistics, for which other servers would be asked: public."par ent",'
        " public.sale, public.sale_old",
    )
    assert database.dump() == before
    tables = database.psql(ANALYZED).split()
    assert tables == ["alone", "sale_near", "sale_new", "seen"]
    catalog = "SELECT count(*) FROM pg_stats WHERE tablename = 'pg_class'"
    assert database.psql(catalog).strip() != "0"


def test_a_drill_asks_no_other_server(repo: Repository, database: Database, tmp_path: Path) -> None:
    database.psql(TABLES)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    assert failures(drill_now(repo, snapshot, server, tmp_path)) == {}


def test_where_no_foreign_table_is_below_another_all_is_analysed(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE FOREIGN DATA WRAPPER mute; CREATE SERVER far FOREIGN DATA WRAPPER mute;"
        "CREATE FOREIGN TABLE lone (n int) SERVER far; CREATE TABLE t (n int);"
        "INSERT INTO t VALUES (1), (2)"
    )
    server, copy = server_of(database), Database(database.cluster, new_name("copy"))
    snapshot = commit_database(repo, server)
    try:
        assert restore_now(repo, snapshot, server, RestoreOptions(to=copy.name)).warnings == ()
        assert copy.psql(ANALYZED).split() == ["t"]
    finally:
        database.cluster.drop_database(copy.name)
