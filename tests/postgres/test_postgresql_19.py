"""What is new in PostgreSQL 19 and asks something of snap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.source_contract import read
from pgsnap.cluster.binaries import find_all
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import DumpFailed, RestoreFailed
from pgsnap.model import Setting
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.sources.properties import read_properties
from pgsnap.targets.checks.preflight import find_database
from pgsnap.workflows.diff.diff import diff, diff_rows
from pgsnap.workflows.restore.checks import what_goes_back
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.undo.undo import plan_undo, undo
from support.restoring.clients import (
    LABEL,
    commit_database,
    commit_file,
    restore_now,
    server_of,
)
from support.servers.databases import Database, new_name


@pytest.fixture
def database(database: Database) -> Database:
    if database.cluster.major < 19:
        pytest.skip("needs PostgreSQL 19: name its folder in SNAP_PG_BINDIR, --pg-major=19")
    return database


def test_a_list_without_a_name_comes_back_as_that(repo: Repository, database: Database) -> None:
    for value in ("search_path TO NULL", "temp_tablespaces TO ''"):
        database.psql(f'ALTER DATABASE "{database.name}" SET {value}')
    server = server_of(database)
    snapshot = commit_database(repo, server)
    with server.connect() as session:
        before = read_properties(session).settings
    name = new_name("copy")
    try:
        report = restore_now(repo, snapshot, server, RestoreOptions(to=name))
        assert report.warnings == ()
        with server.connect(name) as session:
            assert read_properties(session).settings == before
    finally:
        database.cluster.drop_database(name)


def test_a_setting_that_is_gone_is_said_to_be_left_out_and_not_to_go_back(
    repo: Repository, database: Database
) -> None:
    server = server_of(database)
    snapshot = repo.snapshot(commit_database(repo, server))
    assert snapshot.origin.properties is not None
    gone = (
        Setting("escape_string_warning", "off"),
        Setting("standard_conforming_strings", "off"),
        Setting("work_mem", "5MB"),
    )
    properties = replace(snapshot.origin.properties, settings=gone)
    older = replace(snapshot, origin=replace(snapshot.origin, properties=properties))
    with server.connect("postgres") as session:
        live = find_database(session, database.name)
        assert live is not None
        told = what_goes_back(session, older, live).warnings
    assert len(told) == 3
    assert "work_mem = 5MB is missing; this goes back" in told[0]
    assert "escape_string_warning = off is left out: PostgreSQL 19" in told[1]
    assert "standard_conforming_strings = off is left out" in told[2]


def test_a_role_that_reads_everything_reads_large_objects(database: Database) -> None:
    database.psql("SELECT lo_from_bytea(4711, 'large'); CREATE ROLE reader LOGIN")
    dsn = replace(server_of(database).endpoint)
    try:
        server = server_of(database)
        server.endpoint = replace(
            dsn, keywords=(*(k for k in dsn.keywords if k[0] != "user"), ("user", "reader"))
        )
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server))
        assert caught.value.hint == "Run `GRANT pg_read_all_data TO reader` as a superuser."
        database.psql("GRANT pg_read_all_data TO reader")
        read(PostgresSource(server))
    finally:
        database.psql("DROP OWNED BY reader; DROP ROLE reader")


@pytest.fixture
def older() -> Iterator[Database]:
    """A database of the newest PostgreSQL before 19 that is on this host."""
    found = {major: one for major, one in find_all().items() if major < 19}
    if not found:
        pytest.skip("needs an older PostgreSQL too: run `make test-all-versions`")
    with Cluster(found[max(found)], fsync=False, settings={"shared_buffers": "32MB"}) as cluster:
        cluster.create_database("shop")
        yield Database(cluster, "shop")


def test_values_that_19_writes_otherwise_are_no_difference(
    repo: Repository, older: Database, database: Database
) -> None:
    older.psql(
        'CREATE TABLE places (id int PRIMARY KEY, "At; it" pg_lsn, several pg_lsn[], t text);'
        "INSERT INTO places SELECT i, '0/0'::pg_lsn + i, ARRAY['F/0'::pg_lsn + i, NULL],"
        " 'A/0000000B' FROM generate_series(1, 5000) i"
    )
    snapshot = commit_database(repo, server_of(older))
    server = server_of(database)
    name = new_name("moved")
    try:
        restore_now(repo, snapshot, server, RestoreOptions(to=name, create_roles=True))
        moved = Database(database.cluster, name)
        assert "0/00000001" in moved.psql("SELECT * FROM places WHERE id = 1")
        found = diff(repo, snapshot, PostgresSource(server, database=name))
        assert not any(table.rows_differ for table in found.tables)
        moved.psql(
            "UPDATE places SET \"At; it\" = '1/A' WHERE id = 7; DELETE FROM places WHERE id = 9"
        )
        (table,) = diff(repo, snapshot, PostgresSource(server, database=name)).tables
        assert (table.removed, table.added, table.changed) == (1, 0, 1)
        later = commit_database(repo, server_of(moved))
        (table,) = diff(repo, snapshot, later).tables
        assert (table.removed, table.added, table.changed) == (1, 0, 1)
        with diff_rows(repo, snapshot, later, "public.places") as rows:
            assert len(list(rows.changes(None))) == 2
    finally:
        database.cluster.drop_database(name)


HARMLESS = """
CREATE TABLE t (id int PRIMARY KEY, path text DEFAULT 'it''s', "a\\b" int);
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT E'a\\\\b' $$;
CREATE VIEW v AS SELECT f() AS word FROM t; COMMENT ON TABLE t IS 'it''s';
INSERT INTO t VALUES (1, E'c:\\\\x', 2), (2, NULL, 3);
"""


def legacy_dump(older: Database, *options: str) -> str:
    """A dump of a database in which a backslash in a plain literal begins an escape."""
    older.psql(f'ALTER DATABASE "{older.name}" SET standard_conforming_strings = off')
    text = older.dump(*options).decode()
    assert "SET standard_conforming_strings = off;" in text
    assert "SET escape_string_warning = off;" in text
    return text


def test_a_dump_for_escapes_that_has_none_is_restored(
    repo: Repository, older: Database, database: Database, tmp_path: Path
) -> None:
    older.psql(HARMLESS)
    snapshot = commit_file(repo, tmp_path / "old.sql", legacy_dump(older))
    server, name = server_of(database), new_name("legacy")
    try:
        plan = plan_restore(repo, snapshot, server, RestoreOptions(to=name))
        assert [problem.detail for problem in plan.refusals] == []
        assert any("standard_conforming_strings = off" in text for text in plan.warnings)
        restore_now(repo, snapshot, server, RestoreOptions(to=name))
        copy = Database(database.cluster, name)
        assert copy.psql("SELECT path FROM t WHERE id = 1") == "c:\\x"
        assert copy.psql("SELECT f(), (SELECT word FROM v LIMIT 1)") == "a\\b|a\\b"
    finally:
        database.cluster.drop_database(name)


@pytest.mark.parametrize("options", [(), ("--inserts",)], ids=["definition", "rows"])
def test_a_dump_with_escapes_is_refused_with_the_place(
    repo: Repository,
    older: Database,
    database: Database,
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    older.psql(HARMLESS)
    text = legacy_dump(older, *options)
    if not options:
        text = text.replace("DEFAULT 'it''s'::text", "DEFAULT 'it\\'s'::text")
        assert "it\\'s" in text
    snapshot = commit_file(repo, tmp_path / "old.sql", text)
    plan = plan_restore(repo, snapshot, server_of(database), RestoreOptions(to=new_name("no")))
    (problem,) = plan.refusals
    assert "standard_conforming_strings = off, which PostgreSQL 19 does not have" in problem.message
    assert ("data public.t" if options else "pre-data") in problem.detail


# Materialized views that show such rows, some as numbers, by way of a view, a partitioned table,
# and of each other.
VIEWS = """
CREATE MATERIALIZED VIEW z_first AS SELECT * FROM "The; places";
CREATE VIEW between AS SELECT id, "In"::oid AS number FROM z_first;
CREATE MATERIALIZED VIEW a_last AS SELECT id, number FROM between WHERE number IS NOT NULL;
CREATE UNIQUE INDEX ON a_last (id);
CREATE MATERIALIZED VIEW of_parts AS SELECT part, several FROM others;
CREATE MATERIALIZED VIEW of_domains AS SELECT * FROM by_domain;
CREATE MATERIALIZED VIEW unfilled AS SELECT * FROM "The; places" WITH NO DATA;
"""
SHOWN = """
SELECT string_agg(row::text, ',' ORDER BY row::text) FROM (
    SELECT m."In"::text FROM z_first m WHERE id < 3
    UNION ALL SELECT d.datname FROM a_last m JOIN pg_database d ON d.oid = m.number
    UNION ALL SELECT part::text || several::text FROM of_parts WHERE several IS NOT NULL
    UNION ALL SELECT one::text || many::text FROM of_domains
    UNION ALL SELECT one::text || many::text FROM by_domain
    UNION ALL SELECT relname FROM pg_class WHERE relkind = 'm' AND NOT relispopulated
) row
"""


def test_rows_that_name_the_database_itself_go_on_to_name_it(
    repo: Repository, database: Database
) -> None:
    name = database.name
    database.psql(
        'CREATE TABLE "The; places" (id int PRIMARY KEY, "In" regdatabase);'
        f"INSERT INTO \"The; places\" VALUES (1, '{name}'), (2, 'postgres'), (3, NULL);"
        "CREATE TABLE others (id int, part regdatabase, several regdatabase[])"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE others_1 PARTITION OF others FOR VALUES FROM (1) TO (9);"
        f"INSERT INTO others VALUES (1, '{name}', '{{postgres,{name}}}'), (2, 'postgres', NULL);"
        "CREATE TABLE fired (a int); CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.fired VALUES (1); RETURN NEW; END$$;"
        'CREATE TRIGGER fire BEFORE UPDATE ON "The; places" FOR EACH ROW EXECUTE FUNCTION fire();'
        "CREATE DOMAIN place AS regdatabase; CREATE DOMAIN places AS regdatabase[];"
        "CREATE TABLE by_domain (one place, many places);"
        f"INSERT INTO by_domain VALUES ('{name}', '{{{name},postgres}}');"
        f"{VIEWS}"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    shown_before = database.psql(SHOWN)
    assert shown_before.count(name) == 8
    rows = 'SELECT id, "In" FROM "The; places" ORDER BY id'
    before = database.psql(rows)
    (told,) = [text for text in plan_restore(repo, snapshot, server, RestoreOptions()).warnings
               if "regdatabase" in text]  # fmt: skip
    assert '"public"."The; places"."In"' in told
    assert '"public"."by_domain"."one"' in told
    assert "materialized views that read them are refreshed" in told
    assert restore_now(repo, snapshot, server).warnings == ()
    assert database.psql(rows) == before
    assert database.psql("SELECT * FROM fired") == ""
    others = "SELECT id, part, several FROM others ORDER BY id"
    assert database.psql(others) == f"1|{name}|{{postgres,{name}}}\n2|postgres|"
    assert database.psql(SHOWN) == shown_before
    # The kept database's own rows name it, and so again when it is put back.
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert database.psql(rows) == before
    copy = plan_restore(repo, snapshot, server, RestoreOptions(to=new_name("copy")))
    assert not any("regdatabase" in text for text in copy.warnings)


def test_what_cannot_go_on_to_name_the_database_is_named(
    repo: Repository, database: Database
) -> None:
    name = database.name
    database.psql(
        "CREATE TYPE pair AS (d regdatabase, n int); CREATE TABLE pairs (p pair, list pair[],"
        " other pair); INSERT INTO pairs VALUES"
        f" (ROW('{name}', 1), ARRAY[ROW('{name}', 1)::pair], ROW('postgres', 1))"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    warnings = restore_now(repo, snapshot, server).warnings
    cut = f" named {name} inside of a composite value"
    assert [words.partition(cut)[0] for words in warnings] == [
        'rows whose "list" in "public"."pairs"',
        'rows whose "p" in "public"."pairs"',
    ]


def test_a_row_that_names_a_database_that_is_not_there_stops_the_load_and_says_which(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE DATABASE gone_soon; CREATE TABLE t (db regdatabase); INSERT INTO t VALUES"
        " ('gone_soon')"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    database.psql("DROP DATABASE gone_soon")
    with pytest.raises(RestoreFailed) as caught:
        restore_now(repo, snapshot, server, RestoreOptions(to=new_name("no")))
    assert 'database "gone_soon" does not exist' in caught.value.message
    assert "column db" in caught.value.detail
    assert "role" not in caught.value.hint
