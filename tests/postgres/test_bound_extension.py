"""Extensions that can be made in one database of a server only, rows that must go first, and event
triggers that must not fire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster, ClusterError
from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.workflows.notes.verdicts import drilled
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.faults.damaging import PLACES, flip
from support.restoring.clients import (
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.restoring.drilling import checks_of, drill_now
from support.servers.databases import TEST_SETTINGS, Database, new_name
from support.servers.extensions import add_extension

# What the real one's script does, without its worker.
CRON = """
DO $$ BEGIN
    IF current_database() IS DISTINCT FROM current_setting('cron.database_name', true) THEN
        RAISE EXCEPTION 'can only create extension in database %',
            current_setting('cron.database_name', true);
    END IF;
END $$;
CREATE SCHEMA cron;
CREATE SEQUENCE cron.jobid_seq;
CREATE SEQUENCE cron.runid_seq;
CREATE TABLE cron.job (jobid bigint PRIMARY KEY DEFAULT nextval('cron.jobid_seq'), command text);
CREATE TABLE cron.job_run_details (runid bigint DEFAULT nextval('cron.runid_seq'), said text);
SELECT pg_extension_config_dump('cron.job', '');
SELECT pg_extension_config_dump('cron.job_run_details', '');
SELECT pg_extension_config_dump('cron.jobid_seq', '');
SELECT pg_extension_config_dump('cron.runid_seq', '');
"""
USED = """
CREATE EXTENSION pg_cron;
CREATE ROLE planner;
GRANT USAGE ON SCHEMA cron TO planner;
GRANT SELECT ON cron.job TO planner;
INSERT INTO cron.job (command) VALUES ('VACUUM'), ('ANALYZE');
INSERT INTO cron.job_run_details (said) VALUES ('done');
CREATE SEQUENCE own; SELECT setval('own', 41);
CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 10) g;
"""


def made(binaries: Binaries, place: dict[str, str]) -> Iterator[Database]:
    with Cluster(binaries, fsync=False, settings={**TEST_SETTINGS, **place}) as cluster:
        add_extension(cluster, CRON, name="pg_cron")
        cluster.create_database("app")
        yield Database(cluster, "app")


@pytest.fixture
def app(binaries: Binaries) -> Iterator[Database]:
    """A database with pg_cron, which the server allows in it alone."""
    for database in made(binaries, {"cron.database_name": "app"}):
        database.psql(USED)
        yield database


@pytest.fixture
def elsewhere(binaries: Binaries) -> Iterator[Database]:
    """A database of the same name, on a server that does not load the extension."""
    yield from made(binaries, {})


def test_it_is_added_with_its_rows_and_rights_once_the_database_has_its_name(
    repo: Repository, app: Database
) -> None:
    snapshot = commit_database(repo, server_of(app))
    app.psql("DELETE FROM cron.job; DROP TABLE item")
    plan = plan_restore(repo, snapshot, server_of(app), RestoreOptions())
    assert any("pg_cron" in words and "cron.job" in words for words in plan.warnings)
    report = restore_now(repo, snapshot, server_of(app))
    assert report.warnings == ()
    assert app.psql("SELECT jobid, command FROM cron.job ORDER BY 1") == "1|VACUUM\n2|ANALYZE"
    assert app.psql("INSERT INTO cron.job (command) VALUES ('x') RETURNING jobid") == "3"
    assert app.psql("SELECT said FROM cron.job_run_details") == "done"
    assert app.psql("SELECT count(*) FROM item; SELECT last_value FROM own") == "10\n41"
    rights = "has_schema_privilege('planner', 'cron', 'USAGE')"
    assert app.psql(f"SELECT {rights}, has_table_privilege('planner', 'cron.job', 'SELECT')") == (
        "t|t"
    )


def test_where_its_rows_are_damaged_the_restore_is_done_and_says_so(
    repo: Repository, app: Database, tmp_path: Path
) -> None:
    commit_database(repo, server_of(app))
    packs = tmp_path / "repo" / PLACES["pack"]
    before = set(packs.rglob("*"))
    app.psql("INSERT INTO cron.job (command) SELECT md5(g::text) FROM generate_series(1, 20000) g")
    snapshot = commit_database(repo, server_of(app))
    # By far the largest part of the new pack, which the load itself does not read.
    (pack,) = (file for file in set(packs.rglob("*")) - before if file.is_file())
    flip(pack, pack.stat().st_size // 2)
    app.psql("DELETE FROM item")
    (warning,) = restore_now(repo, snapshot, server_of(app)).warnings
    assert "the extension pg_cron could not be added" in warning
    assert app.psql("SELECT count(*) FROM item") == "10"


def test_a_drill_proves_all_else_and_says_what_it_could_not_restore(
    repo: Repository, app: Database, tmp_path: Path
) -> None:
    snapshot = commit_database(repo, server_of(app))
    report = drill_now(repo, snapshot, server_of(app), tmp_path)
    checks = checks_of(report)
    assert (report.passed, checks["extensions"].status) == (True, "skipped")
    assert "pg_cron" in checks["extensions"].reason
    assert any("cron.job" in notice and "not proven" in notice for notice in report.notices)
    assert drilled(repo)[snapshot].passed
    assert databases_like(app, "app\\_\\_snap%") == []


def test_a_copy_is_made_without_it(repo: Repository, app: Database) -> None:
    snapshot = commit_database(repo, server_of(app))
    name = new_name("copy")
    plan = plan_restore(repo, snapshot, server_of(app), RestoreOptions(to=name))
    assert any("it is left out, with the rows of cron.job" in words for words in plan.warnings)
    restore_now(repo, snapshot, server_of(app), RestoreOptions(to=name))
    copy = Database(app.cluster, name)
    assert copy.psql("SELECT count(*) FROM item; SELECT to_regclass('cron.job') IS NULL") == "10\nt"


def test_where_the_server_does_not_load_it_nothing_is_replaced(
    repo: Repository, app: Database, elsewhere: Database
) -> None:
    snapshot = commit_database(repo, server_of(app))
    elsewhere.psql("CREATE ROLE planner; CREATE TABLE there AS SELECT 1 AS id")
    options = RestoreOptions(from_server="")
    plan = plan_restore(repo, snapshot, server_of(elsewhere), options)
    (problem,) = [found for found in plan.refusals if "pg_cron" in found.message]
    assert "cron.database_name = 'app'" in problem.hint
    with pytest.raises(TargetRefused):
        restore_now(repo, snapshot, server_of(elsewhere), options)
    name = new_name("copy")
    restore_now(repo, snapshot, server_of(elsewhere), RestoreOptions(to=name))
    assert Database(elsewhere.cluster, name).psql("SELECT count(*) FROM item") == "10"


def test_what_cannot_be_added_is_told_with_the_way_to_do_it(
    repo: Repository, app: Database
) -> None:
    snapshot = commit_database(repo, server_of(app))
    add_extension(app.cluster, CRON + "SELECT 1/0;", name="pg_cron")
    report = restore_now(repo, snapshot, server_of(app))
    (warning,) = report.warnings
    assert "division by zero" in warning
    assert f"snap cat {snapshot.hex()[:12]} --section 'data cron.job'" in warning
    assert app.psql("SELECT count(*) FROM item; SELECT to_regclass('cron.job') IS NULL") == "10\nt"


FORMATS = """
CREATE SCHEMA "{name}";
CREATE TABLE "{name}".formats (code text PRIMARY KEY);
SELECT pg_extension_config_dump('"{name}".formats', '');
CREATE FUNCTION "{name}".known(text) RETURNS boolean LANGUAGE sql STABLE
AS 'SELECT EXISTS (SELECT FROM "{name}".formats f WHERE f.code = $1)';
CREATE DOMAIN "{name}".point AS text CHECK ("{name}".known(split_part(VALUE, ':', 1)));
"""


def test_the_configuration_of_extensions_is_loaded_before_all_other_rows(
    repo: Repository, database: Database
) -> None:
    name = add_extension(database.cluster, FORMATS)
    database.psql(
        f"CREATE EXTENSION \"{name}\"; INSERT INTO \"{name}\".formats VALUES ('a'), ('b');"
        f'CREATE SCHEMA aaa; CREATE TABLE aaa.cloud (id int, at "{name}".point);'
        "INSERT INTO aaa.cloud SELECT g, 'b:' || g FROM generate_series(1, 100) g"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server)
    assert database.psql("SELECT count(*), min(at) FROM aaa.cloud") == "100|b:1"


GUARD = """
CREATE FUNCTION "{name}_guard"() RETURNS event_trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''not while I watch''; END';
CREATE EVENT TRIGGER "{name}_guard" ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
EXECUTE FUNCTION "{name}_guard"();
ALTER EVENT TRIGGER "{name}_guard" ENABLE ALWAYS;
"""


def test_event_triggers_that_an_extension_brings_are_quiet_while_it_is_restored(
    repo: Repository, database: Database
) -> None:
    name = add_extension(database.cluster, GUARD)
    database.psql(
        "CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 10) g;"
        f'CREATE INDEX item_id ON item (id); CREATE EXTENSION "{name}"'
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server)
    found = "SELECT evtenabled FROM pg_event_trigger; SELECT to_regclass('item_id') IS NOT NULL"
    assert database.psql(found) == "A\nt"
    with pytest.raises(ClusterError, match="psql failed"):
        database.psql("CREATE INDEX another ON item (id)")
