"""What names a live table by its number: each is moved to the restored one, refused, or told."""

from __future__ import annotations

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.workflows.restore_tables.plan import TablesPlan
from pgsnap.workflows.restore_tables.restore import restore_tables
from support.restoring.clients import (
    commit_database,
    plan_of_tables,
    server_of,
    tables_now,
)
from support.servers.databases import Database

TABLE = "CREATE TABLE b (id serial PRIMARY KEY, v int); INSERT INTO b VALUES (1, 2);"
TRIGGER = (
    "CREATE FUNCTION ct() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TABLE a (id int);"
)
# What it is, how it is made, the words by which the refusal names it.
STUCK = {
    "constraint trigger": (
        f"{TRIGGER} CREATE CONSTRAINT TRIGGER ends AFTER DELETE ON a FROM b NOT DEFERRABLE"
        " FOR EACH ROW EXECUTE FUNCTION ct()",
        "trigger ends on public.a",
    ),
    "policy": (
        "CREATE TABLE a (id int); CREATE POLICY p ON a USING (EXISTS (SELECT FROM b))",
        "policy p on table public.a",
    ),
    "materialized view": ("CREATE MATERIALIZED VIEW m AS SELECT id FROM b", "view public.m"),
    "view of whole rows": ("CREATE VIEW v AS SELECT b FROM b", "view public.v"),
    "function with a body": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM b; END",
        "function public.f()",
    ),
    "function of rows": (
        "CREATE FUNCTION f(b) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function public.f(public.b)",
    ),
    "argument's default": (
        "CREATE FUNCTION f(x regclass DEFAULT 'b'::regclass) RETURNS int LANGUAGE sql AS"
        " 'SELECT 1'",
        "function public.f(regclass)",
    ),
    "default": (
        "CREATE TABLE a (id int DEFAULT nextval('b_id_seq'))",
        "default value for column id of table public.a",
    ),
    "column of rows": ("CREATE TABLE a (x b)", "table public.a"),
    "column of arrays of rows": ("CREATE TABLE a (x b[])", "table public.a"),
    "domain": ("CREATE DOMAIN d AS b CHECK ((VALUE).id > 0)", "type public.d"),
    "heir": ("CREATE TABLE heir () INHERITS (b)", "table public.heir"),
    "extension's table": (
        "CREATE EXTENSION citext; CREATE TABLE known (t regclass);"
        " ALTER EXTENSION citext ADD TABLE known; INSERT INTO known VALUES ('b')",
        "the extension citext, which keeps its number in public.known (t)",
    ),
    "extension's table of numbers": (
        'CREATE EXTENSION citext; CREATE TABLE known (n int, "The Oids" oid[]);'
        " ALTER EXTENSION citext ADD TABLE known;"
        " INSERT INTO known VALUES (1, ARRAY[1, 'b_pkey'::regclass::oid])",
        "the extension citext, which keeps its number in public.known (The Oids)",
    ),
}


def plan_of_b(repo: Repository, database: Database, *also: str) -> TablesPlan:
    snapshot = commit_database(repo, server_of(database))
    return plan_of_tables(repo, snapshot, server_of(database), "b", *also, replace=True)


def refusal(plan: TablesPlan) -> TargetRefused:
    with pytest.raises(TargetRefused) as refused:
        plan.check()
    return refused.value


@pytest.mark.parametrize("tie", STUCK)
def test_what_would_go_on_using_the_replaced_table_is_named_and_forbids_it(
    repo: Repository, database: Database, tie: str
) -> None:
    sql, words = STUCK[tie]
    database.psql(TABLE + sql)
    error = refusal(plan_of_b(repo, database))
    assert "would go on using the replaced table" in error.message
    assert words in error.message


@pytest.mark.parametrize("tie", [tie for tie in STUCK if "extension" not in tie])
def test_what_was_made_since_the_plan_stops_it(
    repo: Repository, database: Database, tie: str
) -> None:
    sql, words = STUCK[tie]
    database.psql(TABLE)
    plan = plan_of_b(repo, database)
    plan.check()
    database.psql(sql)
    before = database.dump()
    with pytest.raises(RestoreFailed) as failed:
        restore_tables(repo, plan, server_of(database))
    assert "would go on using the replaced table" in failed.value.message
    assert words in failed.value.message
    assert database.dump() == before


