"""Tables that an extension makes: their definitions are in no dump, the rows of some are."""

from __future__ import annotations

import pytest

from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name

# An extension's tables as CREATE EXTENSION would leave them: configuration, of which a dump has the
# rows that the extension did not bring itself, and one that is not.
EXTENSION = r"""
CREATE SCHEMA ext;
CREATE EXTENSION citext;
CREATE SEQUENCE ext.job_ids;
CREATE TABLE ext.job (id int PRIMARY KEY DEFAULT nextval('ext.job_ids'), what text NOT NULL,
    built_in bool DEFAULT false);
CREATE TABLE ext.run (job int REFERENCES ext.job ON DELETE CASCADE, n serial);
CREATE TABLE ext.cache (n int);
CREATE TABLE ext.log (n int);
INSERT INTO ext.job VALUES (-1, 'of the extension', true);
ALTER EXTENSION citext ADD SEQUENCE ext.job_ids;
ALTER EXTENSION citext ADD SEQUENCE ext.run_n_seq;
ALTER EXTENSION citext ADD TABLE ext.job;
ALTER EXTENSION citext ADD TABLE ext.run;
ALTER EXTENSION citext ADD TABLE ext.cache;
UPDATE pg_extension SET
    extconfig = ARRAY['ext.job', 'ext.run', 'ext.job_ids']::regclass[]::oid[],
    extcondition = ARRAY['WHERE NOT built_in', '', ''] WHERE extname = 'citext';
CREATE TABLE mine (a int);
INSERT INTO ext.job (what) SELECT 'job ' || g FROM generate_series(1, 3) g;
INSERT INTO ext.run (job) VALUES (1), (2);
CREATE FUNCTION ext.noted() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO ext.log VALUES (1); RETURN NULL; END$$;
CREATE TRIGGER noted AFTER INSERT ON ext.job FOR EACH STATEMENT EXECUTE FUNCTION ext.noted();
"""
JOBS = "SELECT * FROM ext.job ORDER BY 1"


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    """A committed database with such an extension."""
    database.psql(EXTENSION)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "one")
    return snap


def test_a_table_of_an_extension_is_refused_by_its_name_and_its_rows_come_back_alone(
    shop: CommandLine, database: Database
) -> None:
    error = shop("restore", "one", "--table", "ext.job", "--yes", "--json").error
    assert error["message"] == (
        "ext.job belongs to the extension citext; its definition is not in the dump"
    )
    assert "--table ext.job --data-only" in error["hint"]
    before = database.psql(JOBS)
    database.psql(
        "DELETE FROM ext.run; UPDATE ext.job SET what = 'changed';"
        " DELETE FROM ext.job WHERE id = 2; INSERT INTO ext.job VALUES (7, 'new');"
        " DELETE FROM ext.log"
    )
    told = " ".join(shop("restore", "one", "--table", "ext.job", "--table", "ext.run",
                         "--data-only").err.split())  # fmt: skip
    assert "Deletes: 3 rows of ext.job WHERE NOT built_in" in told
    assert "Loads: 3 rows into ext.job, of citext" in told
    assert database.psql("SELECT count(*) FROM ext.job WHERE what = 'changed'") == "3"
    done = shop.ok("restore", "one", "--table", "ext.run", "--table", "ext.job", "--data-only",
                   "--yes", "--json").json  # fmt: skip
    assert [(t["table"], t["rows_before"], t["rows"]) for t in done["tables"]] == [
        ("ext.job", 3, 3),
        ("ext.run", 0, 2),
    ]
    assert documentation.field_names(done) == documentation.fields(
        documentation.section("snap restore")
    )[2]  # fmt: skip
    # What the extension brought itself is no part of a dump, and stays as it is.
    assert database.psql(JOBS) == before.replace("-1|of the extension|t", "-1|changed|t")
    assert database.psql("SELECT job, n FROM ext.run ORDER BY 1") == "1|1\n2|2"
    assert database.psql("SELECT count(*) FROM ext.log") == "1"
    # The safety snapshot takes it back, and undo knows that.
    undone = shop.ok("undo", "--yes", "--json").json
    assert undone["snapshot"] == done["safety_snapshot"]
    assert undone["undoes"]["kind"] == "rows"
    assert database.psql("SELECT id FROM ext.job ORDER BY 1") == "-1\n1\n3\n7"


