"""Single rows go back into a live table: what happens beside, and what the server would not say."""

from __future__ import annotations

from functools import partial

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore_rows.model import RowsBackOptions, RowsBackPlan
from pgsnap.workflows.restore_rows.plan import planned_rows
from pgsnap.workflows.restore_rows.write import put_rows_back
from pgsnap.workflows.undo.last import last_done
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

T = ("public", "t")


def record(repo: Repository, server: Server) -> SnapshotId:
    return commit(repo, PostgresSource(server), database=LABEL, message="test").snapshot_id


def plan_of(
    repo: Repository, snapshot: SnapshotId, server: Server, condition: str, *, delete: bool = False
) -> RowsBackPlan:
    options = RowsBackOptions(T, condition, delete=delete)
    with planned_rows(repo, snapshot, server, options) as prepared:
        return prepared.plan


def reasons(plan: RowsBackPlan) -> str:
    return "; ".join(problem.message for problem in plan.refusals)


@pytest.mark.parametrize("client", ["psycopg", "psql"])
def test_rows_of_every_kind_go_back_as_they_were_by_either_client(
    repo: Repository, database: Database, client: ClientKind
) -> None:
    database.psql(
        "CREATE DOMAIN small AS int CHECK (value < 1000);"
        ' CREATE TABLE t ("Id;" numeric PRIMARY KEY, "select" text, j json, b bytea, f float8,'
        " d small, a text[], x timestamptz, dropped int);"
        " ALTER TABLE t DROP COLUMN dropped;"
        " INSERT INTO t SELECT g, E'\\\\.\\n:x' || g, '{\"a\": 1}', decode('00ff0a', 'hex'), 'NaN',"
        " g, ARRAY['', NULL, E'\\t'], '2026-01-02 03:04:05.678+05' FROM generate_series(1, 50) g"
    )
    ours = server_of(database)
    server = Server(ours.endpoint, ours.runner, client=client)
    snapshot = record(repo, server)
    before = database.psql("SELECT md5(string_agg(t::text, ',' ORDER BY \"Id;\")) FROM t")
    # Equal to the server's eye, and not the same: 1.0 is no 1, nor is one spelling of JSON another.
    database.psql(
        'UPDATE t SET "Id;" = 1.0 WHERE "Id;" = 1; UPDATE t SET j = \'{"a":1}\' WHERE "Id;" = 2;'
        ' UPDATE t SET b = NULL, f = 0 WHERE "Id;" = 3; DELETE FROM t WHERE "Id;" = 4'
    )
    options = RowsBackOptions(T, '"Id;" < 9')
    with planned_rows(repo, snapshot, server, options) as prepared:
        plan = prepared.plan
        assert (plan.added, plan.changed, plan.same) == (1, 3, 4)
        recorded = partial(record, repo, server)
        safety = put_rows_back(repo, prepared, server, safety=recorded).safety
    assert database.psql("SELECT md5(string_agg(t::text, ',' ORDER BY \"Id;\")) FROM t") == before
    done = last_done(repo, server, LABEL).done
    assert done is not None
    assert (done.safety, sorted(done.keys)) == (safety, [("1",), ("2",), ("3",), ("4",)])
    # Neither table nor transaction is left.
    assert database.psql("SELECT count(*) FROM pg_class WHERE relname LIKE 'snap%'") == "0"


def test_rows_of_very_many_columns_are_shown_and_go_back(
    repo: Repository, database: Database
) -> None:
    columns = ", ".join(f"c{n} int DEFAULT 1" for n in range(900))
    database.psql(f"CREATE TABLE t (id int PRIMARY KEY, {columns}); INSERT INTO t VALUES (1), (2)")
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("UPDATE t SET c5 = 7, c850 = 8 WHERE id = 1; DELETE FROM t WHERE id = 2")
    with planned_rows(repo, snapshot, server, RowsBackOptions(T, "true")) as prepared:
        one, two = prepared.plan.rows
        assert [(v.column, v.before, v.after) for v in one.values if v.differs] == [
            ("c5", "7", "1"),
            ("c850", "8", "1"),
        ]
        assert (one.change, two.change, len(one.values), len(two.values)) == (
            *("changed", "added", 901, 901),
        )
        put_rows_back(repo, prepared, server)
    assert database.psql("SELECT sum(c5 + c850) FROM t") == "4"


def test_values_of_a_composite_type_that_was_altered_do_not_go_back(
    repo: Repository, database: Database
) -> None:
    database.psql(
        'CREATE SCHEMA x; CREATE TYPE x."A b" AS (v varchar(5), n numeric(5,2), "Q q" int[]);'
        ' CREATE TYPE pair AS (one int, two int, more x."A b"[]);'
        " CREATE DOMAIN pairs AS pair[];"
        " CREATE TABLE t (id int PRIMARY KEY, p pairs);"
        " INSERT INTO t VALUES (1, ARRAY[ROW(1, 2, NULL)::pair])"
    )
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("UPDATE t SET p = NULL")
    plan = plan_of(repo, snapshot, server, "true")
    assert (plan.changed, reasons(plan)) == (1, "")
    database.psql(
        "ALTER TYPE pair RENAME ATTRIBUTE one TO c; ALTER TYPE pair RENAME ATTRIBUTE two TO one;"
        " ALTER TYPE pair RENAME ATTRIBUTE c TO two"
    )
    refused = reasons(plan_of(repo, snapshot, server, "true"))
    assert "the type public.pair does not have the attributes" in refused