def test_a_subscription_that_writes_to_the_table_forbids_it(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{TABLE} CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH"
        " (connect = false); ALTER SUBSCRIPTION sub SET (slot_name = NONE);"
        " INSERT INTO pg_subscription_rel SELECT oid, 'b'::regclass, 'r' FROM pg_subscription"
        f" WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = '{database.name}')"
    )
    try:
        assert "subscription sub, which writes to it" in refusal(plan_of_b(repo, database)).message
    finally:
        database.psql("DROP SUBSCRIPTION sub")


def test_a_table_that_became_an_extension_s_is_not_replaced(
    repo: Repository, database: Database
) -> None:
    database.psql(f"{TABLE} CREATE EXTENSION citext")
    snapshot = commit_database(repo, server_of(database))
    database.psql("ALTER EXTENSION citext ADD TABLE b")
    plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=True)
    assert "belongs to the extension citext now" in refusal(plan).message


def test_an_extension_s_table_that_does_not_hold_the_number_forbids_nothing(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{TABLE} CREATE EXTENSION citext; CREATE TABLE known (t regclass, n oid);"
        " ALTER EXTENSION citext ADD TABLE known; INSERT INTO known VALUES ('pg_class', 1)"
    )
    plan = plan_of_b(repo, database)
    assert plan.refusals == ()
    assert not [told for told in plan.warnings if "known" in told]


def test_rows_of_other_tables_that_mean_the_table_are_told(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{TABLE} CREATE TABLE log (what regclass, n oid); INSERT INTO log VALUES ('b', 1);"
        " CREATE TABLE kinds (what regtype[]); INSERT INTO kinds VALUES (ARRAY['b'::regtype]);"
        " CREATE TABLE others (what regclass); INSERT INTO others VALUES ('log')"
    )
    plan = plan_of_b(repo, database)
    assert plan.refusals == ()
    told = [line for line in plan.warnings if "mean the replaced table" in line]
    assert [line.split()[2] for line in told] == ["public.kinds", "public.log"]


def test_rows_that_mean_a_table_that_is_replaced_with_theirs_fail_the_restore(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{TABLE} CREATE TABLE log (n int, what regclass); INSERT INTO log VALUES (1, 'b');"
        " CREATE TABLE fine (n int, what regclass); INSERT INTO fine VALUES (1, 'log')"
    )
    snapshot = commit_database(repo, server_of(database))
    before = database.dump()
    with pytest.raises(RestoreFailed, match=r"rows of log \(column what\) mean a table"):
        tables_now(repo, snapshot, server_of(database), "b", "log", replace=True)
    assert database.dump() == before
    tables_now(repo, snapshot, server_of(database), "b", "fine", replace=True)
    assert database.psql("SELECT what FROM fine") == "log"


def test_a_publication_that_lists_the_table_is_told_with_what_puts_it_back(
    repo: Repository, database: Database
) -> None:
    is_new = server_of(database).version_num >= 150000
    part = "(id, v) WHERE (id > 0)" if is_new else ""
    database.psql(f'{TABLE} CREATE PUBLICATION "P 1" FOR TABLE b {part}')
    before = database.dump()
    snapshot = commit_database(repo, server_of(database))
    plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=True)
    (told,) = [line for line in plan.warnings if "the publication P 1 will not publish" in line]
    report = tables_now(repo, snapshot, server_of(database), "b", replace=True)
    kept, planned = report.tables[0].kept, plan.tables[0].kept
    assert kept is not None
    assert planned is not None
    database.psql(told.partition("afterwards run ")[2].replace(planned[1], kept[1]))
    database.psql(f'DROP TABLE "{kept[1]}"')
    assert database.dump() == before


def test_a_publication_that_lost_the_table_is_told_with_the_snapshot_s_own_words(
    repo: Repository, database: Database
) -> None:
    database.psql(f"{TABLE} CREATE PUBLICATION p FOR TABLE b")
    snapshot = commit_database(repo, server_of(database))
    database.psql("DROP TABLE b")
    plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=True)
    (told,) = [line for line in plan.warnings if "in the snapshot" in line]
    assert told.endswith("p published public.b in the snapshot: ALTER PUBLICATION p ADD TABLE"
                         " ONLY public.b;")  # fmt: skip