def test_sequences_that_new_rows_draw_from_are_raised_and_never_lowered(
    shop: CommandLine, database: Database
) -> None:
    both = ("--table", "ext.job", "--table", "ext.run", "--data-only", "--yes")
    database.psql("DELETE FROM ext.run; DELETE FROM ext.job; ALTER SEQUENCE ext.job_ids RESTART")
    assert "Raises: the sequence ext.job_ids to 3" in " ".join(
        shop.ok("restore", "one", *both).err.split()
    )
    assert database.psql("INSERT INTO ext.job (what) VALUES ('next') RETURNING id") == "4"
    database.psql("SELECT setval('ext.job_ids', 100)")
    shop.ok("restore", "one", *both)
    assert database.psql("INSERT INTO ext.job (what) VALUES ('next') RETURNING id") == "101"


def test_rows_that_cannot_come_back_alone_are_refused_with_the_reason(
    shop: CommandLine, database: Database
) -> None:
    def refused(*options: str) -> str:
        done = shop("restore", "one", *options, "--yes", "--json")
        assert done.code in (2, 20, 40)
        return f"{done.error['message']} {done.error['detail']} {done.error['hint']}"

    before = database.dump()
    rows = "--data-only"
    assert "does not mark it as its configuration" in refused("--table", "ext.cache")
    assert "does not mark ext.cache as its conf" in refused("--table", "ext.cache", rows)
    assert "foreign keys refer to ext.job: from ext.run" in refused("--table", "ext.job", rows)
    assert "belongs to no extension" in refused("--table", "mine", rows)
    assert "the database has no table nothing" in refused("--table", "nothing", rows).replace(
        "public.", ""
    )
    assert "alone: snap restore one" in refused("--table", "ext.job", rows, "--to", "x")
    assert "alone: snap restore one" in refused("--table", "ext.job", rows, "--replace")
    assert "alone: snap restore one" in refused(rows)
    assert "the snapshot has no table public.nothing" in refused("--table", "nothing")
    assert database.dump() == before


def test_without_the_extension_the_refusal_says_which_to_make(
    shop: CommandLine, database: Database
) -> None:
    database.psql("DROP EXTENSION citext CASCADE")
    error = shop("restore", "one", "--table", "ext.job", "--yes", "--json").error
    assert "an extension that the database has not got" in error["message"]
    assert "citext" in error["detail"]
    error = shop("restore", "one", "--table", "ext.job", "--data-only", "--yes", "--json").error
    assert error["message"] == "the database has no table ext.job"


def test_rows_that_the_table_does_not_take_leave_it_as_it_was(
    shop: CommandLine, database: Database
) -> None:
    database.psql("DELETE FROM ext.run; ALTER TABLE ext.job ADD CHECK (what <> 'job 2') NOT VALID")
    before = database.psql(JOBS)
    done = shop("restore", "one", "--table", "ext.job", "--table", "ext.run", "--data-only",
                "--yes", "--json")  # fmt: skip
    assert done.code == 40
    assert "violates check constraint" in done.error["message"]
    assert database.psql(JOBS) == before


def test_a_new_database_gets_rows_of_an_extension_s_table_too(
    shop: CommandLine, database: Database
) -> None:
    name = new_name("copy")
    # There CREATE EXTENSION makes no such table: what is asked for is known all the same.
    done = shop("restore", "one", "--table", "ext.job", "--to", name, "--yes", "--json")
    assert done.code == 40
    assert "ext.job" in f"{done.error['message']} {done.error['detail']}"