def test_what_was_written_since_it_was_shown_is_noticed_and_nothing_is_locked_meanwhile(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("UPDATE t SET v = 0 WHERE id = 1; DELETE FROM t WHERE id = 2;"
                  " INSERT INTO t VALUES (3, 3)")  # fmt: skip
    for since in (
        "UPDATE t SET v = 5 WHERE id = 1",
        "INSERT INTO t VALUES (2, 9)",
        "DELETE FROM t WHERE id = 3",
    ):
        with planned_rows(repo, snapshot, server, RowsBackOptions(T, "true", delete=True)) as shown:
            database.psql(f"SET lock_timeout = '10s'; {since}")
            with pytest.raises(RestoreFailed, match="written to since they were shown") as failed:
                put_rows_back(repo, shown, server)
        assert "again" in failed.value.hint
        assert last_done(repo, server, LABEL).done is None
        database.psql("DELETE FROM t; INSERT INTO t VALUES (1, 0), (3, 3)")
    # What is written elsewhere in the table does no harm.
    with planned_rows(repo, snapshot, server, RowsBackOptions(T, "true", delete=True)) as shown:
        database.psql("INSERT INTO t VALUES (4, 4)")
        put_rows_back(repo, shown, server)
    assert database.psql("SELECT id, v FROM t ORDER BY 1") == "1|1\n2|2\n4|4"


def test_rows_that_refer_are_looked_for_again_under_the_lock(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, up int REFERENCES t ON DELETE CASCADE);"
        " CREATE TABLE c (t int REFERENCES t ON DELETE CASCADE, u int REFERENCES t (u)"
        " ON UPDATE CASCADE); INSERT INTO t VALUES (1, 1)"
    )
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("INSERT INTO t VALUES (2, 2, NULL), (3, 3, 2); UPDATE t SET u = 10 WHERE id = 1")
    options = RowsBackOptions(T, "true", delete=True)
    with planned_rows(repo, snapshot, server, options) as shown:
        assert shown.plan.locked == ("public.t", "public.c")
        database.psql("INSERT INTO c VALUES (2, NULL)")
        with pytest.raises(TargetRefused, match=r"1 row of public\.c would lose"):
            put_rows_back(repo, shown, server)
        # Nothing is locked any more.
        database.psql("SET lock_timeout = '20s'; DELETE FROM c")
    with planned_rows(repo, snapshot, server, options) as shown:
        database.psql("CREATE TABLE e (t int REFERENCES t ON DELETE CASCADE)")
        with pytest.raises(RestoreFailed, match="or what refers to it, was altered"):
            put_rows_back(repo, shown, server)
    database.psql("DROP TABLE e; INSERT INTO c VALUES (NULL, 10)")
    plan = plan_of(repo, snapshot, server, "true", delete=True)
    assert "by c_u_fkey" in reasons(plan)
    # A row below one that goes and that stays itself would go, too.
    plan = plan_of(repo, snapshot, server, "id = 2", delete=True)
    assert "by t_up_fkey" in reasons(plan)
    database.psql("DELETE FROM c")
    with planned_rows(repo, snapshot, server, options) as shown:
        put_rows_back(repo, shown, server)
    assert database.psql("SELECT * FROM t") == "1|1|"


def test_partitions_policies_and_rights_are_looked_at(repo: Repository, database: Database) -> None:
    database.psql(
        "CREATE TABLE t (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);"
        " CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);"
        " CREATE TABLE t2 (v text, k int NOT NULL, id int NOT NULL);"
        " ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (100) TO (200);"
        " INSERT INTO t VALUES (1, 1, 'a'), (2, 150, 'b')"
    )
    server = server_of(database)
    snapshot = record(repo, server)
    database.psql("UPDATE t SET v = 'x'; DELETE FROM t WHERE id = 2")
    with planned_rows(repo, snapshot, server, RowsBackOptions(T, "true")) as shown:
        put_rows_back(repo, shown, server)
    assert database.psql("SELECT tableoid::regclass, * FROM t ORDER BY id") == (
        "t1|1|1|a\nt2|2|150|b"
    )
    database.psql(
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t DETACH PARTITION t2; DROP TABLE t2;"
        " DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, k int, v text)"
    )
    role = f"{database.name}_reader"
    database.psql(
        f"CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}; INSERT INTO t VALUES (1, 5, 'q')"
    )
    try:
        theirs = server_of(database, user=role)
        assert "permission denied" in reasons(plan_of(repo, snapshot, theirs, "id = 1"))
        database.psql("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        assert "row security hides" in reasons(plan_of(repo, snapshot, theirs, "id = 1"))
    finally:
        database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    database.psql(
        "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, k int, v text)"
        " PARTITION BY RANGE (id); CREATE TABLE t4 PARTITION OF t DEFAULT;"
        " CREATE PUBLICATION all_of_it FOR TABLE t"
    )
    plan = plan_of(repo, snapshot, server, "id = 1")
    assert (plan.added, plan.refusals) == (1, ())
    assert "subscribers of all_of_it get the changes" in plan.warnings