@pytest.mark.parametrize("replace", [False, True])
def test_a_publication_of_all_tables_is_told_and_forbids_it_while_subscribers_read(
    repo: Repository, database: Database, replace: bool
) -> None:
    database.psql(f"{TABLE} CREATE PUBLICATION every FOR ALL TABLES")
    snapshot = commit_database(repo, server_of(database))
    name = "public.b" if replace else "public.b__was"
    plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=replace)
    assert plan.refusals == ()
    (told,) = [line for line in plan.warnings if "publication every" in line]
    assert f"will publish {name}" in told
    slot = f"slot_{database.name}"
    database.psql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    try:
        plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=replace)
        error = refusal(plan)
        assert f"the subscribers behind {slot} would stop" in error.message
        # So it is: what they are sent names a schema of the transaction.
        database.psql(
            "SET synchronous_commit = on; BEGIN; CREATE SCHEMA snap_1;"
            " CREATE TABLE snap_1.b (a int); INSERT INTO snap_1.b VALUES (1);"
            " ALTER TABLE snap_1.b RENAME TO c; ALTER TABLE snap_1.c SET SCHEMA public;"
            " DROP SCHEMA snap_1; COMMIT"
        )
        sent = database.psql(
            f"SELECT string_agg(encode(data, 'escape'), '') FROM pg_logical_slot_get_binary_changes"
            f"('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'every')"
        )
        assert "snap_1" in sent
    finally:
        database.psql(f"SELECT pg_drop_replication_slot('{slot}')")


def test_a_publication_of_a_schema_is_told(repo: Repository, database: Database) -> None:
    if server_of(database).version_num < 150000:
        pytest.skip("publications of schemas came with PostgreSQL 15")
    database.psql(f"{TABLE} CREATE PUBLICATION most FOR TABLES IN SCHEMA public")
    (told,) = [line for line in plan_of_b(repo, database).warnings if "publication most" in line]
    assert "is of all of public: it will publish public.b, and public.b__replaced_" in told


@pytest.mark.parametrize("replace", [False, True])
def test_a_publication_that_leaves_the_table_out_is_told_with_what_leaves_it_out_again(
    repo: Repository, database: Database, replace: bool
) -> None:
    if server_of(database).version_num < 190000:
        pytest.skip("EXCEPT came with PostgreSQL 19: name its folder in SNAP_PG_BINDIR")
    database.psql(
        f'{TABLE} CREATE TABLE "An other" (a int);'
        ' CREATE PUBLICATION most FOR ALL TABLES EXCEPT (TABLE b, TABLE "An other")'
    )
    snapshot = commit_database(repo, server_of(database))
    plan = plan_of_tables(repo, snapshot, server_of(database), "b", replace=replace)
    assert plan.refusals == ()
    (told,) = [line for line in plan.warnings if "publication most" in line]
    assert "ADD TABLE" not in told
    report = tables_now(repo, snapshot, server_of(database), "b", replace=replace)
    published = "SELECT tablename FROM pg_publication_tables ORDER BY 1"
    if not replace:
        assert "it will publish public.b__was" in told
        assert database.psql(published) == "b__was"
        return
    kept, planned = report.tables[0].kept, plan.tables[0].kept
    assert kept is not None
    assert planned is not None
    assert database.psql(published) == "b"
    database.psql(told.partition("afterwards run ")[2].replace(planned[1], kept[1]))
    assert database.psql(published) == ""


def test_rules_of_others_that_use_the_table_use_the_restored_one(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{TABLE} SELECT setval('b_id_seq', 1);"
        ' CREATE VIEW writable AS SELECT v FROM b; CREATE TABLE "An other" (id int);'
        " CREATE RULE insert_it AS ON INSERT TO writable DO INSTEAD INSERT INTO b (v)"
        " VALUES (NEW.v); COMMENT ON RULE insert_it ON writable IS 'writes elsewhere';"
        ' CREATE RULE "tell; all" AS ON DELETE TO "An other" DO ALSO (DELETE FROM b WHERE'
        " b.id = OLD.id; NOTIFY gone);"
        ' ALTER TABLE "An other" ENABLE ALWAYS RULE "tell; all";'
        ' CREATE RULE "own; rule" AS ON DELETE TO b DO ALSO NOTIFY gone'
    )
    before = database.dump()
    snapshot = commit_database(repo, server_of(database))
    report = tables_now(repo, snapshot, server_of(database), "b", replace=True)
    kept = report.tables[0].kept
    assert kept is not None
    database.psql("INSERT INTO writable VALUES (7)")
    assert database.psql("SELECT v FROM b ORDER BY 1") == "2\n7"
    assert database.psql(f"SELECT v FROM {kept[1]}") == "2"
    database.psql(f"DROP TABLE {kept[1]}; DELETE FROM b WHERE v = 7")
    database.psql("SELECT setval('b_id_seq', 1)")
    assert sorted(database.dump().splitlines()) == sorted(before.splitlines())


def test_statistics_and_triggers_of_the_live_table_stay_with_it(
    repo: Repository, database: Database
) -> None:
    database.psql(TABLE)
    snapshot = commit_database(repo, server_of(database))
    before = database.dump()
    database.psql(
        "CREATE STATISTICS s ON id, v FROM b; CREATE POLICY p ON b USING (v > 0);"
        " CREATE FUNCTION ct() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER t AFTER INSERT ON b FOR EACH ROW EXECUTE FUNCTION ct();"
        " CREATE RULE r AS ON DELETE TO b DO INSTEAD NOTHING"
    )
    report = tables_now(repo, snapshot, server_of(database), "b", replace=True)
    kept = report.tables[0].kept
    assert kept is not None
    database.psql(f"DROP TABLE {kept[1]}; DROP FUNCTION ct()")
    assert database.dump() == before


# Every column of a catalog that holds the number of a table, of its row type, or of a constraint
# or trigger of it; and why no table's restore can leave it behind.
ITS_OWN = "it belongs to the table, and goes with it"
AS_DEPENDENCY = "pg_depend has it as well"
KNOWN = {
    "pg_aggregate": AS_DEPENDENCY,
    "pg_amop": AS_DEPENDENCY,
    "pg_amproc": AS_DEPENDENCY,
    "pg_attrdef": ITS_OWN,
    "pg_attribute": f"{ITS_OWN}; of other tables' columns {AS_DEPENDENCY}",
    "pg_cast": AS_DEPENDENCY,
    "pg_class": ITS_OWN,
    "pg_constraint": "foreign keys of others are made again",
    "pg_depend": "read",
    "pg_description": ITS_OWN,
    "pg_enum": "no row type",
    "pg_extension": "extconfig holds members alone, which are refused",
    "pg_foreign_table": "refused",
    "pg_index": ITS_OWN,
    "pg_inherits": "heirs are refused, partitions go with it",
    "pg_init_privs": "of members alone",
    "pg_opclass": AS_DEPENDENCY,
    "pg_operator": AS_DEPENDENCY,
    "pg_partitioned_table": ITS_OWN,
    "pg_policy": f"{ITS_OWN}; of others {AS_DEPENDENCY}",
    "pg_proc": AS_DEPENDENCY,
    "pg_propgraph_element": AS_DEPENDENCY,
    "pg_publication_rel": "told",
    "pg_range": AS_DEPENDENCY,
    "pg_rewrite": f"{ITS_OWN}; views are made again, others {AS_DEPENDENCY}",
    "pg_seclabel": ITS_OWN,
    "pg_sequence": ITS_OWN,
    "pg_shdepend": ITS_OWN,
    "pg_shdescription": "of shared objects",
    "pg_shseclabel": "of shared objects",
    "pg_statistic": ITS_OWN,
    "pg_statistic_ext": ITS_OWN,
    "pg_subscription_rel": "refused",
    "pg_transform": AS_DEPENDENCY,
    "pg_trigger": f"{ITS_OWN}; FROM of others is refused",
    "pg_type": AS_DEPENDENCY,
}


def test_no_catalog_names_tables_that_was_not_looked_at(database: Database) -> None:
    found = database.psql(
        "SELECT DISTINCT fktable::regclass FROM pg_get_catalog_foreign_keys() WHERE pktable IN"
        " ('pg_class'::regclass, 'pg_type'::regclass, 'pg_constraint'::regclass,"
        " 'pg_trigger'::regclass)"
    )
    assert set(found.splitlines()) <= KNOWN.keys()
